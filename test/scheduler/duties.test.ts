import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { jobsToExpire } from "../../src/scheduler/expire.ts";
import { lostNodes } from "../../src/scheduler/lost.ts";
import { listNodes } from "../../src/state/queries.ts";
import { admin, Cluster } from "../state/support.ts";

describe("lost nodes (J3)", () => {
  const at = (grants: Record<number, number>, electedAt: number, now: number, cluster = Cluster.of(3)): number[] => {
    const quietSince = new Map(Object.entries(grants).map(([node, time]) => [nodeId(Number(node)), time]));
    return lostNodes({ nodes: listNodes(cluster.database), quietSince, electedAt, now }).map((one) => one.node);
  };

  test("never earlier than 8 s after the last renewal", () => {
    const grants = { 1: 100_000, 2: 92_001, 3: 92_000 };
    expect(at(grants, 0, 99_999)).toEqual([]);
    expect(at(grants, 0, 100_000)).toEqual([3]);
    expect(at(grants, 0, 100_001)).toEqual([2, 3]);
  });

  test("a new leader waits 8 s from its election for those that it never heard", () => {
    expect(at({}, 50_000, 57_999)).toEqual([]);
    expect(at({ 1: 51_000, 2: 51_000 }, 50_000, 58_000)).toEqual([3]);
  });

  test("each is declared once, under the run that fell silent", () => {
    const cluster = Cluster.of(3);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(at({}, 0, 10_000, cluster)).toEqual([1, 3]);
    const [first] = lostNodes({ nodes: listNodes(cluster.database), quietSince: new Map(), electedAt: 0, now: 10_000 });
    expect(first).toEqual({ node: nodeId(1), incarnation: "i1" });
  });
});

describe("expiry", () => {
  test("names finished jobs whose time is over, in small steps", () => {
    const cluster = Cluster.of(1);
    cluster.must(
      "job.submit",
      { jobs: Array.from({ length: limits.expirePerEntry + 2 }, () => ({ run: "a", ttlMs: 1000 })) },
      admin,
    );
    cluster.must("job.cancel", { id: jobId(2) }, admin);
    expect(jobsToExpire(cluster.database, cluster.now + 999)).toEqual([]);
    expect(jobsToExpire(cluster.database, cluster.now + 1000)).toEqual([jobId(2)]);
    for (let id = 1; id <= limits.expirePerEntry + 2; id++)
      if (id !== 2) cluster.must("job.cancel", { id: jobId(id) }, admin);
    cluster.now += 1000;
    const jobs = jobsToExpire(cluster.database, cluster.now);
    expect(jobs).toHaveLength(limits.expirePerEntry);
    expect(cluster.must("job.expire", { jobs })).toEqual({ removed: limits.expirePerEntry });
    expect(jobsToExpire(cluster.database, cluster.now)).toHaveLength(2);
  });
});
