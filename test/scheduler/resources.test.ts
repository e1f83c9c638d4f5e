import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { explainJob } from "../../src/scheduler/explain.ts";
import { waitingFacts } from "../../src/state/explaining.ts";
import { runningTasksOn } from "../../src/state/planning.ts";
import { totals } from "../../src/state/queries.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { admin, announcement, Cluster } from "../state/support.ts";
import { Leader, perNode } from "./leader.ts";

const GiB = 1_073_741_824;

/** A cluster whose nodes have these resources, in order. */
function having(...resources: Record<string, number>[]): Leader {
  const cluster = Cluster.of(resources.length);
  for (const [at, one] of resources.entries()) say(cluster, at + 1, one);
  return new Leader(cluster);
}

function say(cluster: Cluster, number: number, resources: Record<string, number>): void {
  cluster.must("node.seen", { node: nodeId(number), ...announcement(number), resources });
}

function words(leader: Leader, job: number): string[][] {
  const { database, now } = leader.cluster;
  const facts = waitingFacts(database, job)!;
  const standings = leader.view.standings(() => undefined);
  const view = explainJob(facts, leader.view.queued(job as never), standings, now);
  return [
    view.waiting[0]!.reasons.map(({ code }) => code),
    ...view.waiting[0]!.nodes.map(({ reasons }) => [...reasons]),
  ];
}

describe("resources", () => {
  test("a node runs no more tasks than its memory, cores and licenses allow; tasks without any take nothing of them", () => {
    const leader = having({ memory: 4 * GiB, cores: 2, license: 1 }, { memory: 4 * GiB, cores: 1 });
    leader.cluster.submit({ count: 9, slots: 0, resources: { memory: "1.5GiB" } });
    expect(perNode(leader.place())).toEqual([2, 2, 0]);
    leader.cluster.submit({ count: 9, slots: 0, resources: { cores: 0.4 } });
    expect(perNode(leader.place())).toEqual([5, 2, 0]);
    leader.cluster.submit({ count: 3, resources: { license: 1 } });
    expect(perNode(leader.place())).toEqual([1, 0, 0]);
    leader.cluster.submit({ count: 9 });
    expect(perNode(leader.place())).toEqual([3, 4, 0]);
  });

  test("ranges of an array are no wider on a node than its memory allows, however many slots it has", () => {
    const cluster = Cluster.ofNewest(2);
    for (const [number, memory] of [
      [1, 4 * GiB],
      [2, 2 * GiB],
    ] as const)
      cluster.must("node.seen", {
        node: nodeId(number),
        ...announcement(number),
        resources: { memory },
        level: ownLevel,
      });
    cluster.submit({ count: 100, resources: { memory: "1.5GiB" } });
    const leader = new Leader(cluster);
    leader.observe();
    const { units, ranges } = leader.planAll();
    expect(units).toEqual([]);
    expect(ranges.map(({ node, width }) => [Number(node), width])).toEqual([
      [1, 2],
      [2, 1],
    ]);
    expect(leader.logRanges(ranges)).toBe(0);
    expect(leader.planAll().ranges).toEqual([]);
  });

  test("what a node has not begun is taken back for no more than another one has room for", () => {
    const cluster = Cluster.ofNewest(2);
    for (const number of [1, 2])
      cluster.must("node.seen", {
        node: nodeId(number),
        ...announcement(number),
        resources: { memory: 4 * GiB },
        level: ownLevel,
      });
    const jobs = [1, 2, 3, 4].map(() => cluster.submit({ slots: 0, resources: { memory: "1.5GiB" } }));
    const leader = new Leader(cluster);
    leader.observe();
    const unbegun = jobs.map((id) => ({ job: jobId(id), task: 0, attempt: 1 }));
    const eligible = new Set([nodeId(1), nodeId(2)]);
    const taken = leader.view.betterElsewhere(nodeId(1), unbegun as never, eligible);
    expect(taken.map(({ job }) => Number(job))).toEqual([1, 2]);
  });

  test("what nobody has is waited for, and explain says so per node; a node that has it is used at once", () => {
    const leader = having({ memory: 4 * GiB }, {});
    leader.cluster.submit({ resources: { memory: "8GiB", license: 1 } });
    expect(leader.place()).toEqual([]);
    expect(words(leader, 1)).toEqual([
      ["no-node"],
      ["node n1 has no license, the task asks for 1", "node n1 has 4GiB of memory, the task asks for 8GiB"],
      ["node n2 has no license, the task asks for 1", "node n2 has no memory, the task asks for 8GiB"],
    ]);
    say(leader.cluster, 2, { memory: 16 * GiB, license: 2 });
    expect(leader.place()).toEqual(["1/0.1@2"]);
    leader.cluster.submit({ resources: { memory: "12GiB" } });
    leader.observe();
    expect(words(leader, 2)).toEqual([
      ["no-room"],
      ["node n2 has 8GiB of memory free, the task asks for 12GiB"],
      ["node n1 has 4GiB of memory, the task asks for 12GiB"],
    ]);
  });

  test("who waits for a resource keeps nobody from what it does not lack, and is not starved of what it does", () => {
    const leader = having({ memory: 4 * GiB, license: 1 });
    leader.cluster.submit({ resources: { license: 1 } });
    leader.cluster.submit({ resources: { memory: "1GiB" }, count: 2 });
    expect(leader.place()).toHaveLength(3);
    leader.cluster.submit({ resources: { license: 1 } }); // waits for the license, and keeps one slot
    leader.cluster.submit({ count: 3 });
    expect(leader.place()).toEqual([]);
    leader.finish(2, 0, 1, 1);
    expect(leader.place()).toEqual(["4/0.1@1"]);
    leader.finish(4, 0, 1, 1);
    leader.finish(2, 1, 1, 1);
    expect(leader.place()).toEqual(["4/1.1@1", "4/2.1@1"]);

    const other = having({ memory: 4 * GiB });
    other.cluster.submit({ count: 4, slots: 0, resources: { memory: "1GiB" } });
    other.place();
    other.cluster.submit({ slots: 0, resources: { memory: "4GiB" } });
    other.cluster.submit({ count: 9, slots: 0, resources: { memory: "1GiB" } });
    for (const task of [0, 1, 2]) {
      other.finish(1, task, 1, 1);
      expect(other.place()).toEqual([]);
    }
    other.finish(1, 3, 1, 1);
    expect(other.place()).toEqual(["2/0.1@1"]);
  });

  test("a drained node is emptied, a lost one gives back what it held, and an each_node job waits for its own node", () => {
    const leader = having({ license: 1 }, { license: 1 });
    leader.cluster.submit({ count: 4, resources: { license: 1 } });
    expect(perNode(leader.place())).toEqual([1, 1, 0]);
    leader.cluster.must("node.drain", { node: 1 }, admin);
    leader.finish(1, 0, 1, 1);
    expect(leader.place()).toEqual([]);
    expect(runningTasksOn(leader.cluster.database, nodeId(1))).toEqual([]);
    leader.cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    say(leader.cluster, 2, { license: 1 });
    expect(leader.place()).toEqual(["1/1.2@2"]);
    leader.cluster.must("node.undrain", { node: 1 }, admin);
    expect(leader.place()).toEqual(["1/2.1@1"]);
  });
});

describe("whatever happens", () => {
  const amounts = fc.record(
    { memory: fc.constantFrom("1GiB", "2GiB", "3GiB"), cores: fc.constantFrom(0.1, 0.5, 1.5), license: fc.constant(1) },
    { requiredKeys: [] },
  );
  const spec = fc.record({
    count: fc.integer({ min: 1, max: 6 }),
    slots: fc.integer({ min: 0, max: 3 }),
    priority: fc.constantFrom(10, 50),
    resources: amounts,
    each_node: fc.constantFrom(undefined, undefined, true),
  });
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("submit" as const), spec }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("plan" as const), logged: fc.boolean() }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("finish" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), node: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("drain" as const), node: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("elect" as const) }) },
  );
  const has = [
    { memory: 4 * GiB, cores: 2, license: 1 },
    { memory: 3 * GiB, cores: 1.5, license: 1 },
    { memory: 3 * GiB, cores: 2, license: 2 },
  ] as const;

  const running = ({ database }: Cluster) => [1, 2, 3].flatMap((node) => runningTasksOn(database, nodeId(node)));

  /** The sums, from the specs as people wrote them. */
  function check(cluster: Cluster): void {
    for (const [node, tasks] of Map.groupBy(running(cluster), (one) => one.node)) {
      const used = { memory: 0, cores: 0, license: 0, slots: 0, io: 0 };
      for (const { job } of tasks) {
        const { slots = 1, resources = {} } = cluster.job(job).spec as {
          slots?: number;
          resources?: { memory?: string; cores?: number; license?: number };
        };
        used.slots += slots;
        used.io += slots === 0 ? 1 : 0;
        used.memory +=
          resources.memory === undefined
            ? 0
            : Number.parseInt(resources.memory) / (resources.memory.endsWith("MiB") ? 1024 : 1);
        used.cores += Math.round((resources.cores ?? 0) * 10);
        used.license += resources.license ?? 0;
      }
      const total = has[node - 1]!;
      expect(used.memory).toBeLessThanOrEqual(total.memory / GiB);
      expect(used.cores).toBeLessThanOrEqual(total.cores * 10);
      expect(used.license).toBeLessThanOrEqual(total.license);
      expect(used.slots).toBeLessThanOrEqual(4);
      expect(used.io).toBeLessThanOrEqual(8);
    }
  }

  test("no node is over its resources, and in the end every job has run", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        let leader = having(...has);
        const { cluster } = leader;
        for (const one of steps) {
          if (one.kind === "submit") {
            // Both say how many tasks there are.
            const { each_node: pinned, count, ...rest } = one.spec;
            cluster.submit(pinned === true ? { ...rest, each_node: true } : { ...rest, count });
          } else if (one.kind === "plan") {
            leader.observe();
            const units = leader.plan(undefined, limits.assignmentsPerEntry);
            if (units.length > 0 && one.logged) leader.log(units);
            else leader.view.settled(units, cluster.database);
          } else if (one.kind === "finish") {
            const tasks = running(cluster);
            const task = tasks[one.pick % Math.max(1, tasks.length)];
            if (task !== undefined) cluster.finish(task.job, task.task, task.attempt, task.node);
          } else if (one.kind === "lose") {
            cluster.propose("node.lost", { node: nodeId(one.node), incarnation: `i${one.node}` });
            say(cluster, one.node, has[one.node - 1]!);
          } else if (one.kind === "drain") {
            cluster.must("node.drain", { node: one.node }, admin);
            check(cluster);
            cluster.must("node.undrain", { node: one.node }, admin);
          } else leader = new Leader(cluster);
          check(cluster);
        }
        for (let round = 0; totals(cluster.database).jobsUnfinished > 0; round++) {
          expect(round).toBeLessThan(2000);
          leader.observe();
          const units = leader.plan();
          if (units.length > 0) expect(leader.log(units)).toBe(0);
          check(cluster);
          for (const one of running(cluster)) cluster.finish(one.job, one.task, one.attempt, one.node);
        }
      }),
      { numRuns: 60 },
    );
  });
});
