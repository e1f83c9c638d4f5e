import { describe, expect, test } from "bun:test";
import { formatInstant } from "../../src/lib/calendar.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { gateWork } from "../../src/scheduler/gates.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { cancelledOn, totals } from "../../src/state/queries.ts";
import { isNormalised } from "../../src/state/commands/spec-schema.ts";
import { sql } from "../../src/state/tx.ts";
import { admin, Cluster } from "./support.ts";

/** Submits specs as one request; gives the first id. */
function submitAll(cluster: Cluster, specs: readonly Record<string, unknown>[]): number {
  const { jobs } = commandByName("job.submit").input.parse({ jobs: specs.map((spec) => ({ run: "true", ...spec })) });
  return cluster.must("job.submit", { jobs }, admin).first;
}

function refusedAll(cluster: Cluster, ...specs: readonly Record<string, unknown>[]): [string, unknown] {
  const { jobs } = commandByName("job.submit").input.parse({ jobs: specs.map((spec) => ({ run: "true", ...spec })) });
  const outcome = cluster.propose("job.submit", { jobs }, admin);
  if (outcome.ok) throw new Error("not refused");
  return [outcome.why.code, outcome.why.details];
}

/** True when the job is given to n1, which runs it to this end. */
function run(cluster: Cluster, job: number, state: "succeeded" | "failed" = "succeeded"): boolean {
  if (cluster.assign(job, 1, [0, 1]) > 0) return false;
  return cluster.finish(job, 0, 1, 1, state);
}

const states = (cluster: Cluster, ...jobs: number[]): string[] => jobs.map((job) => cluster.job(job).state);

/** Lets the leader's duty do everything that is to be done now; gives in how many steps. */
function settle(cluster: Cluster): number {
  let steps = 0;
  for (;;) {
    const work = gateWork(cluster.database, cluster.now);
    if (work.open.length > 0) cluster.must("job.open", { jobs: work.open });
    if (work.overdue.length > 0) cluster.must("job.overdue", { jobs: work.overdue });
    if (work.settle) cluster.must("job.settle", {});
    if (work.open.length + work.overdue.length === 0 && !work.settle) return steps;
    steps += 1;
  }
}

const problems = (specs: readonly unknown[]): Record<string, string> => {
  const parsed = commandByName("job.submit").input.safeParse({ jobs: specs });
  return Object.fromEntries(problemsOf(parsed.error!).map(({ path, message }) => [path, message]));
};

describe("after", () => {
  test("a job starts when the other one has succeeded, and not before", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const child = cluster.submit({ after: [parent] });
    expect(cluster.job(child)).toMatchObject({ state: "queued", waits: { after: 1 }, spec: { after: [parent] } });
    expect(run(cluster, child)).toBe(false);
    expect(run(cluster, parent)).toBe(true);
    expect(cluster.changes()).toContainEqual({
      topic: "job",
      kind: "state",
      job: jobId(child),
      state: "queued",
      cancelling: false,
    });
    expect(cluster.job(child).waits).toBeUndefined();
    expect(run(cluster, child)).toBe(true);
    expect(states(cluster, parent, child)).toEqual(["succeeded", "succeeded"]);
  });

  test("a failed parent skips the child and all that wait for that one, and the reason names the parent", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const child = cluster.submit({ after: [parent], count: 1000 });
    const grandchild = cluster.submit({ after: [child] });
    const other = cluster.submit({ after: [{ job: child, when: "done" }] });
    run(cluster, parent, "failed");
    expect(states(cluster, child, grandchild, other)).toEqual(["skipped", "skipped", "queued"]);
    expect(cluster.job(child).reason).toBe(
      `job ${parent} failed, and this one starts only when that one has succeeded`,
    );
    expect(cluster.job(grandchild).reason).toBe(
      `job ${child} was skipped, and this one starts only when that one has succeeded`,
    );
    expect(cluster.job(child).counts).toMatchObject({ queued: 0, skipped: 1000 });
    expect(cluster.task(child, 999)).toMatchObject({ state: "skipped" });
    expect(run(cluster, other)).toBe(true);
    expect(totals(cluster.database)).toMatchObject({
      finished: { succeeded: 1, failed: 1, cancelled: 0, skipped: 2 },
      jobsUnfinished: 0,
      tasksQueued: 0,
      tasksRunning: 0,
    });
  });

  test("when: failed and done", () => {
    const cluster = Cluster.of(1);
    const parents = [cluster.submit(), cluster.submit(), cluster.submit()] as const;
    const children = parents.map((job) => [
      cluster.submit({ after: [{ job, when: "failed" }] }),
      cluster.submit({ after: [{ job, when: "done" }] }),
    ]);
    run(cluster, parents[0], "succeeded");
    run(cluster, parents[1], "failed");
    cluster.must("job.cancel", { id: jobId(parents[2]) }, admin);
    expect(children.map((pair) => states(cluster, ...pair))).toEqual([
      ["skipped", "queued"],
      ["queued", "queued"],
      ["skipped", "queued"],
    ]);
    expect(children.flat().filter((job) => run(cluster, job))).toHaveLength(4);
  });

  test("a parent that has ended already is judged at once", () => {
    const cluster = Cluster.of(1);
    const [good, bad] = [cluster.submit(), cluster.submit()];
    run(cluster, good);
    run(cluster, bad, "failed");
    const first = submitAll(cluster, [
      { after: [good, { job: bad, when: "failed" }] },
      { after: [good, bad], name: "doomed" },
      { after: ["doomed"] },
    ]);
    expect(states(cluster, first, first + 1, first + 2)).toEqual(["queued", "skipped", "skipped"]);
    expect(run(cluster, first)).toBe(true);
  });

  test("a job of many parents waits for the last of them, and is skipped with the first that ends otherwise", () => {
    const cluster = Cluster.of(1);
    const parents = Array.from({ length: 5 }, () => cluster.submit());
    const child = cluster.submit({ after: parents });
    const doomed = cluster.submit({ after: parents });
    const last = cluster.submit();
    const later = cluster.submit({ after: [...parents, last] });
    for (const parent of parents.slice(0, 4)) run(cluster, parent);
    expect(cluster.job(child).waits).toEqual({ after: 1 });
    run(cluster, last, "failed");
    expect(states(cluster, child, doomed, later)).toEqual(["queued", "queued", "skipped"]);
    run(cluster, parents[4]!);
    expect([child, doomed].map((job) => run(cluster, job))).toEqual([true, true]);
  });

  test("names are of jobs of the same request, and are ids in the state", () => {
    const cluster = Cluster.of(1);
    cluster.submit();
    const first = submitAll(cluster, [
      { name: "deploy", after: ["test", { job: "build", when: "done" }] },
      { name: "build" },
      { name: "test", after: [1, "build"] },
    ]);
    expect(cluster.job(first).spec).toMatchObject({ after: [first + 2, { job: first + 1, when: "done" }] });
    expect(cluster.job(first + 2).spec).toMatchObject({ after: [1, first + 1] });
    expect([first, first + 2, first + 1, first + 2, 1].map((job) => run(cluster, job))).toEqual([
      false,
      false,
      true,
      false,
      true,
    ]);
    expect([first, first + 2, first].map((job) => run(cluster, job))).toEqual([false, true, true]);
  });

  test("what is wrong between the jobs of a request is told at once, each with its path", () => {
    expect(
      problems([
        { run: "a", name: "a", after: ["b"] },
        { run: "b", name: "b", after: ["c", "nobody"] },
        { run: "c", name: "c", after: ["a"] },
        { run: "d", name: "twice" },
        { run: "e", name: "twice", after: ["twice"] },
        { rum: "f" },
      ]),
    ).toEqual({
      "jobs[0].after": `these wait for each other: "a" after "b" after "c" after "a"`,
      "jobs[1].after[1]": `no job of this request has the name "nobody"`,
      "jobs[4].after[0]": `several jobs of this request have the name "twice"`,
      "jobs[5].rum": "no such key",
      "jobs[5].run": "is required: what should the job run?",
    });
    expect(problems([{ run: "a", name: "a", after: ["a"] }])).toEqual({
      "jobs[0].after": `these wait for each other: "a" after "a"`,
    });
  });

  test("a request that is one chain of 10,000 is no cycle, and one that bites its tail is", () => {
    const chain = Array.from({ length: 10_000 }, (_, at) => ({
      run: "x",
      name: `n${at}`,
      ...(at === 0 ? {} : { after: [`n${at - 1}`] }),
    }));
    expect(commandByName("job.submit").input.safeParse({ jobs: chain }).success).toBe(true);
    const told = problems([{ ...chain[0], after: ["n9999"] }, ...chain.slice(1)]);
    expect(Object.keys(told)).toEqual(["jobs[0].after"]);
    // In words that a person reads: the first ones, and how many there are beside.
    expect(told["jobs[0].after"]).toEndWith('after 9980 more after "n0"');
    expect(told["jobs[0].after"]!.length).toBeLessThan(500);
  });

  test("more than a request may link is refused", () => {
    const after = Array.from({ length: limits.afterPerJob }, (_, at) => at + 1);
    const jobs = Array.from({ length: 6 }, () => ({ run: "x", after }));
    expect(Object.values(problems(jobs))).toEqual(["wait for 60000 jobs together: at most 50000 a request"]);
    expect(problems([{ run: "x", after: [...after, 20_000] }])).toEqual({
      "jobs[0].after": "at most 10000 jobs",
    });
  });

  test("parents that do not exist are refused, all of them, and nothing is added", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    expect(refusedAll(cluster, { after: [parent, 99] }, {}, { after: [98] })).toEqual([
      "invalid",
      [
        { path: "jobs[0].after[1]", message: "there is no job 99: finished ones are forgotten after their ttl" },
        { path: "jobs[2].after[0]", message: "there is no job 98: finished ones are forgotten after their ttl" },
      ],
    ]);
    // Itself, by the id that it would get.
    expect(refusedAll(cluster, { after: [parent + 1] })[0]).toBe("invalid");
    expect(totals(cluster.database).submitted).toBe(1);
  });

  test("a child that is cancelled while it waits ends at once, and its parent's end is none of its business", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const child = cluster.submit({ after: [parent] });
    expect(cluster.must("job.cancel", { id: jobId(child) }, admin).state).toBe("cancelled");
    run(cluster, parent, "failed");
    expect(states(cluster, child)).toEqual(["cancelled"]);
    expect(cluster.database.all(sql("select * from job_after"))).toEqual([]);
    expect(cluster.database.all(sql("select * from job_gate"))).toEqual([]);
  });

  test("a child that is forgotten before its parent ends is passed over", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const child = cluster.submit({ after: [parent], ttl: "1s" });
    cluster.must("job.cancel", { id: jobId(child) }, admin);
    cluster.now += 1000;
    expect(cluster.must("job.expire", { jobs: [jobId(child)] })).toEqual({ removed: 1 });
    expect(run(cluster, parent)).toBe(true);
    expect(cluster.database.all(sql("select * from job_after"))).toEqual([]);
  });
});

describe("what one command cannot do", () => {
  const many = 20_000;

  test.each(["succeeded", "failed"] as const)(
    "a parent of 20,000 children that %s is told of in bounded steps",
    (end) => {
      const cluster = Cluster.of(1);
      const parent = cluster.submit({ ttl: "0s" });
      for (let from = 0; from < many; from += 10_000)
        submitAll(
          cluster,
          Array.from({ length: 10_000 }, () => ({ after: [parent] })),
        );
      run(cluster, parent, end);
      const perStep = (): number => cluster.changes().filter((one) => one.topic === "job").length;
      expect(perStep()).toBe(limits.releasesPerCommand + 1);
      expect(gateWork(cluster.database, cluster.now).settle).toBe(true);
      // Forgotten before its children know: that is no matter.
      expect(cluster.must("job.expire", { jobs: [jobId(parent)] })).toEqual({ removed: 1 });
      expect(settle(cluster)).toBe(Math.ceil(many / limits.releasesPerCommand) - 1);
      const open = cluster.database.get<{ count: number }>(
        sql("select count(*) as count from job where finished_at is null and gate is null"),
      )!.count;
      expect(open).toBe(end === "succeeded" ? many : 0);
      if (end === "failed") expect(totals(cluster.database).finished.skipped).toBe(many);
      for (const table of ["job_after", "job_release"])
        expect(cluster.database.all(sql(`select * from ${table} limit 1`))).toEqual([]);
    },
  );

  test("a chain of 20,000 is skipped in bounded steps", () => {
    const cluster = Cluster.of(1);
    const head = cluster.submit();
    for (let from = 0; from < many; from += 10_000)
      submitAll(
        cluster,
        Array.from({ length: 10_000 }, (_, at) => ({ name: `n${at}`, after: [at === 0 ? head + from : `n${at - 1}`] })),
      );
    run(cluster, head, "failed");
    let most = cluster.changes().length;
    let steps = 0;
    while (gateWork(cluster.database, cluster.now).settle) {
      cluster.must("job.settle", {});
      most = Math.max(most, cluster.changes().length);
      steps += 1;
    }
    expect(most).toBeLessThanOrEqual(limits.releasesPerCommand + 4);
    expect(steps).toBe(Math.ceil(many / limits.releasesPerCommand) - 1);
    expect(totals(cluster.database)).toMatchObject({ jobsUnfinished: 0, tasksQueued: 0, finished: { skipped: many } });
    expect(cluster.job(head + many).reason).toContain(`job ${head + many - 1} was skipped`);
  });

  test("the rest of a key that is replaced is cancelled in steps, and none of it gets the key meanwhile", () => {
    const cluster = Cluster.of(1);
    const first = submitAll(
      cluster,
      Array.from({ length: 2 * limits.releasesPerCommand + 10 }, () => ({ key: "k" })),
    );
    cluster.assign(first, 1, [0, 1]);
    const last = submitAll(cluster, [{ key: "k", on_conflict: "replace" }]);
    expect(cluster.finish(first, 0, 1, 1, "cancelled")).toBe(true);
    expect(run(cluster, last - 1)).toBe(false);
    expect(cluster.assign(last, 1, [0, 1])).toBe(0);
    expect(settle(cluster)).toBe(2);
    expect(totals(cluster.database)).toMatchObject({ jobsUnfinished: 1, finished: { cancelled: last - first } });
    expect(cluster.database.all(sql("select * from job_replace"))).toEqual([]);
  });
});

describe("key", () => {
  test("one job of a key runs at a time, the oldest that waits comes next", () => {
    const cluster = Cluster.of(1);
    const [a, b, c] = [cluster.submit({ key: "k" }), cluster.submit({ key: "k" }), cluster.submit({ key: "k" })];
    const other = cluster.submit({ key: "l" });
    expect(cluster.job(b).waits).toEqual({ key: "k" });
    expect([c, b, other].map((job) => run(cluster, job))).toEqual([false, false, true]);
    expect([a, c, b, c].map((job) => run(cluster, job, "failed"))).toEqual([true, false, true, true]);
  });

  test("a key is taken when the other gates are open: who waits for something else lets younger ones go first", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const a = cluster.submit({ key: "k", after: [parent] });
    const b = cluster.submit({ key: "k" });
    expect(cluster.job(a).waits).toEqual({ after: 1, key: "k" });
    expect(cluster.assign(b, 1, [0, 1])).toBe(0);
    const c = cluster.submit({ key: "k" });
    run(cluster, parent);
    expect(cluster.job(a).waits).toEqual({ key: "k" });
    cluster.finish(b, 0, 1, 1);
    expect([c, a, c].map((job) => run(cluster, job))).toEqual([false, true, true]);
  });

  test("refuse names the unfinished job that has the key", () => {
    const cluster = Cluster.of(1);
    const a = cluster.submit({ key: "k" });
    expect(refusedAll(cluster, { key: "k", on_conflict: "refuse" })).toEqual([
      "conflict",
      [{ path: "jobs[0].key", message: `job ${a} has the key "k" and has not ended` }],
    ]);
    expect(refusedAll(cluster, { key: "l" }, { key: "l", on_conflict: "refuse" })).toEqual([
      "conflict",
      [{ path: "jobs[1].key", message: 'the key "l" is of jobs[0] of the same request' }],
    ]);
    run(cluster, a);
    const b = cluster.submit({ key: "k", on_conflict: "refuse" });
    expect(run(cluster, b)).toBe(true);
  });

  test("replace cancels what there is of the key, and begins when it has ended", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const [a, b] = [cluster.submit({ key: "k" }), cluster.submit({ key: "k" })];
    const c = cluster.submit({ key: "k", after: [parent] });
    cluster.assign(a, 1, [0, 1]);
    const d = cluster.submit({ key: "k", on_conflict: "replace" });
    expect(states(cluster, a, b, c, d)).toEqual(["running", "cancelled", "cancelled", "queued"]);
    expect(cluster.job(a)).toMatchObject({ cancelling: true, reason: 'replaced by a newer job of the key "k"' });
    expect(cancelledOn(cluster.database, nodeId(1))).toHaveLength(1);
    expect(run(cluster, d)).toBe(false);
    cluster.finish(a, 0, 1, 1, "cancelled");
    expect(states(cluster, a)).toEqual(["cancelled"]);
    expect(run(cluster, d)).toBe(true);
  });

  test("of many that replace each other in one request the last one is left", () => {
    const cluster = Cluster.of(1);
    const first = submitAll(
      cluster,
      Array.from({ length: 1000 }, () => ({ key: "k", on_conflict: "replace" })),
    );
    settle(cluster);
    expect(totals(cluster.database)).toMatchObject({ jobsUnfinished: 1, finished: { cancelled: 999 } });
    expect(run(cluster, first + 999)).toBe(true);
  });

  test("who is cancelled while it waits is passed over, and who is lost with its node keeps the key for its next attempt", () => {
    const cluster = Cluster.of(2);
    const [a, b, c] = [cluster.submit({ key: "k" }), cluster.submit({ key: "k" }), cluster.submit({ key: "k" })];
    cluster.assign(a, 2, [0, 1]);
    cluster.must("job.cancel", { id: jobId(b) }, admin);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(run(cluster, c)).toBe(false);
    expect(cluster.assign(a, 1, [0, 2])).toBe(0);
    cluster.finish(a, 0, 2, 1);
    expect(run(cluster, c)).toBe(true);
  });

  test("with on_lost: fail the key goes on with the loss", () => {
    const cluster = Cluster.of(2);
    const [a, b] = [cluster.submit({ key: "k", on_lost: "fail" }), cluster.submit({ key: "k" })];
    cluster.assign(a, 2, [0, 1]);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(states(cluster, a)).toEqual(["failed"]);
    expect(run(cluster, b)).toBe(true);
  });
});

describe("held", () => {
  test("nothing more of a held job starts, what runs goes on, and a release lets it go on", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 3, retries: { max: 1, backoff: "0s" } });
    cluster.assign(job, 1, [0, 1]);
    expect(cluster.must("job.hold", { id: jobId(job) }, admin)).toEqual({ id: jobId(job), held: true });
    expect(cluster.job(job)).toMatchObject({ state: "running", held: true, waits: { held: true } });
    expect(cluster.assign(job, 1, [1, 1])).toBe(1);
    cluster.finish(job, 0, 1, 1, "failed");
    expect(cluster.assign(job, 1, [0, 2])).toBe(1);
    cluster.must("job.hold", { id: jobId(job) }, admin);
    cluster.must("job.release", { id: jobId(job) }, admin);
    expect(cluster.job(job).held).toBeUndefined();
    cluster.must("job.release", { id: jobId(job) }, admin);
    expect(cluster.assign(job, 1, [0, 2], [1, 1], [2, 1])).toBe(0);
  });

  test("a job that waits is held beside, and one that is next for its key lets the one behind it go first", () => {
    const cluster = Cluster.of(1);
    const [a, b, c] = [cluster.submit({ key: "k" }), cluster.submit({ key: "k" }), cluster.submit({ key: "k" })];
    cluster.must("job.hold", { id: jobId(b) }, admin);
    expect(run(cluster, a)).toBe(true);
    expect([b, c].map((job) => run(cluster, job))).toEqual([false, true]);
    cluster.must("job.release", { id: jobId(b) }, admin);
    expect(run(cluster, b)).toBe(true);
  });

  test("a held job keeps the key that it has, and is cancelled like any other", () => {
    const cluster = Cluster.of(1);
    const [a, b] = [cluster.submit({ key: "k" }), cluster.submit({ key: "k" })];
    cluster.must("job.hold", { id: jobId(a) }, admin);
    expect([a, b].map((job) => run(cluster, job))).toEqual([false, false]);
    expect(cluster.must("job.cancel", { id: jobId(a) }, admin).state).toBe("cancelled");
    expect(cluster.job(a).held).toBeUndefined();
    expect(run(cluster, b)).toBe(true);
  });

  test("what has ended or is being stopped cannot be held", () => {
    const cluster = Cluster.of(1);
    const [a, b] = [cluster.submit(), cluster.submit()];
    run(cluster, a);
    cluster.assign(b, 1, [0, 1]);
    cluster.must("job.cancel", { id: jobId(b) }, admin);
    expect(cluster.refused("job.hold", { id: jobId(a) }, admin)).toEqual([
      "conflict",
      `job ${a} has ended already: succeeded`,
    ]);
    expect(cluster.refused("job.hold", { id: jobId(b) }, admin)).toEqual(["conflict", `job ${b} is being stopped`]);
    expect(cluster.refused("job.hold", { id: jobId(9) }, admin)[0]).toBe("not-found");
    expect(cluster.refused("job.release", { id: jobId(a) }, admin)[0]).toBe("conflict");
  });
});

describe("start_at (J4)", () => {
  test("opens by the log's clock, and never early", () => {
    const cluster = Cluster.of(1);
    const at = cluster.now + 5000;
    const job = cluster.submit({ start_at: formatInstant(at) });
    expect(cluster.job(job)).toMatchObject({ state: "queued", waits: { start_at: formatInstant(at) } });
    expect(gateWork(cluster.database, at - 1)).toEqual({ open: [], overdue: [], settle: false, next: at });
    expect(gateWork(cluster.database, at).open).toEqual([jobId(job)]);
    // A leader whose clock is ahead proposes it early: it is the entry's time that counts.
    expect(cluster.must("job.open", { jobs: [jobId(job)] })).toEqual({ opened: 0 });
    expect(run(cluster, job)).toBe(false);
    cluster.now = at;
    expect(cluster.must("job.open", { jobs: [jobId(job)] })).toEqual({ opened: 1 });
    expect(cluster.must("job.open", { jobs: [jobId(job)] })).toEqual({ opened: 0 });
    expect(gateWork(cluster.database, at).next).toBeUndefined();
    expect(run(cluster, job)).toBe(true);
  });

  test("an instant that has passed is none", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ start_at: formatInstant(cluster.now) });
    expect(cluster.job(job).waits).toBeUndefined();
    expect(run(cluster, job)).toBe(true);
  });

  test("many that are due at once are opened in steps", () => {
    const cluster = Cluster.of(1);
    const start_at = formatInstant(cluster.now + 1000);
    submitAll(
      cluster,
      Array.from({ length: 600 }, () => ({ start_at })),
    );
    cluster.now += 1000;
    expect(settle(cluster)).toBe(3);
  });
});

describe("deadline", () => {
  test("ends what waits at once, and what runs when it is stopped; the job has failed", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 4, deadline: "2h", retries: { max: 3, backoff: "9h" } });
    cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
    cluster.finish(job, 2, 1, 1, "failed");
    cluster.now += 7_199_999;
    expect(cluster.must("job.overdue", { jobs: [jobId(job)] })).toEqual({ ended: 0 });
    cluster.now += 1;
    expect(gateWork(cluster.database, cluster.now).overdue).toEqual([jobId(job)]);
    expect(cluster.must("job.overdue", { jobs: [jobId(job)] })).toEqual({ ended: 1 });
    expect(cluster.changes().filter((one) => one.topic === "task" && one.kind === "stop")).toHaveLength(2);
    // A node that was away is told when it comes back.
    expect(cancelledOn(cluster.database, nodeId(1))).toHaveLength(2);
    expect(cluster.job(job)).toMatchObject({ state: "running", counts: { running: 2, timeout: 2 } });
    expect(cluster.job(job).cancelling).toBeUndefined();
    cluster.finish(job, 0, 1, 1, "cancelled", { signal: "SIGTERM" });
    cluster.finish(job, 1, 1, 1, "succeeded");
    expect(cluster.job(job)).toMatchObject({
      state: "failed",
      counts: { timeout: 3, succeeded: 1, queued: 0 },
      reason: "the job's deadline of 2h passed",
    });
    expect(cluster.task(job, 0)).toMatchObject({ state: "timeout", reason: "the job's deadline of 2h passed" });
    expect(cluster.task(job, 1).state).toBe("succeeded");
    expect(cluster.task(job, 3).state).toBe("timeout");
  });

  test("a job that waits behind a gate ends with its deadline, and its children and its key go on", () => {
    const cluster = Cluster.of(1);
    const parent = cluster.submit();
    const job = cluster.submit({ after: [parent], deadline: "1s", key: "k" });
    const child = cluster.submit({ after: [{ job, when: "failed" }] });
    cluster.now += 1000;
    settle(cluster);
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { timeout: 1 } });
    expect(run(cluster, child)).toBe(true);
    expect(run(cluster, parent)).toBe(true);
  });

  test("a job whose only task succeeds before it is stopped has succeeded", () => {
    const cluster = Cluster.of(1);
    cluster.level = 3;
    const job = cluster.submit({ deadline: "1s" });
    cluster.assign(job, 1, [0, 1]);
    cluster.now += 1000;
    settle(cluster);
    cluster.finish(job, 0, 1, 1, "succeeded");
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", counts: { succeeded: 1 } });
  });

  test.each([1, 3])("an only task that is stopped, or lost meanwhile, has timed out (level %i)", (level) => {
    const cluster = Cluster.of(2);
    cluster.level = level;
    const [a, b] = [cluster.submit({ deadline: "1s" }), cluster.submit({ deadline: "1s", max_failures: 1 })];
    cluster.assign(a, 1, [0, 1]);
    cluster.assign(b, 2, [0, 1]);
    cluster.now += 1000;
    settle(cluster);
    cluster.finish(a, 0, 1, 1, "cancelled");
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    for (const job of [a, b]) expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { timeout: 1 } });
  });

  test("of a job that is being cancelled it changes nothing, and a job past it cannot be cancelled any more than it is", () => {
    const cluster = Cluster.of(1);
    const [a, b] = [cluster.submit({ deadline: "1s" }), cluster.submit({ deadline: "1s" })];
    for (const job of [a, b]) cluster.assign(job, 1, [0, 1]);
    cluster.must("job.cancel", { id: jobId(a) }, admin);
    cluster.now += 1000;
    settle(cluster);
    cluster.must("job.cancel", { id: jobId(b) }, admin);
    for (const job of [a, b]) cluster.finish(job, 0, 1, 1, "cancelled");
    expect(states(cluster, a, b)).toEqual(["cancelled", "failed"]);
  });

  test("that passes before start_at is refused", () => {
    const cluster = Cluster.of(1);
    const start_at = formatInstant(cluster.now + 2000);
    expect(refusedAll(cluster, { start_at, deadline: "2s" })).toEqual([
      "invalid",
      [{ path: "jobs[0].deadline", message: "passes before start_at: it counts from now on" }],
    ]);
    expect(run(cluster, cluster.submit({ start_at, deadline: "3s" }))).toBe(false);
  });
});

test("what a gated job's payload holds passes the leader's look at it", () => {
  const { jobs } = commandByName("job.submit").input.parse({
    jobs: [
      { run: "a", name: "a" },
      { run: "b", after: ["a"], key: "k", on_conflict: "refuse", deadline: "1s" },
    ],
  });
  const definition = commandByName("job.submit");
  const payload = definition.prepare({ jobs }, admin);
  expect(definition.payload.safeParse(payload).success).toBe(true);
  expect(definition.needs!(payload)).toBe(3);
  expect(definition.needs!(definition.prepare({ jobs: [{ run: "a" }] }, admin))).toBe(1);
  expect(payload.jobs.map((job) => job[4])).toEqual([undefined, [0]]);
  expect(isNormalised(JSON.parse(payload.jobs[1]![2]))).toBe(true);
});
