import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import { faultyDiskLibrary } from "../../scripts/faulty-disk.ts";
import { type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { meshOnFaultyDisks } from "../../scripts/power-loss.ts";
import type { ClusterView } from "../../src/state/answers.ts";

/** J4: one node's clock is five minutes ahead, another one's five minutes behind; jobs go by the time that a majority confirms. */

const disk = await faultyDiskLibrary();
if ("missing" in disk) console.log(`skipped: ${disk.missing}`);

const fiveMinutesMs = 300_000;

describe.skipIf("missing" in disk)("clocks of nodes five minutes apart", () => {
  test("instants, deadlines, timeouts and pauses are as long as they should be, whichever node is asked and whoever led before", async () => {
    if ("missing" in disk) return;
    const { mesh, disks } = await meshOnFaultyDisks(disk.library, 3);
    await using _ = mesh;
    for (const one of disks) one.set("journal", 0);
    const [right, ahead, behind] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
    await mesh.leader({ voters: 3 });
    disks[1]!.set("clockOffMs", fiveMinutesMs);
    disks[2]!.set("clockOffMs", -fiveMinutesMs);
    // Who leads with a wrong clock hands over as soon as it knows; the leader tells whose clocks are off.
    await until(
      async () => {
        const { leader, nodes } = (await right.api("GET", "/v1/cluster")).body as ClusterView;
        const off = nodes.map(({ id, clock_ms: ms }) => [id, Math.round((ms ?? 0) / fiveMinutesMs)] as const);
        const seen = new Map(off);
        const isKnown = seen.get(ahead.ready.node) === 1 && seen.get(behind.ready.node) === -1;
        return leader === right.ready.node && isKnown ? true : undefined;
      },
      patienceMs,
      () => `the clocks are not known:\n${mesh.nodes.map((node) => node.log).join("\n---\n")}`,
    );
    for (const asked of mesh.nodes) {
      const mark = path.join(mesh.directory, `mark-${asked.ready.node}`);
      const startAt = Date.now() + 1500;
      const jobs = {
        atItsInstant: await submit(asked, { run: `: > ${mark}`, start_at: new Date(startAt).toISOString() }),
        withTime: await submit(asked, { run: "sleep 0.5", deadline: "4m", timeout: "4m" }),
        overdue: await submit(asked, { run: "sleep 3600", count: 2, parallel: 1, deadline: "1s" }),
        tooLong: await submit(asked, { run: "sleep 3600", timeout: "500ms" }),
        again: await submit(asked, { run: "[ $SKEIN_ATTEMPT = 3 ]", retries: { max: 2, backoff: "200ms", jitter: 0 } }),
      };
      const state = async (id: number): Promise<string> => (await finished(mesh, id)).state;
      expect(await state(jobs.atItsInstant)).toBe("succeeded");
      expect(existsSync(mark)).toBe(true);
      // By the host's own clock, as the file has it.
      expect(statSync(mark).mtimeMs).toBeGreaterThanOrEqual(startAt - 1);
      expect(await state(jobs.withTime)).toBe("succeeded");
      expect(await finished(mesh, jobs.overdue)).toMatchObject({ state: "failed", counts: { timeout: 2 } });
      await finished(mesh, jobs.tooLong);
      expect((await tasksOf(right, jobs.tooLong)).map((task) => task.state)).toEqual(["timeout"]);
      expect(await state(jobs.again)).toBe("succeeded");
    }
  }, 600_000);
});
