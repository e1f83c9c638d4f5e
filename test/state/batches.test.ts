import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { formatRanges, RangeGatherer } from "../../src/lib/ranges.ts";
import { gateWork } from "../../src/scheduler/gates.ts";
import { gatherEnded } from "../../src/state/choosing.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { isNormalised } from "../../src/state/commands/spec-schema.ts";
import { waitingFacts } from "../../src/state/explaining.ts";
import { openJob } from "../../src/state/planning.ts";
import { listTasks } from "../../src/state/queries.ts";
import { batchEnding, batchSizes, nextEnd } from "../../src/state/rolling.ts";
import { sql } from "../../src/state/tx.ts";
import type { Report } from "../../src/state/types.ts";
import { admin, Cluster } from "./support.ts";

/** Gives these tasks to n1; how many were taken. */
function give(cluster: Cluster, job: number, ...tasks: number[]): number {
  return tasks.length - cluster.assign(job, 1, ...tasks.map((task) => [task, 1] as const));
}

/** These tasks are given out and end so, each with its first attempt. */
function run(cluster: Cluster, job: number, tasks: readonly number[], state: Report["state"] = "succeeded"): void {
  expect(give(cluster, job, ...tasks)).toBe(tasks.length);
  for (const task of tasks) expect(cluster.finish(job, task, 1, 1, state)).toBe(true);
}

const upTo = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, at) => first + at);

/** What the newest entry told of batches. */
const begun = (cluster: Cluster): unknown[] =>
  cluster.changes().flatMap((change) => (change.kind === "batch" ? [[change.batch, change.first, change.count]] : []));

const release = (cluster: Cluster, job: number, batch?: number) =>
  cluster.propose("job.release", { id: jobId(job), ...(batch === undefined ? {} : { batch }) }, admin);

/** Lets the leader's duty do what time asks for; gives what it asked. */
function duty(cluster: Cluster): readonly number[] {
  const { open } = gateWork(cluster.database, cluster.now);
  if (open.length > 0) cluster.must("job.open", { jobs: open });
  return open;
}

test("sizes are counts or shares of all tasks, rounded up, and the last one goes on to the end: as counted one by one", () => {
  expect(batchSizes({ sizes: [1, "10%", "50%"] }, 300, 10)).toEqual([1, 30, 150, 119]);
  expect(batchSizes({ sizes: ["10%"] }, 30, 4)).toEqual([3, 3, 3, 3]);
  expect(batchSizes({ sizes: ["1%"] }, 5, 9)).toEqual([1, 1, 1, 1, 1]);
  expect(batchSizes({ sizes: [10, 5] }, 7, 9)).toEqual([7]);
  expect(batchEnding({ sizes: [1] }, 10_000_000, 5_000_000)).toEqual({
    now: 5_000_000,
    of: 10_000_000,
    first: 4_999_999,
    tasks: 1,
  });
  const random = seededRandom(7);
  for (let turn = 0; turn < 300; turn++) {
    const tasks = 1 + Math.floor(random() * 60);
    const sizes = Array.from({ length: 1 + Math.floor(random() * 4) }, () =>
      random() < 0.5 ? 1 + Math.floor(random() * 20) : `${1 + Math.floor(random() * 100)}%`,
    );
    const naive: number[] = [];
    for (let left = tasks, at = 0; left > 0; at++) {
      const size = sizes[Math.min(at, sizes.length - 1)]!;
      const count = typeof size === "number" ? size : Math.ceil((Number.parseInt(size, 10) * tasks) / 100);
      naive.push(Math.min(left, count));
      left -= naive.at(-1)!;
    }
    expect(batchSizes({ sizes }, tasks, Infinity)).toEqual(naive);
    let first = 0;
    for (const [at, count] of naive.entries()) {
      const end = nextEnd({ sizes }, tasks, first);
      expect(batchEnding({ sizes }, tasks, end)).toEqual({ now: at + 1, of: naive.length, first, tasks: count });
      first = end;
    }
  }
});

describe("one batch after the other", () => {
  test("nothing of a later one is given out, one by one or together, whoever plans it, before all of the one before has ended", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 12, batch: [1, "25%", "50%"] });
    expect(cluster.job(job)).toMatchObject({
      batch: { now: 1, of: 4, first: 0, tasks: 1 },
      spec: { batch: [1, "25%", "50%"] },
    });
    expect(openJob(cluster.database, jobId(job))).toMatchObject({ tasks: 1, next: 0 });
    expect([give(cluster, job, 1), give(cluster, job, 0, 1, 11), cluster.give(job, 1, 1, 2)]).toEqual([0, 1, false]);
    expect(cluster.finish(job, 0, 1, 1)).toBe(true);
    expect(begun(cluster)).toEqual([[2, 1, 3]]);
    expect(cluster.job(job).batch).toEqual({ now: 2, of: 4, first: 1, tasks: 3 });
    expect(cluster.give(job, 1, 1, 4)).toBe(false); // reaches into the next one
    expect(cluster.give(job, 1, 1, 2)).toBe(true);
    expect(give(cluster, job, 3)).toBe(1);
    expect(cluster.end(job, 1, 1, [0, 1, 2], [1, 1, 2])).toBe(0);
    expect([begun(cluster), give(cluster, job, 4)]).toEqual([[], 0]);
    cluster.finish(job, 3, 1, 1, "failed");
    expect(begun(cluster)).toEqual([[3, 4, 6]]);
    run(cluster, job, upTo(4, 10));
    run(cluster, job, [10, 11]);
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { succeeded: 11, failed: 1 } });
    expect(cluster.job(job).batch).toBeUndefined();
    expect(cluster.database.get(sql("select count(*) as rows from job_gate"))).toEqual({ rows: 0 });
  });

  test("a task that waits to be tried again holds up the next one, whether it failed or its node was lost", () => {
    const cluster = Cluster.ofNewest(2);
    const job = cluster.submit({ count: 4, batch: [2], retries: { max: 1, backoff: "10s" } });
    run(cluster, job, [0]);
    run(cluster, job, [1], "failed");
    expect([begun(cluster), cluster.job(job).batch?.now, give(cluster, job, 2)]).toEqual([[], 1, 0]);
    expect(cluster.assign(job, 2, [1, 2])).toBe(0);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect([begun(cluster), cluster.task(job, 1).state]).toEqual([[], "queued"]);
    expect(cluster.assign(job, 1, [1, 3])).toBe(0);
    cluster.finish(job, 1, 3, 1);
    expect(begun(cluster)).toEqual([[2, 2, 2]]);
  });

  test("with on_lost: fail what its node had is lost, and that ends it", () => {
    const cluster = Cluster.ofNewest(2);
    const job = cluster.submit({ count: 9, batch: [3], on_lost: "fail" });
    run(cluster, job, [0]);
    expect(cluster.give(job, 2, 1, 2)).toBe(true);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(begun(cluster)).toEqual([[2, 3, 3]]);
    expect(cluster.job(job).counts).toMatchObject({ succeeded: 1, lost: 2, queued: 6 });
  });

  test("tasks that are given back by a node that had not begun them begin no batch, and are given out again", () => {
    const cluster = Cluster.ofNewest(2);
    const job = cluster.submit({ count: 4, batch: [2] });
    expect(cluster.give(job, 1, 0, 2)).toBe(true);
    cluster.must("unit.recall", {
      node: nodeId(1),
      attempts: [
        [jobId(job), 0, 1],
        [jobId(job), 1, 1],
      ],
    });
    expect([begun(cluster), give(cluster, job, 2), cluster.job(job).counts.queued]).toEqual([[], 0, 4]);
    expect(cluster.assign(job, 2, [0, 2], [1, 2])).toBe(0);
  });

  test("a hold is a hold: what begins under it starts when it is released", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 4, batch: [2] });
    expect(give(cluster, job, 0, 1)).toBe(2);
    cluster.must("job.hold", { id: jobId(job) }, admin);
    for (const task of [0, 1]) cluster.finish(job, task, 1, 1);
    expect([begun(cluster), give(cluster, job, 2)]).toEqual([[[2, 2, 2]], 0]);
    release(cluster, job);
    run(cluster, job, [2, 3]);
    expect(cluster.job(job).state).toBe("succeeded");
  });

  test("100,000 targets are a row and their list, however many batches they make", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({
      targets: "host[000001-100000]",
      batch: [1, "1%", "50%"],
      driver: "noop",
      run: undefined,
    });
    expect(cluster.job(job).batch).toEqual({ now: 1, of: 4, first: 0, tasks: 1 });
    for (let first = 0; first < 100_000;) {
      const { next = 0, tasks = 0 } = openJob(cluster.database, jobId(job)) ?? {};
      const count = Math.min(4096, tasks - next);
      expect(cluster.give(job, 1, first, count)).toBe(true);
      expect(cluster.end(job, 1, first, ...upTo(0, count).map((task): [number, number, number] => [task, 1, 2]))).toBe(
        0,
      );
      first += count;
    }
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", counts: { succeeded: 100_000 } });
    expect(cluster.database.get(sql("select count(*) as rows from task"))).toEqual({ rows: 0 });
  });

  test("one batch that holds all tasks is none, and costs nothing", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 3, batch: ["100%"] });
    expect(cluster.job(job).batch).toBeUndefined();
    expect(cluster.database.get(sql("select count(*) as rows from job_gate"))).toEqual({ rows: 0 });
    run(cluster, job, [0, 1, 2], "failed");
  });
});

describe("failures", () => {
  test("are counted over all batches: past the bound nothing more begins, also not of the batch in the middle", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 100, batch: [2, 10, "50%"], max_failures: "3%" });
    run(cluster, job, [0], "failed");
    run(cluster, job, [1]);
    run(cluster, job, upTo(2, 5), "failed");
    expect(cluster.job(job)).toMatchObject({
      state: "failed",
      reason: "more than 3% tasks failed: the rest was not started",
      counts: { succeeded: 1, failed: 4, skipped: 95 },
    });
  });

  test("as many as are allowed stop nothing, and a batch in which the bound was passed at its end opens no other", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 6, batch: [2], max_failures: 2 });
    run(cluster, job, [0, 1], "failed");
    expect(cluster.job(job).batch?.now).toBe(2);
    expect(give(cluster, job, 2, 3)).toBe(2);
    cluster.finish(job, 2, 1, 1);
    cluster.finish(job, 3, 1, 1, "timeout");
    expect([begun(cluster), cluster.job(job)]).toMatchObject([
      [],
      { state: "failed", counts: { succeeded: 1, failed: 2, timeout: 1, skipped: 2 } },
    ]);
  });

  test("without max_failures a batch of which nothing succeeded is the last one; one success is enough to go on", () => {
    const cluster = Cluster.ofNewest(1);
    const canary = cluster.submit({ count: 50, batch: [1, 10] });
    run(cluster, canary, [0], "failed");
    expect(cluster.job(canary)).toMatchObject({
      state: "failed",
      reason: "no task of batch 1 of 6 succeeded: the rest was not started",
      counts: { failed: 1, skipped: 49 },
    });
    const other = cluster.submit({ count: 6, batch: [2] });
    run(cluster, other, [0]);
    run(cluster, other, [1], "failed");
    run(cluster, other, [2, 3], "timeout");
    expect(cluster.job(other)).toMatchObject({
      reason: "no task of batch 2 of 3 succeeded: the rest was not started",
      counts: { succeeded: 1, failed: 1, timeout: 2, skipped: 2 },
    });
    const stubborn = cluster.submit({ count: 2, batch: [1], max_failures: "100%" });
    run(cluster, stubborn, [0], "failed");
    run(cluster, stubborn, [1], "failed");
    expect(cluster.job(stubborn)).toMatchObject({ state: "succeeded", partial: true });
  });
});

describe("a pause", () => {
  test("puts the next batch off, by the log's clock: whoever leads and whatever its clock says, not before (J4)", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 3, batch: { sizes: [1], pause: "30s" } });
    run(cluster, job, [0]);
    const until = cluster.now + 30_000;
    expect(cluster.job(job)).toMatchObject({
      state: "running",
      batch: { now: 1, of: 3 },
      waits: { pause: new Date(until).toISOString() },
    });
    expect([give(cluster, job, 1), gateWork(cluster.database, cluster.now).next]).toEqual([0, until]);
    // A leader whose clock is a day ahead asks, and is believed by nobody.
    cluster.must("job.open", { jobs: [jobId(job)] });
    expect([begun(cluster), give(cluster, job, 1)]).toEqual([[], 0]);
    cluster.now = until - 1;
    expect(duty(cluster)).toEqual([]);
    cluster.now = until;
    expect([duty(cluster), begun(cluster)]).toEqual([[job], [[2, 1, 1]]]);
    expect([duty(cluster), cluster.job(job).waits]).toEqual([[], undefined]);
    run(cluster, job, [1]);
    cluster.now += 30_000;
    duty(cluster);
    run(cluster, job, [2]);
    expect(cluster.job(job).state).toBe("succeeded");
  });

  test("leaves the job its key, and is over with the job: a deadline ends it", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 2, batch: { sizes: [1], pause: "30s" }, key: "k", deadline: "5s" });
    const next = cluster.submit({ key: "k" });
    run(cluster, job, [0]);
    expect([give(cluster, next, 0), cluster.job(next).waits]).toEqual([0, { key: "k" }]);
    cluster.now += 5_000;
    const { overdue } = gateWork(cluster.database, cluster.now);
    expect(overdue).toEqual([jobId(job)]);
    cluster.must("job.overdue", { jobs: overdue });
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { succeeded: 1, timeout: 1 } });
    expect(give(cluster, next, 0)).toBe(1);
    cluster.now += 60_000;
    expect(duty(cluster)).toEqual([]);
  });
});

describe("an approval", () => {
  const rolling = { count: 4, batch: { sizes: [1, 2], approve: true } };

  test("is of one batch by its number: a second one, a late one and an early one begin nothing", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit(rolling);
    expect(release(cluster, job, 2)).toMatchObject({ ok: false, why: { code: "conflict" } });
    run(cluster, job, [0]);
    expect(cluster.job(job)).toMatchObject({ batch: { now: 1, of: 3 }, waits: { approval: 2 } });
    expect(cluster.job(job).held).toBeUndefined();
    expect(give(cluster, job, 1)).toBe(0);
    // What lets a held job go is no approval.
    expect([release(cluster, job), give(cluster, job, 1)]).toMatchObject([{ ok: true }, 0]);
    expect(release(cluster, job, 3)).toMatchObject({ ok: false });
    expect(release(cluster, job, 9)).toMatchObject({
      ok: false,
      why: { message: `job ${job} has 3 batches, and no batch 9` },
    });
    expect(release(cluster, job, 2)).toMatchObject({ ok: true, value: { id: job, batch: 2 } });
    expect(begun(cluster)).toEqual([[2, 1, 2]]);
    run(cluster, job, [1, 2]);
    for (const again of [2, 1])
      expect([release(cluster, job, again), begun(cluster)]).toMatchObject([{ ok: true }, []]);
    expect(cluster.job(job).waits).toEqual({ approval: 3 });
    release(cluster, job, 3);
    run(cluster, job, [3]);
    expect(cluster.job(job).state).toBe("succeeded");
  });

  test("comes beside a pause: the batch begins when both are over, in either order", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 3, batch: { sizes: [1], approve: true, pause: "10s" } });
    run(cluster, job, [0]);
    release(cluster, job, 2);
    expect([begun(cluster), release(cluster, job, 2).ok, give(cluster, job, 1)]).toEqual([[], true, 0]);
    cluster.now += 10_000;
    expect([duty(cluster), begun(cluster)]).toEqual([[job], [[2, 1, 1]]]);
    run(cluster, job, [1]);
    cluster.now += 10_000;
    expect([duty(cluster), begun(cluster), cluster.job(job).waits]).toEqual([[job], [], { approval: 3 }]);
    release(cluster, job, 3);
    expect(begun(cluster)).toEqual([[3, 2, 1]]);
  });

  test("and a hold are two things", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit(rolling);
    run(cluster, job, [0]);
    cluster.must("job.hold", { id: jobId(job) }, admin);
    release(cluster, job, 2);
    expect([begun(cluster), give(cluster, job, 1), cluster.job(job).waits]).toEqual([[[2, 1, 2]], 0, { held: true }]);
    release(cluster, job);
    expect(give(cluster, job, 1)).toBe(1);
  });

  test("is not waited for by a job that is cancelled, whose retry has exactly the targets that are left, each once", () => {
    const cluster = Cluster.ofNewest(2);
    const job = cluster.submit({ targets: "web[1-20]", batch: { sizes: [8], approve: true }, on_lost: "fail" });
    expect(cluster.give(job, 1, 0, 4)).toBe(true);
    expect(cluster.end(job, 1, 0, [0, 1, 2], [2, 1, 2])).toBe(0);
    cluster.finish(job, 1, 1, 1, "failed");
    cluster.finish(job, 3, 1, 1, "timeout");
    expect(cluster.give(job, 2, 4, 3)).toBe(true);
    expect(cluster.end(job, 2, 4, [1, 1, 2])).toBe(0);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    run(cluster, job, [7]);
    expect(cluster.job(job).waits).toEqual({ approval: 2 });
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    expect(cluster.job(job)).toMatchObject({
      state: "cancelled",
      counts: { succeeded: 4, failed: 1, timeout: 1, lost: 2, cancelled: 12 },
    });
    const again = retryUnfinished(cluster, job);
    const names = (listTasks(cluster.database, again, { limit: 1000 })?.items ?? []).map(({ target }) => target);
    expect(names).toEqual([2, 4, 5, 7, ...upTo(9, 21)].map((number) => `web${number}`));
    expect(cluster.job(again)).toMatchObject({ retry_of: job, batch: { now: 1, of: 2, first: 0, tasks: 8 } });
    run(cluster, again, upTo(0, 8));
    release(cluster, again, 2);
    run(cluster, again, upTo(8, 16));
    expect(cluster.job(again).state).toBe("succeeded");
  });

  test("what was running when a job was cancelled, and what its retry left, are in the next retry", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ targets: "a,b,c,d,e" });
    expect(cluster.give(job, 1, 0, 3)).toBe(true);
    cluster.end(job, 1, 0, [1, 1, 2]);
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    for (const task of [0, 2]) cluster.finish(job, task, 1, 1, "cancelled");
    const second = retryUnfinished(cluster, job);
    const names = (id: number) => listTasks(cluster.database, id, { limit: 9 })!.items.map(({ target }) => target);
    expect(names(second)).toEqual(["a", "c", "d", "e"]);
    run(cluster, second, [0]);
    run(cluster, second, [1], "failed");
    cluster.must("job.cancel", { id: jobId(second) }, admin);
    expect(names(retryUnfinished(cluster, second))).toEqual(["c", "d", "e"]);
  });
});

/** What the API does: looks up which tasks did not succeed, then logs the command. */
function retryUnfinished(cluster: Cluster, job: number): number {
  const gatherer = new RangeGatherer();
  expect(gatherEnded(cluster.database, job, "unfinished", 0, gatherer)).toBeUndefined();
  const input = {
    id: jobId(job),
    only: "unfinished",
    tasks: formatRanges(gatherer.ranges),
    key: null,
    digest: "",
  } as const;
  return cluster.must("job.retry", input, admin).first;
}

test("what waits for later batches is told apart from what waits for room", () => {
  const cluster = Cluster.ofNewest(1);
  const job = cluster.submit({ count: 10, batch: [4] });
  give(cluster, job, 0, 1);
  expect(waitingFacts(cluster.database, job)).toMatchObject({
    fresh: 2,
    rows: 0,
    later: 6,
    open: { tasks: 4, next: 2 },
  });
});

test("what is wrong with batches is told at once, each with its path", () => {
  const problems = (spec: object): unknown => {
    const parsed = commandByName("job.submit").input.safeParse({ jobs: [{ run: "x", ...spec }] });
    return parsed.success
      ? []
      : problemsOf(parsed.error).map(({ path, message }) => [path.replace("jobs[0].", ""), message]);
  };
  expect(problems({ batch: [1] })).toEqual([
    ["batch", "is of jobs with several tasks: give count, array, matrix or targets"],
  ]);
  expect(problems({ batch: [1], each_node: true })).toEqual([
    ["batch", "cannot be combined with each_node, which makes one task per node"],
  ]);
  for (const [batch, path] of [
    [[], "batch"],
    [0, "batch"],
    ["0%", "batch"],
    ["101%", "batch"],
    ["ten", "batch"],
    [{ pause: "1s" }, "batch.sizes"],
    [true, "batch"],
  ] as const)
    expect(problems({ count: 2, batch })).toEqual([[path, expect.any(String)]]);
  expect(problems({ count: 2, batch: { sizes: [1, 0, "x"], pause: "soon", approve: "yes" }, unit: 0 })).toEqual([
    ["batch.sizes[1]", "must be at least 1"],
    ["batch.sizes[2]", expect.stringContaining("a share")],
    ["batch.pause", expect.stringContaining("not a duration")],
    ["batch.approve", "must be true or false"],
    ["unit", expect.any(String)],
  ]);
  const specs = [{ sizes: [1] }, { sizes: ["10%"], pauseMs: 5, approve: true }];
  for (const batch of specs) expect(isNormalised({ run: "x", count: 2, batch })).toBe(true);
  for (const batch of [{ sizes: [] }, { sizes: [0] }, { sizes: ["x"] }, { sizes: [1], approve: false }, [1]])
    expect(isNormalised({ run: "x", count: 2, batch })).toBe(false);
  expect(isNormalised({ run: "x", eachNode: true, batch: { sizes: [1] } })).toBe(false);
  const cluster = Cluster.ofNewest(1);
  for (const batch of [10, "10%", { sizes: [2], pause: "1m", approve: true }])
    expect(cluster.job(cluster.submit({ count: 20, batch })).spec["batch"]).toEqual(
      typeof batch === "object" ? batch : [batch],
    );
});
