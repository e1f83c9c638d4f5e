import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { standingOf } from "../../src/scheduler/lack.ts";
import { Pace, unitSize } from "../../src/scheduler/unit-size.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { openJob } from "../../src/state/planning.ts";
import { admin, Cluster } from "../state/support.ts";
import { Leader } from "./leader.ts";

/** Ranges as "job/first+count*width@node". */
function names(leader: Leader): string[] {
  return leader
    .planAll()
    .ranges.map(({ job, first, count, width, node }) => `${job}/${first}+${count}*${width}@${node}`);
}

/** Plans and logs what is given out in ranges; gives it. */
function place(leader: Leader): { job: number; node: number; first: number; count: number; width: number }[] {
  leader.observe();
  const { ranges } = leader.planAll();
  expect(leader.logRanges(ranges)).toBe(0);
  return ranges;
}

/** All tasks of the unit succeed, each after so many ms. */
function endAll(
  leader: Leader,
  { job, node, first, count }: { job: number; node: number; first: number; count: number },
  ms: number,
): void {
  const ends = Array.from({ length: count }, (_, task): [number, number, number] => [task, 1_000_000, 1_000_000 + ms]);
  expect(leader.cluster.end(job, node, first, ...ends)).toBe(0);
  leader.observe();
}

// Nodes have 4 slots and 8 io tasks.
describe("tasks of arrays are given out together", () => {
  test("as many as there is room for while nothing is known of them, and on all nodes alike", () => {
    const leader = new Leader(Cluster.ofNewest(3));
    leader.cluster.submit({ count: 100 });
    leader.cluster.submit({ count: 5, driver: "noop", run: undefined });
    leader.observe();
    expect(names(leader)).toEqual([
      "1/0+4*4@1",
      "1/4+4*4@2",
      "1/8+4*4@3",
      "2/0+2*2@1",
      "2/2+1*1@2",
      "2/3+1*1@3",
      "2/4+1*1@2",
    ]);
    expect(leader.planAll()).toEqual({ units: [], ranges: [] });
  });

  test("more than run at once when they are short, so that their nodes are busy for a while", () => {
    const leader = new Leader(Cluster.ofNewest(3));
    leader.cluster.submit({ count: 1_000_000 });
    for (const unit of place(leader)) endAll(leader, unit, 5);
    const [first, ...others] = place(leader);
    expect(first).toMatchObject({ count: (4 * limits.unitMs) / 5, width: 4 });
    expect(others.map(({ count, width }) => [count, width])).toEqual([
      [200, 4],
      [200, 4],
    ]);
    endAll(leader, first!, 5);
    expect(place(leader)).toHaveLength(1);
  });

  test("one by one when they are long", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    leader.cluster.submit({ count: 100 });
    for (const unit of place(leader)) endAll(leader, unit, 60_000);
    expect(place(leader)).toMatchObject([{ first: 4, count: 4, width: 4 }]);
  });

  test("no more than a few thousand on one node, of those that take no time at all, with room for others beside them", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    leader.cluster.submit({ count: 1_000_000, driver: "noop", run: undefined });
    for (const unit of place(leader)) endAll(leader, unit, 0);
    const given = place(leader);
    for (const node of [1, 2]) {
      const own = given.filter((unit) => unit.node === nodeId(node));
      expect(own.reduce((sum, { count }) => sum + count, 0)).toBe(limits.unitTasksOut);
      expect(own.every(({ count, width }) => count === limits.unitTasks && width === 1)).toBe(true);
    }
    leader.cluster.submit({ driver: "noop", run: undefined });
    expect(leader.place()).toHaveLength(1);
    endAll(leader, given[0]!, 0);
    expect(place(leader)).toHaveLength(1);
  });

  test("in ever smaller units towards the end, so that no node has the rest of the work", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    leader.cluster.submit({ count: 108 });
    for (const unit of place(leader)) endAll(leader, unit, 1);
    expect(place(leader).map(({ count }) => count)).toEqual([25, 19, 14, 11, 8, 6, 5, 3]);
  });

  test("in units of the size that their job asks for, of which no more run at once than there is room for", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    const job = leader.cluster.submit({ count: 70, unit: 30 });
    expect(leader.cluster.job(job).spec["unit"]).toBe(30);
    leader.observe();
    expect(names(leader)).toEqual(["1/0+30*4@1", "1/30+30*4@2"]);
  });

  test("only as far as `parallel` goes, whether they run or wait on a node", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    const job = leader.cluster.submit({ count: 100, parallel: 6, unit: 4 });
    const [first] = place(leader);
    expect(leader.cluster.job(job).counts.running).toBe(6);
    expect(leader.cluster.end(job, first!.node, first!.first, [1, 1, 2])).toBe(0);
    expect(place(leader)).toMatchObject([{ first: 6, count: 1 }]);
  });

  test.each([{}, { unit: 30 }])("without any that waits on a node, where failures may stop the job, in %p", (spec) => {
    const leader = new Leader(Cluster.ofNewest(1));
    leader.cluster.submit({ count: 100, max_failures: 3, ...spec });
    for (const unit of place(leader)) endAll(leader, unit, 1);
    expect(place(leader)).toMatchObject([{ count: 4, width: 4 }]);
  });

  test.each([{}, { unit: 30 }])("without any that waits on a node and would be lost with it, in %p", (spec) => {
    const leader = new Leader(Cluster.ofNewest(1));
    leader.cluster.submit({ count: 100, on_lost: "fail", ...spec });
    const [first] = place(leader);
    expect(first).toMatchObject({ count: 4, width: 4 });
    endAll(leader, first!, 1);
    expect(place(leader)).toMatchObject([{ count: 4, width: 4 }]);
  });

  test("to whoever shares in small parts, so that shares come out as they should", () => {
    const leader = new Leader(Cluster.ofNewest(3));
    for (const name of ["anna", "bert"]) {
      const token = { id: `t-${name}`, hash: "h", name, kind: "api", role: "operator" } as const;
      leader.cluster.must("token.create", { ...token, expiresAt: null, uses: null }, admin);
      const { jobs } = commandByName("job.submit").input.parse({ jobs: [{ run: "true", count: 100 }] });
      leader.cluster.must("job.submit", { jobs }, { token: `t-${name}`, name, role: "operator" });
    }
    place(leader);
    expect([1, 2].map((job) => leader.cluster.job(job).counts.running)).toEqual([6, 6]);
  });

  test("one by one, with rows, in a cluster whose members do not all know units (S2)", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ count: 3 });
    expect(leader.place()).toEqual(["1/0.1@1", "1/1.1@1", "1/2.1@1"]);
  });
});

describe("what a unit takes of its node", () => {
  test("comes free as its last tasks end", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    const job = leader.cluster.submit({ count: 6, unit: 6 });
    place(leader);
    leader.cluster.submit({ count: 9 });
    expect(place(leader)).toEqual([]);
    leader.cluster.end(job, 1, 0, [0, 1, 2], [1, 1, 2]);
    expect(place(leader)).toEqual([]); // the other four run now
    leader.cluster.end(job, 1, 0, [2, 1, 2]);
    expect(place(leader)).toMatchObject([{ job: 2, count: 1 }]);
    leader.cluster.finish(job, 3, 1, 1, "failed");
    expect(place(leader)).toMatchObject([{ job: 2, count: 1 }]);
  });

  test("is known to the next leader, who goes on with both", () => {
    const first = new Leader(Cluster.ofNewest(2));
    const { cluster } = first;
    const job = cluster.submit({ count: 40, unit: 6, retries: { max: 1, backoff: "0s", jitter: 0 } });
    const [unit] = place(first);
    cluster.end(job, unit!.node, unit!.first, [0, 1, 2], [1, 1, 2], [2, 1, 2]);
    const next = new Leader(cluster);
    expect(place(next)).toMatchObject([{ first: 12, count: 6, width: 1, node: unit!.node }]);
    cluster.finish(job, unit!.first + 3, 1, unit!.node, "failed");
    expect(next.place()).toEqual([`${job}/${unit!.first + 3}.2@${unit!.node}`]);
  });

  test("is given to others when its node is lost", () => {
    const leader = new Leader(Cluster.ofNewest(2));
    const job = leader.cluster.submit({ count: 8, unit: 4 });
    place(leader);
    leader.cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    leader.observe();
    expect(leader.place()).toEqual([]);
    const unit = { job, node: 1, first: 0, count: 4 };
    endAll(leader, leader.cluster.task(job, 0).node === 1 ? unit : { ...unit, first: 4 }, 1);
    expect(leader.place()).toHaveLength(4);
  });

  test("comes free when its job is cancelled and its tasks have ended", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    const job = leader.cluster.submit({ count: 8, unit: 8 });
    place(leader);
    leader.cluster.must("job.cancel", { id: jobId(job) }, admin);
    leader.cluster.submit({ count: 4 });
    expect(place(leader)).toEqual([]);
    for (let task = 0; task < 8; task++) leader.cluster.finish(job, task, 1, 1, "cancelled");
    expect(place(leader)).toMatchObject([{ job: 2, count: 4 }]);
  });
});

describe("a plan of ranges that the log does not take", () => {
  test("is made anew, with all that was planned after it", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    const job = leader.cluster.submit({ count: 100, driver: "noop", run: undefined, unit: 2 });
    leader.observe();
    const [lost] = leader.planAll(undefined, 1).ranges;
    const after = leader.planAll(undefined, 2).ranges;
    const { refused } = leader.cluster.must("range.assign", { units: after });
    expect(refused).toHaveLength(2); // they leave a gap
    leader.observe();
    leader.view.rangesSettled([lost!], leader.cluster.database);
    expect(leader.planAll().ranges).toEqual([]); // what is under way would be planned twice
    leader.view.rangesSettled(refused, leader.cluster.database);
    expect(place(leader)[0]).toMatchObject({ job, first: 0 });
  });

  test("though it was given up, is seen when it is logged all the same", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    leader.cluster.submit({ count: 20 });
    leader.observe();
    const { ranges } = leader.planAll();
    leader.view.rangesSettled(ranges, leader.cluster.database);
    leader.cluster.must("range.assign", { units: ranges });
    expect(place(leader)).toEqual([]);
    endAll(leader, ranges[0]!, 1);
    expect(place(leader)[0]).toMatchObject({ first: 4 });
  });
});

describe("tasks about targets", () => {
  /** Of driver ansible on nodes with so many rooms each; playbooks have no more than thirty hosts a process. */
  const groupOf = (
    left: number,
    rooms: number,
    nodes: number,
    wants: { readonly unitUnknown?: number; readonly mayStop?: boolean } = {},
  ) =>
    unitSize(
      {
        unit: undefined,
        unitUnknown: limits.ansibleHosts,
        mayStop: false,
        isOnce: false,
        isGroup: true,
        pace: new Pace(),
        ...wants,
      },
      left,
      rooms,
      nodes,
    ).count;

  test("of a module of ansible's go to few rooms in larger units, so that each room starts it once", () => {
    expect([groupOf(120, 2, 1), groupOf(60, 1, 1)]).toEqual([60, 60]);
    expect(groupOf(10_000, 2, 1)).toBe(limits.ansibleHosts);
    // Where there is room for units of thirty these are enough.
    expect(groupOf(120, 64, 1)).toBe(30);
    expect(groupOf(10, 4, 2)).toBe(8);
    expect(groupOf(1_000, 2, 1, { unitUnknown: limits.unitTargets })).toBe(30);
    expect(groupOf(1_000, 2, 1, { mayStop: true })).toBe(30);
  });

  const sizeOf = (pace: Pace, left = 10_000, unit?: number) =>
    unitSize(
      {
        unit,
        unitUnknown: limits.unitTargets,
        mayStop: false,
        isOnce: false,
        isGroup: false,
        pace,
      },
      left,
      64,
      3,
    );

  test("go thirty together at most while nothing is known of them, and while they take long", () => {
    expect(sizeOf(new Pace())).toEqual({ count: 30, width: 30 });
    expect(sizeOf(new Pace(), 60)).toEqual({ count: 20, width: 20 });
    const slow = new Pace();
    slow.saw(30, 30 * 2_000);
    expect(sizeOf(slow)).toEqual({ count: 30, width: 30 });
  });

  test("go as others do once they are known to be short, or as their spec says", () => {
    const short = new Pace();
    short.saw(30, 30 * 5);
    // A node's half of what is left.
    expect(sizeOf(short).count).toBe(Math.ceil(10_000 / 6));
    expect(sizeOf(new Pace(), 10_000, 100)).toEqual({ count: 100, width: 64 });
  });

  test("a job of them is told to the planner as one", () => {
    const leader = new Leader(Cluster.ofNewest(1));
    leader.cluster.submit({ targets: "web[1-9]" });
    leader.observe();
    expect(names(leader)).toEqual(["1/0+4*4@1"]);
    expect([openJob(leader.cluster.database, jobId(1))?.unitUnknown, limits.unitTargets]).toEqual([30, 30]);
  });

  test("go as one process of ansible, in the room of one task, to nodes that have it; and why others get none is told", () => {
    const leader = new Leader(Cluster.ofNewest(3));
    const { cluster } = leader;
    cluster.submit({ driver: "ansible", run: undefined, ansible: { module: "ping" }, targets: "web[1-100]" });
    leader.observe();
    expect(names(leader)).toEqual([]);
    for (const node of [1, 2]) cluster.must("node.label", { node, labels: { ansible: "yes" } }, admin);
    // Each unit takes one slot.
    const placed = place(leader).map(({ node, count, width }) => [node, count, width]);
    expect(placed.map(([, count, width]) => [count, width])).toEqual([
      [30, 1],
      [30, 1],
      [20, 1],
      [10, 1],
      [8, 1],
      [2, 1],
    ]);
    expect(new Set(placed.map(([node]) => node))).toEqual(new Set([1, 2]));
    const terms = openJob(cluster.database, jobId(1))!.terms;
    const [third] = leader.view.standings(() => undefined).filter(({ row }) => row.id === 3);
    expect(standingOf(third!, { terms, io: false, need: 1, resources: [] })).toMatchObject({
      state: "never",
      reasons: [expect.stringContaining("node n3 has no ansible")],
    });
  });
});
