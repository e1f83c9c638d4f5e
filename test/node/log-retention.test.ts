import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const retention = new LogRetention(
    dataDir,
    (query) => query(cluster.database),
    () => {},
  );
  return { cluster, has, log, retention, [Symbol.dispose]: () => rmSync(dataDir, { recursive: true }) };
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
});
