import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { runningTasksOn } from "../../src/state/planning.ts";
import { totals } from "../../src/state/queries.ts";
import { sql } from "../../src/state/tx.ts";
import { admin, announcement, Cluster } from "../state/support.ts";
import { Leader, namesOf, perNode } from "./leader.ts";

describe("a plan", () => {
  test("spreads tasks over all nodes up to their slots", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 300 });
    expect(perNode(leader.place())).toEqual([4, 4, 4]);
    expect(leader.place()).toEqual([]);
    leader.finish(1, 0, 1, 1);
    expect(leader.place()).toEqual(["1/12.1@1"]);
  });

  test("goes by priority, then by age", () => {
    const leader = new Leader(Cluster.of(1));
    for (const priority of [50, 10, 90, 50]) leader.cluster.submit({ priority, slots: 2 });
    expect(leader.place()).toEqual(["1/0.1@1", "3/0.1@1"]);
    leader.finish(1, 0, 1, 1);
    leader.finish(3, 0, 1, 1);
    expect(leader.place()).toEqual(["2/0.1@1", "4/0.1@1"]);
  });

  test("a job that fits nowhere does not hold up the others", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ slots: 5, priority: 90 });
    leader.cluster.submit({ on: "number=9", priority: 80 });
    leader.cluster.submit({ on: "number=2" });
    expect(leader.place()).toEqual(["3/0.1@2"]);
  });

  test("tasks without slots are bounded by io tasks, slots by slots", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ driver: "noop", run: undefined, count: 20 });
    leader.cluster.submit({ count: 20 });
    const placed = leader.place();
    expect(placed.filter((name) => name.startsWith("1/"))).toHaveLength(8);
    expect(placed.filter((name) => name.startsWith("2/"))).toHaveLength(4);
  });

  test("keeps to `parallel`", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 5, parallel: 2 });
    expect(leader.place()).toHaveLength(2);
    expect(leader.place()).toEqual([]);
    leader.finish(1, 0, 1, 1);
    expect(leader.place()).toHaveLength(1);
  });

  test("each_node tasks go to their own node, whenever it has room", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 4, on: "number=2" });
    expect(leader.place()).toHaveLength(4);
    leader.cluster.submit({ each_node: true });
    expect(leader.place()).toEqual(["2/0.1@1", "2/2.1@3"]);
    leader.finish(1, 0, 1, 2);
    expect(leader.place()).toEqual(["2/1.1@2"]);
  });

  test("uses only nodes that are eligible and up", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 20 });
    leader.cluster.must("node.drain", { node: 3 }, admin);
    expect(perNode(leader.place([2, 3]))).toEqual([0, 4, 0]);
  });

  test("is bounded, and goes on where it stopped", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 12 });
    leader.observe();
    const first = leader.plan(undefined, 5);
    expect(namesOf(first)).toHaveLength(5);
    expect(namesOf(leader.plan(undefined, 100))).toHaveLength(7);
  });

  test("a node that joins is used at once", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ count: 8 });
    expect(leader.place()).toHaveLength(4);
    leader.cluster.join(2);
    expect(perNode(leader.place())).toEqual([0, 4, 0]);
  });
});

describe("a job that needs more slots than are free", () => {
  test("has a node held for it: younger and lower ones fill the others", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ count: 8 });
    leader.place();
    leader.cluster.submit({ slots: 4 });
    leader.cluster.submit({ count: 9 });
    leader.cluster.submit({ count: 9, priority: 10 });
    const onOne = [0, 1, 2, 3, 4, 5, 6, 7].filter((task) => leader.cluster.task(1, task).node === 1);
    leader.finish(1, onOne[0]!, 1, 1); // n1 lacks the least from now on
    expect(leader.place()).toEqual([]);
    leader.finish(1, 7, 1, leader.cluster.task(1, 7).node!);
    expect(perNode(leader.place())).toEqual([0, 1, 0]);
    for (const task of onOne.slice(1)) {
      leader.finish(1, task, 1, 1);
      const placed = leader.place();
      expect(placed).toEqual(task === onOne[3] ? ["2/0.1@1"] : []);
    }
  });

  test("does not hold up tasks without slots, nor a higher priority", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ count: 2 });
    leader.place();
    leader.cluster.submit({ slots: 4 });
    leader.cluster.submit({ driver: "noop", run: undefined });
    leader.cluster.submit({ priority: 90 });
    expect(leader.place()).toEqual(["3/0.1@1", "4/0.1@1"]);
  });

  test("empties one node only, however many kinds of such jobs wait", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ count: 6 });
    leader.place();
    leader.cluster.submit({ slots: 4 });
    leader.cluster.submit({ slots: 3 });
    leader.cluster.submit({ slots: 4, on: "number" });
    leader.cluster.submit({ count: 9 });
    expect(perNode(leader.place()).toSorted((a, b) => a - b)).toEqual([0, 0, 1]);
  });

  test("has its own node held when it is pinned, and no more of them than it may run at once", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ count: 9 });
    leader.place();
    leader.cluster.submit({ each_node: true, slots: 2, parallel: 2 });
    leader.cluster.submit({ count: 9 });
    expect(perNode(leader.place())).toEqual([0, 0, 1]);
    const task = [0, 1, 2, 3, 4, 5, 6, 7, 8].find((one) => leader.cluster.task(1, one).node === 2)!;
    leader.finish(1, task, 1, 2);
    expect(leader.place()).toEqual(["2/1.1@2"]);
  });

  test("is served before younger jobs of a bucket whose first job is older", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ parallel: 1, count: 9 });
    leader.cluster.submit({ slots: 4 });
    leader.cluster.submit({ count: 9 });
    expect(leader.place()).toEqual(["1/0.1@1"]);
  });

  test("lets the younger ones have what it leaves, in the same plan", () => {
    const leader = new Leader(Cluster.of(2));
    for (const slots of [1, 2, 1, 2, 1, 4]) leader.cluster.submit({ slots });
    expect(leader.place().map((name) => name.slice(0, 1))).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("starts after a bounded number of ends, whatever streams past it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.record({ ends: fc.integer({ min: 1, max: 3 }), lower: fc.boolean() }), {
          minLength: 60,
          maxLength: 60,
        }),
        fc.boolean(),
        (nodes, steps, pinned) => {
          const leader = new Leader(Cluster.of(nodes));
          const { cluster } = leader;
          const running: string[] = [];
          const place = (): void => void running.push(...leader.place());
          cluster.submit({ count: nodes * 4 });
          place();
          const big = cluster.submit({ slots: 4, each_node: pinned });
          let ends = 0;
          for (const { ends: count, lower } of steps) {
            for (let small = 0; small < count; small++) cluster.submit({ priority: lower ? 10 : 50 });
            place();
            if (cluster.job(big).state === "running") return;
            for (const name of running.splice(0, count)) {
              const [job, task, attempt, node] = name.split(/[/.@]/).map(Number) as [number, number, number, number];
              leader.finish(job, task, attempt, node);
              ends += 1;
            }
            expect(ends).toBeLessThanOrEqual(4 * nodes * 4);
          }
          place();
          expect(cluster.job(big).state).toBe("running");
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe("retries", () => {
  test("wait for their time, then prefer another node", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ retries: { max: 2, backoff: "5s", jitter: 0 } });
    expect(leader.place([1])).toEqual(["1/0.1@1"]);
    leader.finish(1, 0, 1, 1, "failed");
    expect(leader.place()).toEqual([]);
    expect(leader.view.nextWakeMs(leader.cluster.now)).toBe(5000);
    leader.cluster.now += 5000;
    expect(leader.place()).toEqual(["1/0.2@2"]);
    expect(leader.view.nextWakeMs(leader.cluster.now)).toBeUndefined();
  });

  test("a new leader goes on with the remaining time and still avoids the node (J4)", () => {
    const before = new Leader(Cluster.of(2));
    before.cluster.submit({ retries: { max: 2, backoff: "5s", jitter: 0 } });
    before.place([1]);
    before.finish(1, 0, 1, 1, "failed");
    before.cluster.now += 3000;
    const leader = new Leader(before.cluster);
    expect(leader.view.nextWakeMs(leader.cluster.now)).toBe(2000);
    leader.cluster.now += 2000;
    expect(leader.place()).toEqual(["1/0.2@2"]);
  });

  test("wait as long as they should when the wall clock is set meanwhile (J4)", () => {
    for (const setBy of [-3_600_000, 3_600_000]) {
      const leader = new Leader(Cluster.of(1));
      leader.cluster.submit({ retries: { max: 1, backoff: "5s", jitter: 0 } });
      leader.place();
      const began = leader.cluster.now;
      leader.cluster.now += setBy; // what stamps the entries; the plan's own clock goes on
      leader.cluster.finish(1, 0, 1, 1, "failed");
      leader.view.observe(leader.cluster.events.at(-1)!, leader.cluster.database, began);
      expect(leader.view.nextWakeMs(began)).toBe(5000);
    }
  });

  test("with one node left, that one", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ retries: { max: 1, backoff: "0s" } });
    leader.place();
    leader.finish(1, 0, 1, 1, "failed");
    expect(leader.place()).toEqual(["1/0.2@1"]);
  });

  test("a lost node's tasks come first and at once, and not to it until it is back", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ count: 20 });
    leader.place();
    leader.cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(leader.place()).toEqual([]); // n1 is full
    leader.finish(1, 0, 1, 1);
    expect(leader.place()).toEqual(["1/1.2@1"]);
    leader.cluster.must("node.seen", { node: nodeId(2), ...announcement(2) });
    expect(perNode(leader.place())).toEqual([0, 4, 0]);
  });

  test("each_node tasks wait for their own node", () => {
    const leader = new Leader(Cluster.of(2));
    leader.cluster.submit({ each_node: true });
    leader.place();
    leader.cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(leader.place()).toEqual([]);
    leader.cluster.must("node.seen", { node: nodeId(2), ...announcement(2) });
    expect(leader.place()).toEqual(["1/1.2@2"]);
  });
});

describe("plans and the log", () => {
  test("what is proposed is not planned again, and what was not logged is", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit({ count: 2 });
    leader.observe();
    const units = leader.plan();
    expect(namesOf(units)).toEqual(["1/0.1@1", "1/1.1@1"]);
    expect(leader.plan()).toEqual([]);
    leader.view.settled(units, leader.cluster.database);
    expect(leader.place()).toEqual(["1/0.1@1", "1/1.1@1"]);
  });

  test("a plan given up that reaches the log after all is believed", () => {
    const leader = new Leader(Cluster.of(1));
    leader.cluster.submit();
    leader.observe();
    const units = leader.plan();
    leader.view.settled(units, leader.cluster.database);
    expect(leader.log(units)).toBe(0);
    expect(leader.place()).toEqual([]);
    leader.finish(1, 0, 1, 1);
    expect(leader.cluster.job(1).state).toBe("succeeded");
  });

  test("cancelled, finished and stopped jobs are planned no more and leave their room", () => {
    const leader = new Leader(Cluster.of(1));
    const [cancelled, stopped] = [
      leader.cluster.submit({ count: 9 }),
      leader.cluster.submit({ count: 9, max_failures: 0 }),
    ];
    leader.observe();
    leader.cluster.must("job.cancel", { id: cancelled as never }, admin);
    expect(leader.place()).toHaveLength(4);
    leader.finish(stopped, 0, 1, 1, "failed");
    expect(leader.place()).toEqual([]);
    for (const task of [1, 2, 3]) leader.finish(stopped, task, 1, 1);
    expect(leader.cluster.job(stopped).state).toBe("failed");
    leader.cluster.submit({ count: 9 });
    expect(leader.place()).toHaveLength(4);
  });

  test("a view that read a newer state than the entries it then sees counts nothing twice", () => {
    const cluster = Cluster.of(1);
    const early = new Leader(cluster); // has seen nothing of what follows
    const job = cluster.submit({ count: 9, retries: { max: 1, backoff: "0s" } });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    const late = new Leader(cluster);
    for (const event of cluster.events) late.view.observe(event, cluster.database);
    expect(late.place()).toEqual(["1/0.2@1", "1/2.1@1", "1/3.1@1"]);
    for (const task of [1, 2, 3]) late.finish(job, task, 1, 1);
    late.finish(job, 0, 2, 1);
    expect(late.place()).toHaveLength(4);
    early.observe();
    expect(early.place()).toEqual([]);
  });
});

describe("jobs behind gates", () => {
  test("are not in the view, whoever reads it when, and are placed when the gate opens", () => {
    const leader = new Leader(Cluster.of(1));
    const parent = leader.cluster.submit();
    const child = leader.cluster.submit({ after: [parent] });
    const next = leader.cluster.submit({ key: "k" });
    const held = leader.cluster.submit({ key: "k" });
    expect(leader.place()).toEqual([`${parent}/0.1@1`, `${next}/0.1@1`]);
    expect([leader.view.hasWork(), new Leader(leader.cluster).view.hasWork()]).toEqual([false, false]);
    leader.finish(parent, 0, 1, 1);
    leader.finish(next, 0, 1, 1, "failed");
    expect(new Leader(leader.cluster).place()).toEqual([`${child}/0.1@1`, `${held}/0.1@1`]);
    leader.observe();
    expect(leader.view.hasWork()).toBe(false);
    expect(perNode([...runningTasksOn(leader.cluster.database, nodeId(1))].map(() => "@1"))).toEqual([2, 0, 0]);
  });

  test("what runs of a held job is counted, its retries wait, and a release has it planned again", () => {
    const leader = new Leader(Cluster.of(1));
    const { cluster } = leader;
    const job = cluster.submit({ count: 6, retries: { max: 3, backoff: "0s" } });
    const other = cluster.submit({ count: 9 });
    expect(leader.place()).toHaveLength(4);
    cluster.must("job.hold", { id: jobId(job) }, admin);
    leader.finish(job, 0, 1, 1, "failed");
    leader.finish(job, 1, 1, 1);
    // Three slots are the other job's now, or free: what is held takes none of them but for what runs.
    expect(leader.place()).toEqual([`${other}/0.1@1`, `${other}/1.1@1`]);
    expect(new Leader(cluster).place()).toEqual([]);
    leader.finish(job, 2, 1, 1, "failed");
    leader.finish(job, 3, 1, 1);
    expect(leader.place()).toEqual([`${other}/2.1@1`, `${other}/3.1@1`]);
    cluster.must("job.release", { id: jobId(job) }, admin);
    for (const task of [0, 1, 2, 3]) leader.finish(other, task, 1, 1);
    expect(leader.place()).toEqual([`${job}/0.2@1`, `${job}/2.2@1`, `${job}/4.1@1`, `${job}/5.1@1`]);
  });

  test("a job that is held while a plan for it is on its way is planned no further, and again after its release", () => {
    const leader = new Leader(Cluster.of(1));
    const { cluster } = leader;
    const job = cluster.submit({ count: 2 });
    leader.observe();
    const units = leader.plan();
    cluster.must("job.hold", { id: jobId(job) }, admin);
    expect(leader.log(units)).toBe(1);
    expect(leader.place()).toEqual([]);
    cluster.must("job.release", { id: jobId(job) }, admin);
    expect(leader.place()).toEqual([`${job}/0.1@1`, `${job}/1.1@1`]);
  });
});

describe("jobs that change before they have begun", () => {
  test("an each_node job of which a node goes away is still run by the others", () => {
    for (const gone of ["node.remove", "node.lost"] as const) {
      const leader = new Leader(Cluster.of(2));
      leader.cluster.submit({ each_node: true, on_lost: "fail" });
      leader.observe();
      if (gone === "node.remove") leader.cluster.must(gone, { node: 2 }, admin);
      else leader.cluster.must(gone, { node: nodeId(2), incarnation: "i2" });
      expect(leader.place()).toEqual(["1/0.1@1"]);
    }
  });

  test("a change that the state contained when it was read does not cost a job its turn", () => {
    const cluster = Cluster.of(1);
    for (let job = 1; job <= 2; job++) cluster.submit({ count: 5 });
    cluster.assign(1, 1, [0, 1]);
    const late = new Leader(cluster);
    for (const event of cluster.events) late.view.observe(event, cluster.database);
    expect(late.place()).toEqual(["1/1.1@1", "1/2.1@1", "1/3.1@1"]);
  });
});

describe("an entry of many jobs", () => {
  test("is taken in by and by, also while others are applied; nothing is planned before it is whole", () => {
    const leader = new Leader(Cluster.of(1));
    const { cluster, view } = leader;
    const many = limits.viewStepJobs * 3;
    const jobs = Array.from({ length: many }, () => ({ run: "true" }));
    cluster.must("job.submit", { jobs: commandByName("job.submit").input.parse({ jobs }).jobs }, admin);
    leader.see(1);
    expect([view.isWhole, view.queued(jobId(1)) !== undefined, view.queued(jobId(many))]).toEqual([
      false,
      true,
      undefined,
    ]);
    expect(() => leader.plan()).toThrow("whole");
    cluster.must("job.cancel", { id: jobId(many) }, admin);
    cluster.submit({ priority: 90 });
    leader.see(1);
    expect(view.isWhole).toBe(false);
    expect(leader.place()).toEqual([`${many + 1}/0.1@1`, "1/0.1@1", "2/0.1@1", "3/0.1@1"].toSorted());
    expect(view.queued(jobId(many))).toBeUndefined(); // it was over before its turn came
  });
});

describe("whatever happens", () => {
  const spec = fc.record({
    count: fc.integer({ min: 1, max: 12 }),
    slots: fc.integer({ min: 0, max: 3 }),
    priority: fc.constantFrom(10, 50, 90),
    parallel: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    on: fc.constantFrom("", "number=1", "number!=1"),
    retries: fc.constantFrom(undefined, { max: 2, backoff: "1s" }),
  });
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("submit" as const), spec, jobs: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("see" as const), steps: fc.integer({ min: 1, max: 4 }) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("plan" as const),
        limit: fc.integer({ min: 1, max: 20 }),
        logged: fc.constantFrom("yes" as const, "no" as const, "in the midst" as const),
      }),
    },
    { weight: 8, arbitrary: fc.record({ kind: fc.constant("finish" as const), pick: fc.nat(), good: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), node: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("elect" as const) }) },
  );

  interface Running {
    readonly job: number;
    readonly task: number;
    readonly attempt: number;
    readonly node: number;
  }
  const runningIn = ({ database }: Cluster): Running[] =>
    [1, 2, 3]
      .flatMap((node) => runningTasksOn(database, nodeId(node)))
      .sort((a, b) => a.job - b.job || a.task - b.task);
  const overParallel = sql("select id from job where running > ifnull(spec ->> 'parallel', 1e9)");

  function step1(leader: Leader, one: typeof step extends fc.Arbitrary<infer Step> ? Step : never): Leader {
    const { cluster } = leader;
    switch (one.kind) {
      case "submit": {
        const specs = Array.from({ length: one.jobs }, () => ({ run: "true", ...one.spec }));
        cluster.must("job.submit", { jobs: commandByName("job.submit").input.parse({ jobs: specs }).jobs }, admin);
        break;
      }
      case "see":
        leader.see(one.steps);
        break;
      case "plan": {
        leader.observe();
        const units = leader.plan(undefined, one.limit);
        expect(units.reduce((sum, unit) => sum + unit.tasks.length, 0)).toBeLessThanOrEqual(one.limit);
        if (units.length === 0) break;
        if (one.logged === "yes") leader.log(units);
        else if (one.logged === "no") leader.view.settled(units, cluster.database);
        else {
          // Its outcome is known while the view is in the midst of the entry.
          const { refused } = cluster.must("unit.assign", { units: units.map(({ ...unit }) => unit) });
          leader.see(1);
          leader.view.settled(refused, cluster.database);
        }
        break;
      }
      case "finish": {
        const tasks = runningIn(cluster);
        const task = tasks[one.pick % Math.max(1, tasks.length)];
        if (task !== undefined)
          cluster.finish(task.job, task.task, task.attempt, task.node, one.good ? "succeeded" : "failed");
        break;
      }
      case "lose":
        cluster.propose("node.lost", { node: nodeId(one.node), incarnation: `i${one.node}` });
        cluster.must("node.seen", { node: nodeId(one.node), ...announcement(one.node) });
        break;
      case "cancel": {
        const { submitted } = totals(cluster.database);
        if (submitted > 0) cluster.propose("job.cancel", { id: (1 + (one.pick % submitted)) as never }, admin);
        break;
      }
      case "elect":
        return new Leader(cluster);
    }
    return leader;
  }

  function check(cluster: Cluster): void {
    for (const tasks of Map.groupBy(runningIn(cluster), ({ node }) => node).values()) {
      const slots = tasks.map(({ job }) => (cluster.job(job).spec as { readonly slots?: number }).slots ?? 1);
      expect(slots.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(4);
      expect(slots.filter((one) => one === 0).length).toBeLessThanOrEqual(8);
    }
    expect(cluster.database.all(overParallel)).toEqual([]);
  }

  /** The view takes every change, and every job that it reads, in a step of its own. */
  const few = limits as { viewStepChanges: number; viewStepJobs: number };
  const { viewStepChanges, viewStepJobs } = limits;
  beforeAll(() => {
    few.viewStepChanges = 1;
    few.viewStepJobs = 1;
  });
  afterAll(() => {
    few.viewStepChanges = viewStepChanges;
    few.viewStepJobs = viewStepJobs;
  });

  test("nodes are never over their slots, jobs never over their parallel, and in the end every task has been placed", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom(1, 3), (steps, level) => {
        let leader = new Leader(Cluster.of(3));
        const { cluster } = leader;
        // Only tasks have rows of their own, or none (tables/only-task.ts).
        cluster.level = level;
        for (const one of steps) {
          leader = step1(leader, one);
          cluster.now += 100;
          check(cluster);
        }
        for (let round = 0; totals(cluster.database).jobsUnfinished > 0; round++) {
          expect(round).toBeLessThan(2000);
          cluster.now += 1500;
          leader.observe();
          const units = leader.plan();
          if (units.length > 0) expect(leader.log(units)).toBe(0);
          check(cluster);
          for (const one of runningIn(cluster)) cluster.finish(one.job, one.task, one.attempt, one.node);
        }
        expect(totals(cluster.database)).toMatchObject({ tasksQueued: 0, tasksRunning: 0 });
      }),
      { numRuns: 60 },
    );
  });
});
