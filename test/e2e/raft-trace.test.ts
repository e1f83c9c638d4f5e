/** What consensus did in real processes, replayed by a checker that knows nothing of it. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Mesh } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";
import { checkTogether } from "../raft/trace-checker.ts";

test("three nodes join, write, hand over and restart: their traces together are a run of Raft", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-trace-"));
  try {
    {
      await using mesh = await Mesh.start({ nodes: 3, env: { SKEIN_RAFT_TRACE: path.join(directory, "trace") } });
      const first = await mesh.leader({ voters: 3 });
      for (let count = 0; count < 20; count++) await submit(first, { driver: "noop" });
      await first.stop();
      const second = await mesh.leader({ voters: 3 });
      for (let count = 0; count < 20; count++) await submit(second, { driver: "noop" });
      await first.start();
      await submit(first, { driver: "noop" });
      for (const node of mesh.nodes) await node.stop();
    }
    const traces = readdirSync(directory).map((name) =>
      readFileSync(path.join(directory, name), "utf8").trim().split("\n"),
    );
    expect(traces).toHaveLength(3);
    const { elections, committed, messages, restarts } = checkTogether(traces);
    expect(elections).toBeGreaterThan(1);
    expect(committed).toBeGreaterThan(10);
    expect(messages).toBeGreaterThan(100);
    expect(restarts).toBe(4);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 600_000);
