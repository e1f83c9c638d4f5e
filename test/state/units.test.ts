import { describe, expect, test } from "bun:test";
import { type JobId, jobId, nodeId } from "../../src/lib/ids.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { packRuns, type TaskRun } from "../../src/lib/task-runs.ts";
import { applyEntries } from "../../src/state/apply.ts";
import {
  assignmentsOf,
  findAssignment,
  findUnit,
  listTasks,
  runningByNode,
  totals,
  unitAssignmentsOf,
} from "../../src/state/queries.ts";
import { gatherEnded } from "../../src/state/choosing.ts";
import { RangeGatherer } from "../../src/lib/ranges.ts";
import { sql } from "../../src/state/tx.ts";
import type { TaskState, TaskView } from "../../src/state/types.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { admin, announcement, Cluster, openDatabase, report } from "./support.ts";

const nothing = { tail: new Uint8Array(0) };

const rowsOf = (cluster: Cluster, table: "task" | "unit" | "attempt"): number =>
  cluster.database.get<{ rows: number }>(sql(`select count(*) as rows from ${table}`))!.rows;

describe("tasks that a node is given together", () => {
  test("are one row, which takes a few bytes for each that ended", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 10_000 });
    expect(cluster.give(job, 1, 0, 4000, 4)).toBe(true);
    expect(cluster.changes()).toContainEqual({
      topic: "task",
      kind: "unit-assigned",
      job: jobId(job),
      first: 0,
      count: 4000,
      width: 4,
      node: nodeId(1),
    });
    expect(cluster.job(job)).toMatchObject({ state: "running", counts: { running: 4000, queued: 6000 } });
    const random = seededRandom(1);
    let at = 1_700_000_000_000;
    const ends = Array.from({ length: 4000 }, (_, task): [number, number, number] => {
      at += Math.floor(random() * 40);
      return [task, at, at + Math.floor(random() * 60)];
    });
    expect(cluster.end(job, 1, 0, ...ends)).toBe(0);
    for (const [task, startedAt, finishedAt] of [ends[0]!, ends[1777]!, ends[3999]!])
      expect(cluster.task(job, task)).toMatchObject({
        state: "succeeded",
        exit_code: 0,
        node: 1,
        attempt: 1,
        started_at: new Date(startedAt).toISOString(),
        finished_at: new Date(finishedAt).toISOString(),
      });
    expect([rowsOf(cluster, "task"), rowsOf(cluster, "unit")]).toEqual([0, 1]);
    const { bytes } = cluster.database.get<{ bytes: number }>(sql("select length(runs) as bytes from unit"))!;
    expect(bytes).toBeLessThan(4 * 4000);
    expect(totals(cluster.database)).toMatchObject({ tasksRunning: 0, tasksQueued: 6000 });
  });

  test("begin where the last ones ended: what leaves a gap, goes back or is given twice is refused (J1)", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 100 });
    expect(cluster.give(job, 1, 1, 10)).toBe(false);
    expect(cluster.give(job, 1, 0, 10)).toBe(true);
    expect(cluster.give(job, 2, 0, 10)).toBe(false);
    expect(cluster.give(job, 2, 5, 10)).toBe(false);
    expect(cluster.give(job, 2, 10, 91)).toBe(false);
    expect(cluster.give(job, 2, 10, 90)).toBe(true);
    expect(cluster.assign(job, 3, [3, 1])).toBe(1);
    expect(cluster.assign(job, 3, [3, 2])).toBe(1);
    expect([...runningByNode(cluster.database)]).toEqual([
      [1, 10],
      [2, 90],
    ]);
  });

  test("are not given of a job that is held up, at its parallel, or of one task, nor to a node that is drained", () => {
    const cluster = Cluster.ofNewest(3);
    const [bounded, single, held] = [
      cluster.submit({ count: 10, parallel: 4 }),
      cluster.submit(),
      cluster.submit({ count: 10 }),
    ];
    expect(cluster.give(bounded, 1, 0, 5)).toBe(false);
    expect(cluster.give(bounded, 1, 0, 4)).toBe(true);
    expect(cluster.give(bounded, 1, 4, 1)).toBe(false);
    expect(cluster.give(single, 1, 0, 1)).toBe(false);
    cluster.must("job.hold", { id: jobId(held) }, admin);
    expect(cluster.give(held, 1, 0, 5)).toBe(false);
    cluster.must("job.release", { id: jobId(held) }, admin);
    cluster.must("node.drain", { node: "n2" }, admin);
    expect(cluster.give(held, 2, 0, 5)).toBe(false);
    expect(cluster.give(held, 1, 0, 5)).toBe(true);
  });

  test("have rows when they come to something else, and are told one by one or together all the same", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 6, retries: { max: 1, jitter: 0 } });
    cluster.give(job, 1, 0, 6, 6);
    expect(cluster.finish(job, 1, 1, 1, "failed")).toBe(true);
    expect(cluster.finish(job, 2, 1, 1, "succeeded", nothing)).toBe(true); // as plain as the others: it stays
    expect(cluster.finish(job, 3, 1, 1)).toBe(true); // has output
    expect([rowsOf(cluster, "task"), rowsOf(cluster, "attempt")]).toEqual([2, 1]);
    // Refused: what was told before, whoever tells it again.
    expect(cluster.end(job, 1, 0, [0, 7, 9], [1, 7, 9], [2, 7, 9], [3, 7, 9], [4, 7, 9])).toBe(3);
    expect(cluster.finish(job, 0, 1, 1, "failed")).toBe(false);
    expect(cluster.task(job, 1)).toMatchObject({ state: "queued", attempt: 1 });
    expect(cluster.assign(job, 2, [1, 2])).toBe(0);
    expect(cluster.end(job, 1, 0, [1, 7, 9])).toBe(1); // of the attempt before
    expect(cluster.finish(job, 1, 2, 2, "succeeded", nothing)).toBe(true);
    expect(cluster.end(job, 1, 0, [5, 7, 9])).toBe(0);
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", counts: { succeeded: 6 } });
  });

  test("are told by their own node alone, and only those that are in the unit", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 10 });
    cluster.give(job, 1, 0, 4);
    cluster.give(job, 2, 4, 4);
    expect(cluster.end(job, 2, 0, [0, 1, 2])).toBe(1);
    expect(cluster.end(job, 1, 1, [0, 1, 2])).toBe(1);
    expect(cluster.end(job, 1, 0, [3, 1, 2], [4, 1, 2])).toBe(1);
    expect(cluster.end(99, 1, 0, [3, 1, 2])).toBe(1);
    expect(cluster.job(job).counts).toMatchObject({ succeeded: 1, running: 7 });
  });

  test("show when they began while they run", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 4 });
    cluster.give(job, 1, 0, 4, 4);
    const started = { job: jobId(job), attempt: 1, startedAt: 1_000_000 };
    const tasks = [1, 2].map((task) => ({ ...started, task }));
    expect(cluster.must("task.start", { node: nodeId(1), tasks }).started).toBe(2);
    expect(cluster.must("task.start", { node: nodeId(2), tasks }).started).toBe(0);
    expect(cluster.task(job, 1)).toMatchObject({ state: "running", started_at: "1970-01-01T00:16:40.000Z" });
    expect(rowsOf(cluster, "task")).toBe(0);
    expect(cluster.end(job, 1, 0, [0, 1, 2], [1, 1_000_000, 1_000_005], [2, 1_000_000, 1_000_005], [3, 5, 6])).toBe(0);
    expect(cluster.job(job).state).toBe("succeeded");
  });

  test("are found again by a node that has started, with what was added to their timeouts", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 10, timeout: "1m" });
    cluster.give(job, 2, 0, 8, 3);
    cluster.end(job, 2, 0, [0, 1, 2], [5, 1, 2]);
    cluster.finish(job, 6, 1, 2);
    cluster.must("job.extend", { id: jobId(job), by: 5000, task: 2 }, admin);
    const [unit, ...others] = unitAssignmentsOf(cluster.database, nodeId(2));
    expect([others, assignmentsOf(cluster.database, nodeId(2))]).toEqual([[], []]);
    expect(unit).toMatchObject({ job, first: 0, count: 8, width: 3, extended: [[2, 5000]] });
    expect(unit!.running).toEqual([
      { first: 1, count: 4 },
      { first: 7, count: 1 },
    ]);
    expect(unit!.at(3)).toMatchObject({ job, task: 3, attempt: 1, fence: unit!.fence, point: { index: 3 } });
    expect(findAssignment(cluster.database, job, 3, 1)).toEqual(unit!.at(3));
    expect(findUnit(cluster.database, job, 1)).toBeUndefined();
  });

  test("wait again, each by itself, when their node is lost, and end with it where they run at most once", () => {
    const cluster = Cluster.ofNewest(3);
    const [again, once] = [cluster.submit({ count: 5 }), cluster.submit({ count: 5, on_lost: "fail" })];
    for (const job of [again, once]) cluster.give(job, 2, 0, 5, 2);
    for (const job of [again, once]) cluster.end(job, 2, 0, [3, 1, 2]);
    expect(cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" }).attempts).toBe(8);
    expect(cluster.job(again).counts).toMatchObject({ queued: 4, succeeded: 1, running: 0 });
    expect(cluster.job(once)).toMatchObject({ state: "failed", counts: { lost: 4, succeeded: 1 } });
    expect(unitAssignmentsOf(cluster.database, nodeId(2))).toEqual([]);
    expect(cluster.end(again, 2, 0, [0, 1, 2])).toBe(1);
    expect(cluster.assign(again, 1, [0, 2], [1, 2], [2, 2], [4, 2])).toBe(0);
  });

  test("leave no unit behind that says nothing, and go with their job", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 5, ttl: "1s" });
    cluster.give(job, 1, 0, 2);
    cluster.give(job, 1, 2, 3);
    for (const task of [0, 1]) cluster.finish(job, task, 1, 1);
    expect(rowsOf(cluster, "unit")).toBe(1);
    cluster.end(job, 1, 2, [0, 1, 2], [1, 1, 2], [2, 1, 2]);
    cluster.now += 2000;
    cluster.must("job.expire", { jobs: [jobId(job)] });
    expect([rowsOf(cluster, "unit"), rowsOf(cluster, "task")]).toEqual([0, 0]);
  });

  test("of large jobs go in steps", () => {
    const cluster = Cluster.ofNewest(3);
    const job = cluster.submit({ count: 20_000, ttl: "1s" });
    for (let first = 0; first < 20_000; first += 4000) {
      cluster.give(job, 1, first, 4000);
      const run: TaskRun = { first: 0, count: 4000, kind: "ended", startedAt: 1, finishedAt: 2 };
      const units = [{ job: jobId(job), first, runs: packRuns([run]) }];
      cluster.must("range.finish", { node: nodeId(1), units });
    }
    expect(cluster.job(job).state).toBe("succeeded");
    cluster.must("job.remove", { id: jobId(job) }, admin);
    cluster.must("job.sweep", { rows: 100 });
    expect(rowsOf(cluster, "unit")).toBe(0);
  });
});

/** Every task of a job, page by page. */
function everyTask(cluster: Cluster, job: number, limit: number, state?: TaskState): TaskView[] {
  const tasks: TaskView[] = [];
  for (let next: string | undefined, first = true; first || next !== undefined; first = false) {
    const page = listTasks(cluster.database, job, { limit, next, state })!;
    tasks.push(...page.items);
    next = page.next;
  }
  return tasks;
}

/**
 * The same histories, on a cluster where tasks are given out and end in ranges, and on one that has a row for each: whoever looks sees the same.
 */
describe("whatever happens to an array", () => {
  const seeds = process.env["SKEIN_SEEDS"] ?? "1-8";
  const [low, high] = seeds.split("-").map(Number) as [number, number];
  for (let seed = low; seed <= high; seed++) {
    test(`its tasks are seen as if each had a row of its own (seed ${seed})`, () => {
      const history = new History(seed);
      for (let step = 0; step < 60; step++) history.step();
      history.finishAll();
      history.compare();
    });
  }
});

class History {
  readonly #random: () => number;
  readonly #ranges = Cluster.ofNewest(3);
  readonly #rows = Cluster.ofNewest(3);
  readonly #jobs: number[] = [];
  /** Running first attempts that were given out together: [job, node, first, tasks that run]. */
  #units: { job: number; node: number; first: number; running: Set<number> }[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#submit();
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  #pick<Item>(items: readonly Item[]): Item | undefined {
    return items[this.#below(items.length)];
  }

  /** On both; entries are given at the same instants. */
  #both<Value>(what: (cluster: Cluster) => Value): [Value, Value] {
    return [what(this.#ranges), what(this.#rows)];
  }

  step(): void {
    const advance = this.#below(300);
    this.#both((cluster) => (cluster.now += advance));
    const choice = this.#random();
    if (choice < 0.08 && this.#jobs.length < 4) this.#submit();
    else if (choice < 0.35) this.#give();
    else if (choice < 0.6) this.#succeed();
    else if (choice < 0.75) this.#endOne();
    else if (choice < 0.83) this.#retry();
    else if (choice < 0.86) this.#takeBack();
    else if (choice < 0.89) this.#start();
    else if (choice < 0.92) this.#extend();
    else if (choice < 0.96) this.#lose();
    else if (choice < 0.97) this.#cancel();
    else this.compare();
  }

  #submit(): void {
    const spec = {
      count: 2 + this.#below(30),
      timeout: "1m",
      ...(this.#random() < 0.5 ? { retries: { max: 2, jitter: 0 } } : {}),
      ...(this.#random() < 0.3 ? { on_lost: "fail" } : {}),
      ...(this.#random() < 0.2 ? { max_failures: 3 } : {}),
      ...(this.#random() < 0.3 ? { parallel: 1 + this.#below(30) } : {}),
    };
    const [job, other] = this.#both((cluster) => cluster.submit(spec));
    expect(job).toBe(other);
    this.#jobs.push(job);
  }

  /** A job that is not finished, as both have it. */
  #open(): { readonly id: number; readonly next: number; readonly left: number } | undefined {
    const id = this.#pick(this.#jobs);
    if (id === undefined) return undefined;
    const { next_task: next, tasks } = this.#ranges.database.get<{ next_task: number; tasks: number }>(
      sql("select next_task, tasks from job where id = ?"),
      id,
    )!;
    return { id, next, left: tasks - next };
  }

  #give(): void {
    const job = this.#open();
    if (job === undefined || job.left === 0) return;
    const [count, node] = [1 + this.#below(Math.min(job.left, 20)), 1 + this.#below(3)];
    const isTaken = this.#ranges.give(job.id, node, job.next, count, 1 + this.#below(count));
    if (!isTaken) return; // a job at its parallel takes a part of it where tasks are given one by one
    const tasks = Array.from({ length: count }, (_, at): [number, number] => [job.next + at, 1]);
    expect(this.#rows.assign(job.id, node, ...tasks)).toBe(0);
    this.#units.push({ job: job.id, node, first: job.next, running: new Set(tasks.map(([task]) => task)) });
  }

  /** Tells of some tasks of a unit that succeeded; now and then of some that do not run any more. */
  #succeed(share = 0.5): void {
    const unit = this.#pick(this.#units);
    if (unit === undefined) return;
    const told = [...unit.running].filter(() => this.#random() < share).sort((a, b) => a - b);
    if (told.length === 0) return;
    const at = this.#ranges.now - 500;
    const ends = told.map((task): [number, number, number] => {
      const startedAt = at + this.#below(100);
      return [task - unit.first, startedAt, startedAt + this.#below(50)];
    });
    const refused = this.#ranges.end(unit.job, unit.node, unit.first, ...ends);
    const reports = ends.map(([task, startedAt, finishedAt]) =>
      report(unit.job, unit.first + task, 1, "succeeded", { ...nothing, startedAt, finishedAt }),
    );
    expect(this.#rows.must("task.finish", { node: nodeId(unit.node), reports }).refused).toHaveLength(refused);
    if (this.#random() < 0.8) for (const task of told) unit.running.delete(task);
  }

  /** An attempt ends in whatever way, and is told by itself. */
  #endOne(state?: "succeeded", one = this.#pick(this.#running())): void {
    if (one === undefined) return;
    const how = state ?? this.#pick(["succeeded", "failed", "timeout", "lost", "cancelled"] as const)!;
    const at = this.#ranges.now - 200 + this.#below(50);
    const more = { ...(this.#random() < 0.5 ? nothing : {}), startedAt: at, finishedAt: at + 3 };
    const [a, b] = this.#both((cluster) => cluster.finish(one.job, one.task, one.attempt, one.node, how, more));
    expect([a, b]).toEqual([true, true]);
  }

  #running(): { job: number; task: number; attempt: number; node: number }[] {
    return this.#jobs.flatMap((job) =>
      everyTask(this.#rows, job, 1000, "running").map(({ task, attempt, node }) => ({
        job,
        task,
        attempt,
        node: node!,
      })),
    );
  }

  #retry(): void {
    const waiting = this.#jobs.flatMap((job) =>
      everyTask(this.#rows, job, 1000, "queued").filter((task) => task.attempt > 0),
    );
    const one = this.#pick(waiting);
    if (one === undefined) return;
    const node = 1 + this.#below(3);
    const [a, b] = this.#both((cluster) => cluster.assign(one.job, node, [one.task, one.attempt + 1]));
    expect(a).toBe(b);
  }

  #takeBack(): void {
    const node = 1 + this.#below(3);
    const own = this.#running().filter((one) => one.node === node && this.#random() < 0.5);
    if (own.length === 0) return;
    const attempts = own.map((one): [JobId, number, number] => [jobId(one.job), one.task, one.attempt]);
    const [a, b] = this.#both((cluster) => cluster.must("unit.recall", { node: nodeId(node), attempts }).recalled);
    expect(a).toBe(b);
  }

  #start(): void {
    const some = this.#running().filter(() => this.#random() < 0.3);
    for (const { node, ...one } of some) {
      const tasks = [{ ...one, job: jobId(one.job), startedAt: this.#ranges.now - 100 }];
      this.#both((cluster) => cluster.must("task.start", { node: nodeId(node), tasks }));
    }
  }

  #extend(): void {
    const id = this.#pick(this.#jobs);
    if (id === undefined) return;
    // One by one: all that run are others where what waits at a node is known from what has begun.
    const input = { id: jobId(id), by: 1000, task: this.#below(30) };
    const [a, b] = this.#both((cluster) => cluster.propose("job.extend", input, admin));
    expect(a).toEqual(b);
  }

  #lose(): void {
    const node = 1 + this.#below(3);
    const [a, b] = this.#both((cluster) => {
      const { attempts } = cluster.must("node.lost", { node: nodeId(node), incarnation: `i${node}` });
      cluster.must("node.seen", { node: nodeId(node), ...announcement(node), level: 3 });
      return attempts;
    });
    expect(a).toBe(b);
  }

  #cancel(): void {
    const id = this.#pick(this.#jobs);
    if (id !== undefined) this.#both((cluster) => cluster.propose("job.cancel", { id: jobId(id) }, admin));
  }

  /** Everything that is left is given out and succeeds, but for what was cancelled. */
  finishAll(): void {
    for (let round = 0; round < 2000; round++) {
      const isOver = this.#jobs.every((job) => this.#rows.job(job).finished_at !== null);
      if (isOver) break;
      for (const one of this.#running()) this.#endOne("succeeded", one);
      this.#retry();
      this.#give();
    }
    for (const job of this.#jobs) expect(this.#ranges.job(job).finished_at).not.toBeNull();
  }

  compare(): void {
    const limit = 1 + this.#below(40);
    for (const job of this.#jobs) {
      const [a, b] = this.#both((cluster) => cluster.job(job));
      expect(a).toEqual(b);
      const [tasks, others] = this.#both((cluster) => everyTask(cluster, job, limit));
      expect(tasks).toEqual(others);
      for (const task of tasks) expect(this.#ranges.task(job, task.task)).toEqual(task);
      const state = this.#pick(["running", "succeeded", "failed", "queued"] as const)!;
      const [found, same] = this.#both((cluster) => everyTask(cluster, job, limit, state));
      expect(found).toEqual(same);
      for (const how of ["failed", "unfinished"] as const) {
        const [chosen, alike] = this.#both((cluster) => {
          const into = new RangeGatherer();
          gatherEnded(cluster.database, job, how, 0, into);
          return into.ranges;
        });
        expect(chosen).toEqual(alike);
      }
    }
    const [sums, others] = this.#both(({ database }) => [
      totals(database),
      Object.fromEntries(runningByNode(database)),
    ]);
    expect(sums).toEqual(others);
    for (const node of [1, 2, 3]) {
      const names = ({ database }: Cluster): string[] => {
        const inUnits = unitAssignmentsOf(database, nodeId(node)).flatMap(({ job, running }) =>
          running.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => `${job}/${first + at}.1`)),
        );
        const singles = assignmentsOf(database, nodeId(node)).map((one) => `${one.job}/${one.task}.${one.attempt}`);
        return [...inUnits, ...singles].sort();
      };
      expect(names(this.#ranges)).toEqual(names(this.#rows));
    }
    this.#sameAfterRestart();
  }

  /** Whoever applies the log one by one, without what is held in memory, has the same state (S1). */
  #sameAfterRestart(): void {
    const { log, database, options } = this.#ranges;
    if (this.#random() > 0.1) return;
    let other = openDatabase();
    for (const entry of log) {
      if (this.#random() < 0.2) {
        const image = other.image();
        other.close();
        other = new StateDatabase({ path: ":memory:", schema: [], image });
      }
      applyEntries(other, [entry], options);
    }
    expect(other.hash).toBe(database.hash);
    other.close();
  }
}
