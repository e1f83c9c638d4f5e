import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PackShelf } from "../../src/executor/pack-shelf.ts";
import { PackWriter } from "../../src/executor/pack-writer.ts";
import { jobId } from "../../src/lib/ids.ts";
import { LogRetention } from "../../src/node/log-retention.ts";
import { Cluster } from "../state/support.ts";

function rig() {
  const dataDir = mkdtempSync(join(tmpdir(), "skein-retention-"));
  const cluster = Cluster.of(1);
  const has = (job: number): boolean => existsSync(join(dataDir, "logs", String(job)));
  const log = (job: number): void => {
    mkdirSync(join(dataDir, "logs", String(job)), { recursive: true });
    writeFileSync(join(dataDir, "logs", String(job), "0.1.log"), "x");
  };
  const shelf = new PackShelf(dataDir, 1);
  const writer = new PackWriter(dataDir, "g", { packBytes: 100, ownAfterBytes: 1 << 20, idleMs: 600_000 });
  /** One pack for each. */
  const print = (job: number): void => {
    const attempt = writer.open({ job: jobId(job), task: 0, attempt: 1 }, 1000);
    attempt.write("stdout", 1, new Uint8Array(30));
    attempt.close();
  };
  const removed: string[] = [];
  const said: string[] = [];
  const retention = new LogRetention({
    dataDir,
    shelf,
    view: (query) => query(cluster.database),
    onRemoved: (packs) => removed.push(...packs.map(({ name }) => name)),
    log: (_level, message) => said.push(message),
    keepBytes: 500,
  });
  const packs = (): number => readdirSync(join(dataDir, "logs", "packs")).length;
  const close = (): void => {
    shelf.close();
    rmSync(dataDir, { recursive: true });
  };
  return { cluster, has, log, retention, shelf, print, packs, removed, said, [Symbol.dispose]: close };
}

describe("the logs of a job", () => {
  test("go when the log says that the job goes, and no others do", async () => {
    using r = rig();
    r.log(1);
    r.log(2);
    r.retention.onApplied([{ index: 9, at: 9, changes: [{ topic: "job", kind: "removed", job: jobId(1) }] }]);
    await r.retention.settled();
    expect([r.has(1), r.has(2)]).toEqual([false, true]);
  });

  test("that was removed while the node was away go at its next start", async () => {
    using r = rig();
    const job = r.cluster.submit();
    r.log(job);
    r.log(job + 1);
    r.retention.sweep();
    await r.retention.settled();
    expect([r.has(job), r.has(job + 1)]).toEqual([true, false]);
  });

  test("a node without any has nothing to sweep", async () => {
    using r = rig();
    r.retention.sweep();
    await r.retention.settled();
  });

  test("in a pack go with the pack, when all its jobs are gone and it is written no more", async () => {
    using r = rig();
    for (const job of [1, 2, 3]) r.print(job);
    await r.shelf.look(1);
    expect(r.packs()).toBe(3);
    const gone = [2, 3].map((job) => ({ topic: "job", kind: "removed", job: jobId(job) }) as const);
    r.retention.onApplied([{ index: 9, at: 9, changes: gone }]);
    await r.retention.settled();
    expect([r.packs(), r.removed.length]).toEqual([2, 1]); // the newest is open
    expect(r.shelf.jobs(0, 10)).toEqual([1]);
  });

  test("in a pack that was removed while the node was away go at its next start", async () => {
    using r = rig();
    const job = r.cluster.submit();
    r.print(job);
    r.print(job + 1);
    r.print(job + 2);
    r.retention.sweep();
    await r.retention.settled();
    expect(r.shelf.jobs(0, 10)).toEqual([job]);
    expect(r.packs()).toBe(2);
  });

  test("are bounded by what a node keeps, and it says so", async () => {
    using r = rig();
    for (let job = 1; job <= 12; job++) r.print(r.cluster.submit());
    await r.shelf.look(1);
    r.retention.sweep();
    await r.retention.settled();
    expect(r.packs()).toBeLessThan(7);
    expect(r.said.join()).toContain("deleted before their jobs");
  });

  test("are written anew in a sweep where little of a pack is wanted, after what nobody wants has gone", async () => {
    const steps: string[] = [];
    let sparse = 2;
    const retention = new LogRetention({
      dataDir: "/nowhere",
      shelf: {
        lookAtAll: () => Promise.resolve(),
        jobs: () => [],
        forget: () => {},
        clear: () => {
          steps.push("clear");
          return Promise.resolve([]);
        },
        compact: () => {
          steps.push("compact");
          return Promise.resolve(sparse-- > 0);
        },
      },
      view: () => new Map() as never,
      onRemoved: () => {},
      log: () => {},
    });
    retention.sweep();
    await retention.settled();
    expect(steps).toEqual(["clear", "compact", "compact", "compact"]);
  });
});
