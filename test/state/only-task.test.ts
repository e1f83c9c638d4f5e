import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { runningTasksOf, runningTasksOn, openJobs } from "../../src/state/planning.ts";
import {
  assignmentsOf,
  cancelledOn,
  findAssignment,
  listJobs,
  listNodes,
  listTasks,
  runningByNode,
  totals,
} from "../../src/state/queries.ts";
import { sql } from "../../src/state/tx.ts";
import type { Report } from "../../src/state/types.ts";
import { admin, announcement, Cluster } from "./support.ts";

/** From its level on, with members that understand it. */
function clusterAt(level: 2 | 3, nodes = 3): Cluster {
  const cluster = Cluster.of(nodes);
  for (let number = 1; number <= nodes; number++)
    cluster.must("node.seen", { node: nodeId(number), ...announcement(number), level: 3 });
  for (let to = 2; to <= level; to++) cluster.must("cluster.raise", { level: to });
  // Entries have the same numbers at each level: random numbers and fences come from them.
  for (let to = level; to < 3; to++)
    cluster.log.push({ index: cluster.log.length + 1, kind: "noop", data: new Uint8Array() });
  cluster.apply();
  cluster.level = level;
  return cluster;
}

const taskRows = sql("select * from task");
const attemptRows = sql("select * from attempt");

describe("a job of one task", () => {
  test("has no row but its own while it waits, runs and has ended, and is shown as any other", () => {
    const cluster = clusterAt(3);
    const job = cluster.submit({ run: "true" });
    cluster.assign(job, 2, [0, 1]);
    const fence = cluster.log.length;
    expect(cluster.task(job)).toMatchObject({ state: "running", node: 2, attempt: 1 });
    expect(findAssignment(cluster.database, job, 0, 1)).toMatchObject({ job: jobId(job), task: 0, attempt: 1, fence });
    cluster.must("task.start", { node: nodeId(2), tasks: [{ job: jobId(job), task: 0, attempt: 1, startedAt: 1e12 }] });
    expect(cluster.task(job).started_at).toBe("2001-09-09T01:46:40.000Z");
    const log = { bytes: 3, sha256: "aa" };
    cluster.finish(job, 0, 1, 2, "failed", { exitCode: 7, reason: "so it is", startedAt: 0, finishedAt: 2e12, log });
    expect(cluster.task(job)).toMatchObject({
      state: "failed",
      exit_code: 7,
      reason: "so it is",
      started_at: "2001-09-09T01:46:40.000Z",
      finished_at: "2033-05-18T03:33:20.000Z",
      tail: "out",
      log: { ...log, nodes: [2] },
      attempts: [{ attempt: 1, node: 2, state: "failed", exit_code: 7 }],
    });
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { failed: 1, running: 0 } });
    expect(cluster.database.all(taskRows)).toEqual([]);
    expect(findAssignment(cluster.database, job, 0, 1)).toBeUndefined();
    // The same report again, and one of a node that has nothing to do with it, change nothing (J1).
    expect(cluster.finish(job, 0, 1, 2)).toBe(false);
    expect(cluster.finish(job, 0, 1, 1)).toBe(false);
    cluster.must("task.start", { node: nodeId(2), tasks: [{ job: jobId(job), task: 0, attempt: 1, startedAt: 5 }] });
    expect(cluster.task(job)).toMatchObject({ state: "failed", started_at: "2001-09-09T01:46:40.000Z" });
  });

  test("that is tried again gets a row with its history, and its job is like any other from then on", () => {
    const cluster = clusterAt(3);
    const job = cluster.submit({ retries: { max: 1, jitter: 0 } });
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    expect(cluster.task(job)).toMatchObject({ state: "queued", attempt: 1, attempts: [{ attempt: 1, node: 1 }] });
    expect(cluster.database.all(taskRows)).toHaveLength(1);
    expect(cluster.assign(job, 1, [0, 1])).toBe(1);
    expect(cluster.assign(job, 3, [0, 2])).toBe(0);
    expect(cluster.finish(job, 0, 1, 1)).toBe(false);
    expect(cluster.finish(job, 0, 2, 3)).toBe(true);
    expect(cluster.task(job)).toMatchObject({ state: "succeeded", attempt: 2, node: 3 });
    expect(cluster.task(job).attempts.map(({ node, state }) => [node, state])).toEqual([
      [1, "failed"],
      [3, "succeeded"],
    ]);
  });

  test("that was assigned before the level was raised keeps its row, and one that was not has none (S2)", () => {
    const cluster = clusterAt(2);
    const [early, late] = [cluster.submit(), cluster.submit()];
    cluster.assign(early, 1, [0, 1]);
    cluster.must("cluster.raise", { level: 3 });
    cluster.level = 3;
    cluster.assign(late, 1, [0, 1]);
    expect(cluster.database.all<{ job: number }>(taskRows).map(({ job }) => job)).toEqual([early]);
    expect(runningTasksOn(cluster.database, nodeId(1)).map(({ job }) => job as number)).toEqual([early, late]);
    for (const job of [early, late]) expect(cluster.finish(job, 0, 1, 1)).toBe(true);
    expect(totals(cluster.database)).toMatchObject({ tasksRunning: 0, jobsUnfinished: 0 });
  });
});

// ------------------------------------------------------------------------------------------- against rows of their own

const spec = fc.record(
  {
    count: fc.constantFrom(1, 1, 1, 3),
    each_node: fc.constantFrom(undefined, undefined, undefined, true),
    retries: fc.constantFrom(undefined, { max: 1 }, { max: 2, on: ["failed", "timeout"], backoff: "1s" }),
    on_lost: fc.constantFrom("retry", "fail"),
    max_failures: fc.constantFrom(undefined, 0, 1),
    ttl: fc.constantFrom("1s", "1h"),
    parallel: fc.constantFrom(undefined, 1),
  },
  { requiredKeys: [] },
);
const node = fc.integer({ min: 1, max: 3 });
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("submit" as const), spec }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("assign" as const), pick: fc.nat(), node, from: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("start" as const), pick: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("finish" as const),
      pick: fc.nat(),
      state: fc.constantFrom<Report["state"]>("succeeded", "succeeded", "failed", "timeout", "cancelled", "lost"),
      stale: fc.constantFrom(0, 0, 0, 1),
      tail: fc.uint8Array({ maxLength: 3 }),
      log: fc.constantFrom(undefined, { bytes: 3, sha256: "aa" }),
      startedAt: fc.constantFrom(0, 77),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const), node }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("expire" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer One> ? One : never;

/** Does it in one cluster; gives what came of it. */
function act(cluster: Cluster, one: Step): unknown {
  const { database } = cluster;
  const jobs = totals(database).submitted;
  const jobOf = (pick: number): number => 1 + (pick % Math.max(1, jobs));
  const running = [1, 2, 3, 4].flatMap((id) => runningTasksOn(database, nodeId(id)));
  running.sort((a, b) => a.job - b.job || a.task - b.task);
  switch (one.kind) {
    case "submit":
      return cluster.submit(one.spec.each_node === true ? { ...one.spec, count: undefined } : one.spec);
    case "assign": {
      const open = openJobs(database, jobOf(one.pick), jobOf(one.pick), 1)[0];
      const waiting = open?.waiting[0];
      const [task, attempt] = waiting === undefined ? [open?.next ?? one.from, 1] : [waiting.task, waiting.attempt + 1];
      return cluster.assign(jobOf(one.pick), one.node, [task, attempt]);
    }
    case "start": {
      const at = running[one.pick % Math.max(1, running.length)];
      if (at === undefined) return "nothing runs";
      return cluster.must("task.start", { node: at.node, tasks: [{ ...at, startedAt: 99 }] as never });
    }
    case "finish": {
      const at = running[one.pick % Math.max(1, running.length)];
      if (at === undefined) return "nothing runs";
      const { state, tail, log, startedAt } = one;
      const more = { tail, log, startedAt, ...(state === "failed" ? { reason: "so it is" } : {}) };
      return cluster.finish(at.job, at.task, at.attempt + one.stale, at.node, state, more);
    }
    case "cancel":
      return cluster.propose("job.cancel", { id: jobId(jobOf(one.pick)) }, admin);
    case "lose": {
      const lost = cluster.propose("node.lost", { node: nodeId(one.node), incarnation: `i${one.node}` });
      return [lost, cluster.propose("node.seen", { node: nodeId(one.node), ...announcement(one.node), level: 3 })];
    }
    case "expire":
      return cluster.must("job.expire", { jobs: [jobId(jobOf(one.pick))] });
    default:
      return cluster.propose("node.remove", { node: "n3" }, admin);
  }
}

/** All that can be seen of it. */
function seen(cluster: Cluster): unknown {
  const { database } = cluster;
  const { deadLetters: _, ...sums } = totals(database); // counted at one of the two levels alone
  const jobs = listJobs(database, { limit: 1000 }).items;
  const nodes = [1, 2, 3].map(nodeId);
  const byJob = <Task extends { readonly job: number; readonly task: number }>(tasks: readonly Task[]): Task[] =>
    tasks.toSorted((a, b) => a.job - b.job || a.task - b.task);
  return {
    jobs,
    tasks: jobs.map(({ id }) => listTasks(database, id, { limit: 1000 })),
    failed: jobs.map(({ id }) => listTasks(database, id, { limit: 1000, state: "failed" })),
    single: jobs.map(({ id }) => cluster.task(id)),
    open: openJobs(database, 0, 1e6, 1000),
    runningOf: jobs.map(({ id }) => runningTasksOf(database, jobId(id))),
    runningOn: nodes.map((id) => byJob(runningTasksOn(database, id))),
    assignments: nodes.map((id) => assignmentsOf(database, id)),
    cancelled: nodes.map((id) => cancelledOn(database, id)),
    counts: [...runningByNode(database)].sort(([a], [b]) => a - b),
    totals: sums,
    nodes: listNodes(database).map(({ id, state }) => [id, state]),
    history: database.all(attemptRows),
  };
}

test("whatever happens, a job whose only task has no row looks and acts as one whose task has", () => {
  const met = { moved: 0, kept: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
      const [rows, none] = [clusterAt(2), clusterAt(3)];
      for (const one of steps) {
        for (const cluster of [rows, none]) cluster.now += 400;
        const [a, b] = [act(rows, one), act(none, one)];
        expect(b).toEqual(a);
        expect(none.changes()).toEqual(rows.changes());
        expect(seen(none)).toEqual(seen(rows));
      }
      met.kept += none.database.all(sql("select id from job where only_node is not null")).length;
      met.moved += none.database.all(
        sql("select job from attempt, job where job.id = attempt.job and tasks = 1"),
      ).length;
    }),
    { numRuns: 150 },
  );
  // Of both there was something to compare: some hundred and fifty, and fifty, by chance more or less.
  expect(met.kept).toBeGreaterThan(30);
  expect(met.moved).toBeGreaterThan(5);
}, 120_000);
