import { describe, expect, test } from "bun:test";
import { type JobId, jobId, nodeId } from "../../src/lib/ids.ts";
import { admin, Cluster } from "../state/support.ts";
import { Leader } from "./leader.ts";

/** What is wanted back, as "job/first-most@node", found by the second of two looks. */
function wanted(leader: Leader, ...away: number[]): string[] {
  const look = () => {
    leader.observe();
    return leader.view.relief(new Set([...leader.view.nodes()].filter((node) => !away.includes(node))));
  };
  look();
  return [...look()].flatMap(([node, units]) => units.map(({ job, first, most }) => `${job}/${first}-${most}@${node}`));
}

/** Plans and logs all that has room. */
function place(leader: Leader): void {
  leader.observe();
  const { units, ranges } = leader.planAll();
  expect(leader.logRanges(ranges)).toBe(0);
  if (units.length > 0) expect(leader.log(units)).toBe(0);
}

// Nodes have 4 slots.
describe("what waits at a node behind others of its unit", () => {
  test("is wanted back in parts where other nodes have room for it, so that all end together", () => {
    const leader = new Leader(Cluster.ofNewest(3));
    leader.cluster.submit({ count: 40, unit: 40 });
    place(leader);
    expect(wanted(leader)).toEqual(["1/0-24@1"]); // of 36, for 8 slots beside its own 4
    expect(wanted(leader, 2)).toEqual(["1/0-18@1"]);
  });

  test("stays where nobody else has room for it, or may run it, or it has not waited for long", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    leader.cluster.submit({ count: 80, unit: 40 });
    place(leader);
    expect(wanted(leader)).toEqual([]);
    expect(wanted(leader, 2)).toEqual([]);
    const alone = new Leader(Cluster.ofNewest(2));
    alone.cluster.must("node.label", { node: 1, labels: { gpu: "yes" } }, admin);
    alone.cluster.submit({ count: 40, unit: 40, on: "gpu" });
    place(alone);
    expect(wanted(alone)).toEqual([]);
    const young = new Leader(Cluster.ofNewest(2));
    young.cluster.submit({ count: 40, unit: 40 });
    place(young);
    expect(young.view.relief(new Set([nodeId(1), nodeId(2)])).size).toBe(0);
  });

  test("is wanted back whole where a job of a higher priority waits for room, and for nobody else", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    leader.cluster.must("node.label", { node: 1, labels: { gpu: "yes" } }, admin);
    leader.cluster.submit({ count: 80, unit: 40 });
    place(leader);
    leader.cluster.submit({ run: "true", on: "gpu" });
    expect(wanted(leader)).toEqual([]); // it waits its turn
    leader.cluster.submit({ run: "true", on: "gpu", slots: 5, priority: 90 });
    expect(wanted(leader)).toEqual([]); // no node is large enough for it
    leader.cluster.submit({ run: "true", on: "gpu", priority: 90 });
    expect(wanted(leader)).toEqual(["1/0-36@1"]);
    leader.cluster.submit({ run: "true", priority: 90 });
    expect(wanted(leader)).toEqual(["1/0-36@1", "1/40-36@2"]);
  });

  test("that was given back is given out one by one, and its unit goes on without it", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    leader.cluster.submit({ count: 40, unit: 40 });
    place(leader);
    expect(wanted(leader)).toEqual(["1/0-18@1"]);
    const attempts = Array.from({ length: 18 }, (_, at): [JobId, number, number] => [jobId(1), 22 + at, 1]);
    expect(leader.cluster.must("unit.return", { node: nodeId(1), incarnation: "i1", attempts })).toEqual({
      returned: 18,
    });
    place(leader);
    expect(wanted(leader)).toEqual([]);
    expect(leader.cluster.job(1).counts).toMatchObject({ running: 26, queued: 14 });
  });
});
