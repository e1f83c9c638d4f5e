import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { assignmentsOf, findAssignment, findJob, findTask, totals } from "../../src/state/queries.ts";
import { gateWork } from "../../src/scheduler/gates.ts";
import { sql } from "../../src/state/tx.ts";
import { planRetry } from "../../src/state/retry.ts";
import { admin, Cluster, report } from "./support.ts";

const noJitter = { backoff: "2s", factor: 3, cap: "10s", jitter: 0 };

describe("submitting", () => {
  test("a batch gets a consecutive run of ids", () => {
    const cluster = Cluster.of(1);
    const jobs = [{ run: "a" }, { run: "b", count: 3 }];
    expect(cluster.must("job.submit", { jobs }, admin)).toEqual({ first: jobId(1), count: 2, repeated: false });
    expect(cluster.must("job.submit", { jobs }, admin).first).toBe(jobId(3));
    expect(cluster.job(2)).toMatchObject({
      state: "queued",
      name: "b",
      submitted_by: "anna",
      counts: { queued: 3, running: 0 },
    });
    expect(cluster.changes()).toEqual([{ topic: "job", kind: "added", first: jobId(3), count: 2 }]);
    expect(totals(cluster.database)).toMatchObject({
      submitted: 4,
      jobsUnfinished: 4,
      tasksQueued: 8,
      tasksRunning: 0,
    });
  });

  test("ten million tasks are one row", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 10_000_000 });
    expect(cluster.job(job).counts.queued).toBe(10_000_000);
    expect(cluster.task(job, 9_999_999)).toMatchObject({ state: "queued", attempt: 0, attempts: [], node: null });
    expect(cluster.database.all(sql("select * from task"))).toEqual([]);
  });

  test("the same key and body give the first ids again, another body a conflict, another owner its own", () => {
    const cluster = Cluster.of(1);
    const request = { jobs: [{ run: "a" }], key: "k", digest: "d" };
    expect(cluster.must("job.submit", request, admin)).toMatchObject({ first: 1, repeated: false });
    expect(cluster.must("job.submit", request, admin)).toEqual({ first: jobId(1), count: 1, repeated: true });
    expect(cluster.refused("job.submit", { ...request, digest: "e" }, admin)).toEqual([
      "conflict",
      "the idempotency key was used for another request (job 1): use a new key",
    ]);
    expect(cluster.must("job.submit", request, { ...admin, token: "other" })).toMatchObject({
      first: 2,
      repeated: false,
    });
  });

  test("each_node freezes the nodes that are up and match", () => {
    const cluster = Cluster.of(3);
    cluster.must("node.drain", { node: "n2" }, admin);
    const job = cluster.submit({ each_node: true });
    cluster.join(4);
    expect([0, 1].map((task) => cluster.task(job, task).target)).toEqual(["n1", "n3"]);
    expect(cluster.job(job).counts.queued).toBe(2);
    expect(cluster.assign(job, 1, [1, 1])).toBe(1); // n3's task is n3's alone
    expect(cluster.assign(job, 3, [1, 1])).toBe(0);
    expect(assignmentsOf(cluster.database, nodeId(3))).toMatchObject([{ job, task: 1, target: "n3" }]);
  });

  test("each_node without a matching node is refused with its path, and nothing is stored", () => {
    const cluster = Cluster.of(1);
    const outcome = cluster.propose(
      "job.submit",
      { jobs: [{ run: "a" }, { run: "b", eachNode: true, on: "number=9" }] },
      admin,
    );
    expect(outcome).toMatchObject({ ok: false, why: { code: "invalid", details: [{ path: "jobs[1].on" }] } });
    expect(totals(cluster.database).submitted).toBe(0);
  });
});

describe("assigning", () => {
  test("a task is given once, with a fence that is the entry's index", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 2 });
    expect(cluster.assign(job, 1, [0, 1])).toBe(0);
    expect(cluster.changes()).toContainEqual({
      topic: "task",
      kind: "assigned",
      job: jobId(job),
      task: 0,
      attempt: 1,
      node: nodeId(1),
    });
    expect(cluster.assign(job, 2, [0, 1])).toBe(1);
    expect(cluster.assign(job, 2, [0, 2])).toBe(1); // it runs: no second attempt beside it (J1)
    expect(findAssignment(cluster.database, job, 0, 1)).toMatchObject({
      fence: cluster.log.length - 2,
      spec: { run: "true" },
    });
    expect(cluster.job(job)).toMatchObject({ state: "running", counts: { running: 1, queued: 1 } });
  });

  test("valid tasks of a plan stand, the others are named", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 2 });
    const units = [
      { job: jobId(job), node: nodeId(1), tasks: [[0, 1] as [number, number], [7, 1] as [number, number]] },
      { job: jobId(99), node: nodeId(1), tasks: [[0, 1] as [number, number]] },
    ];
    expect(cluster.must("unit.assign", { units }).refused).toEqual([
      { job: jobId(job), node: nodeId(1), tasks: [[7, 1]] },
      { job: jobId(99), node: nodeId(1), tasks: [[0, 1]] },
    ]);
  });

  test("plans that reach the log out of order leave no task behind", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 3 });
    expect(cluster.assign(job, 1, [2, 1])).toBe(0);
    expect(cluster.job(job).counts).toMatchObject({ running: 1, queued: 2 });
    expect(cluster.assign(job, 1, [0, 1], [1, 1])).toBe(0);
    for (const task of [0, 1, 2]) cluster.finish(job, task, 1, 1);
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", counts: { succeeded: 3 } });
  });

  test("a task takes the next attempt and no other (J1)", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ retries: { max: 3, ...noJitter } });
    expect(cluster.assign(job, 1, [0, 2])).toBe(1);
    expect(cluster.assign(job, 1, [0, 1])).toBe(0);
    cluster.finish(job, 0, 1, 1, "failed");
    expect([1, 3].map((attempt) => cluster.assign(job, 1, [0, attempt]))).toEqual([1, 1]);
    expect(cluster.assign(job, 1, [0, 2])).toBe(0);
    expect(cluster.task(job).attempt).toBe(2);
  });

  test("a plan that leaves a gap larger than any plan of ours is refused, and no rows are made for it", () => {
    const cluster = Cluster.of(1);
    const gap = 64 * limits.assignmentsPerEntry;
    const job = cluster.submit({ count: gap + 10 });
    expect(cluster.assign(job, 1, [gap + 1, 1])).toBe(1);
    expect(cluster.database.all(sql("select task from task"))).toEqual([]);
    expect(cluster.assign(job, 1, [gap, 1])).toBe(0);
    expect(cluster.job(job).counts).toMatchObject({ running: 1, queued: gap + 9 });
  });

  test("nothing goes to a node that drains, is lost or is unknown", () => {
    const cluster = Cluster.of(3);
    const job = cluster.submit({ count: 3 });
    cluster.must("node.drain", { node: 2 }, admin);
    cluster.must("node.lost", { node: nodeId(3), incarnation: "i3" });
    expect([2, 3, 4].map((node) => cluster.assign(job, node, [0, 1]))).toEqual([1, 1, 1]);
  });

  test("not more than `parallel` run at once", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 5, parallel: 2 });
    expect(cluster.assign(job, 1, [0, 1], [1, 1], [2, 1])).toBe(1);
    cluster.finish(job, 0, 1, 1);
    expect(cluster.assign(job, 1, [2, 1])).toBe(0);
  });
});

describe("reports", () => {
  test("the end of the last task is the end of the job (J2)", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.must("task.start", { node: nodeId(1), tasks: [{ job: jobId(job), task: 0, attempt: 1, startedAt: 77 }] });
    expect(cluster.task(job, 0).started_at).toBe("1970-01-01T00:00:00.077Z");
    cluster.finish(job, 0, 1, 1, "succeeded", { log: { bytes: 3, sha256: "s" } });
    expect(cluster.job(job).state).toBe("running");
    cluster.finish(job, 1, 1, 1);
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", counts: { succeeded: 2, running: 0, queued: 0 } });
    expect(cluster.changes().at(-1)).toEqual({
      topic: "job",
      kind: "state",
      job: jobId(job),
      state: "succeeded",
      cancelling: false,
    });
    expect(cluster.task(job, 0)).toMatchObject({
      state: "succeeded",
      node: 1,
      exit_code: 0,
      tail: "out",
      log: { bytes: 3, sha256: "s", nodes: [1] },
    });
    expect(totals(cluster.database)).toMatchObject({
      finished: { succeeded: 1 },
      jobsUnfinished: 0,
      tasksRunning: 0,
      tasksQueued: 0,
    });
  });

  test("a start of an old attempt, of another node or of a task that waits is passed over (J1)", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 2, retries: { max: 1, ...noJitter } });
    const start = (task: number, attempt: number, node: number): number =>
      cluster.must("task.start", { node: nodeId(node), tasks: [{ job: jobId(job), task, attempt, startedAt: 77 }] })
        .started;
    cluster.assign(job, 1, [0, 1]);
    expect([start(0, 2, 1), start(0, 1, 2), start(1, 1, 1), start(0, 1, 1)]).toEqual([0, 0, 0, 1]);
    cluster.finish(job, 0, 1, 1, "failed", { startedAt: 0 });
    expect(start(0, 1, 1)).toBe(0);
    cluster.assign(job, 1, [0, 2]);
    expect(start(0, 1, 1)).toBe(0);
    expect(cluster.changes()).toEqual([]);
    expect(cluster.task(job).started_at).toBeNull();
  });

  test("a report of an old attempt, of another node or said twice is refused (J1)", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ retries: { max: 1, ...noJitter } });
    cluster.assign(job, 1, [0, 1]);
    expect(cluster.finish(job, 0, 1, 2)).toBe(false);
    expect(cluster.finish(job, 0, 2, 1)).toBe(false);
    expect(cluster.finish(job, 0, 1, 1, "failed")).toBe(true);
    expect(cluster.finish(job, 0, 1, 1, "succeeded")).toBe(false);
    cluster.assign(job, 2, [0, 2]);
    expect(cluster.finish(job, 0, 1, 1, "succeeded")).toBe(false);
    expect(cluster.finish(job, 0, 2, 2)).toBe(true);
    expect(cluster.job(job).state).toBe("succeeded");
  });

  test("a refused report does not harm the others of its entry", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    const reports = [report(job, 0, 9), report(job, 1, 1), report(99, 0, 1)];
    expect(cluster.must("task.finish", { node: nodeId(1), reports }).refused).toEqual([
      [jobId(job), 0, 9],
      [jobId(99), 0, 1],
    ]);
    expect(cluster.job(job).counts).toMatchObject({ succeeded: 1, running: 1 });
  });

  test("bytes that are not UTF-8 are shown, not refused", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit();
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "failed", {
      tail: new Uint8Array([104, 105, 255]),
      exitCode: 127,
      reason: "no such command: foo",
    });
    expect(cluster.task(job)).toMatchObject({
      tail: "hi\ufffd",
      exit_code: 127,
      reason: "no such command: foo",
      state: "failed",
    });
  });

  test("100,000 tasks that fail at once: reports of many nodes in large entries, each is counted, and who waits for them is told", () => {
    const cluster = Cluster.of(3);
    cluster.level = 3;
    const count = 100_000;
    const flood = cluster.submit({ count });
    const [vain, alarm] = [
      cluster.submit({ after: [flood] }),
      cluster.submit({ after: [{ job: flood, when: "failed" }] }),
    ];
    const step = limits.assignmentsPerEntry;
    const tasksOf = (from: number): number[] =>
      Array.from({ length: Math.min(step, count - from) }, (_, at) => from + at);
    const nodeOf = (from: number): number => 1 + ((from / step) % 3);
    for (let from = 0; from < count; from += step)
      expect(cluster.assign(flood, nodeOf(from), ...tasksOf(from).map((task) => [task, 1] as const))).toBe(0);
    expect(cluster.job(flood).counts).toMatchObject({ running: count, queued: 0 });
    for (let from = 0; from < count; from += step) {
      const reports = tasksOf(from).map((task) => report(flood, task, 1, "failed"));
      expect(cluster.must("task.finish", { node: nodeId(nodeOf(from)), reports }).refused).toEqual([]);
    }
    expect(cluster.job(flood)).toMatchObject({ state: "failed", counts: { failed: count, running: 0 } });
    expect(cluster.job(vain).state).toBe("skipped");
    expect(cluster.job(alarm)).toMatchObject({ state: "queued" });
    expect(cluster.job(alarm).waits).toBeUndefined();
    expect(totals(cluster.database)).toMatchObject({ tasksRunning: 0, finished: { failed: 1, skipped: 1 } });
  }, 120_000);

  test("a job's tails are bounded together (N1)", () => {
    const cluster = Cluster.of(1);
    const full = limits.tailPerJobBytes / limits.tailMaxBytes;
    const job = cluster.submit({ count: full + 1 });
    const tail = new Uint8Array(limits.tailMaxBytes).fill(65);
    for (let task = 0; task <= full; task++) {
      cluster.assign(job, 1, [task, 1]);
      cluster.finish(job, task, 1, 1, "succeeded", { tail });
    }
    expect(cluster.task(job, full - 1).tail).toHaveLength(tail.length);
    expect(cluster.task(job, full)).toMatchObject({ tail: "", tail_dropped: true, state: "succeeded" });
  });
});

describe("retries", () => {
  test("wait longer each time, up to the cap, and keep the history", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ retries: { max: 3, ...noJitter } });
    const delays: number[] = [];
    for (let attempt = 1; attempt <= 4; attempt++) {
      cluster.assign(job, 1, [0, attempt]);
      cluster.finish(job, 0, attempt, 1, "failed");
      const ended = cluster.changes().find((change) => change.topic === "task" && change.kind === "ended");
      if (ended !== undefined && "notBefore" in ended && ended.state === "queued")
        delays.push(ended.notBefore - cluster.now);
    }
    expect(delays).toEqual([2000, 6000, 10_000]);
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { failed: 1 } });
    expect(cluster.task(job).attempts.map((one) => [one.attempt, one.state, one.node])).toEqual([
      [1, "failed", 1],
      [2, "failed", 1],
      [3, "failed", 1],
      [4, "failed", 1],
    ]);
  });

  test("jitter is drawn from the entry: within its share, the same everywhere, not always the same", () => {
    const delays = [1, 2, 3, 4].map((before) => {
      const cluster = Cluster.of(1);
      for (let other = 0; other < before; other++) cluster.submit();
      const job = cluster.submit({ retries: { max: 1, backoff: "10s", jitter: 0.5 } });
      cluster.assign(job, 1, [0, 1]);
      cluster.finish(job, 0, 1, 1, "failed");
      const [ended] = cluster.changes();
      return ended !== undefined && "notBefore" in ended ? ended.notBefore - cluster.now : 0;
    });
    for (const delay of delays) {
      expect(delay).toBeGreaterThanOrEqual(5000);
      expect(delay).toBeLessThanOrEqual(15_000);
    }
    expect(new Set(delays).size).toBeGreaterThan(1);
  });

  test("that wait in thousands when their job is cancelled end in steps, and the job with the last of them; nothing of it starts meanwhile", () => {
    const cluster = Cluster.ofNewest(1);
    const count = 3_000;
    const spec = { count, retries: { max: 3, backoff: "0s", jitter: 0 } };
    const failAll = (job: number, given: number): void => {
      expect(cluster.give(job, 1, 0, given, given)).toBe(true);
      const reports = Array.from({ length: given }, (_, task) => report(job, task, 1, "failed"));
      cluster.must("task.finish", { node: nodeId(1), reports });
    };
    const [job, other] = [cluster.submit(spec), cluster.submit(spec)];
    const child = cluster.submit({ after: [{ job, when: "done" }] });
    failAll(job, 2_500);
    failAll(other, 1_500);
    const most = limits.stoppedPerCommand;
    expect(cluster.must("job.cancel", { id: jobId(job) }, admin)).toMatchObject({ cancelling: true });
    expect(cluster.changes()).toContainEqual({ topic: "gate", kind: "changed" });
    expect(cluster.job(job)).toMatchObject({
      state: "running",
      cancelling: true,
      counts: { queued: 2_500 - most, cancelled: 500 + most },
    });
    cluster.must("job.cancel", { id: jobId(other) }, admin);
    expect(cluster.give(job, 1, 2_500, 10, 10)).toBe(false);
    const units = [{ job: jobId(job), node: nodeId(1), tasks: [[2_400, 2]] as [number, number][] }];
    expect(cluster.must("unit.assign", { units }).refused).toHaveLength(1);

    const ended: number[] = [];
    for (let steps = 1; gateWork(cluster.database, cluster.now).settle; steps++) {
      expect(steps).toBeLessThan(10);
      cluster.must("job.settle", {});
      ended.push(cluster.job(job).counts.queued + cluster.job(other).counts.queued);
    }
    // As many as one command may end, of whichever job, until none is left.
    const left = 4_000 - 2 * most;
    expect(ended).toEqual([left - most, 0]);
    for (const one of [job, other])
      expect(cluster.job(one)).toMatchObject({ state: "cancelled", counts: { queued: 0, cancelled: count } });
    expect(cluster.job(child).waits).toBeUndefined();
    const reasons = new Set([0, 2_499, 2_999].map((task) => findTask(cluster.database, job, task)?.state));
    expect(reasons).toEqual(new Set(["cancelled"]));
  });

  test("that wait when too many have failed, or the deadline has passed, end in steps as well", () => {
    const cluster = Cluster.ofNewest(1);
    const spec = { count: 2_000, retries: { max: 1, backoff: "1h" } };
    const [failing, late] = [cluster.submit({ ...spec, max_failures: 0 }), cluster.submit({ ...spec, deadline: "1m" })];
    for (const job of [failing, late]) {
      for (const [first, many] of [
        [0, 1_999],
        [1_999, 1],
      ] as const)
        cluster.give(job, 1, first, many, many);
      const reports = Array.from({ length: 1_999 }, (_, task) => report(job, task, 1, "failed"));
      cluster.must("task.finish", { node: nodeId(1), reports });
    }
    // One that is tried no more.
    cluster.assign(failing, 1, [0, 2]);
    cluster.finish(failing, 0, 2, 1, "failed");
    expect(cluster.job(failing)).toMatchObject({ state: "running", counts: { skipped: limits.stoppedPerCommand } });
    cluster.now += 120_000;
    cluster.must("job.overdue", { jobs: [jobId(late)] });
    while (gateWork(cluster.database, cluster.now).settle) cluster.must("job.settle", {});
    // What runs goes on.
    cluster.finish(failing, 1_999, 1, 1);
    cluster.finish(late, 1_999, 1, 1, "cancelled");
    expect(cluster.job(failing)).toMatchObject({
      state: "failed",
      counts: { failed: 1, skipped: 1_998, succeeded: 1 },
    });
    expect(cluster.job(late)).toMatchObject({ state: "failed", counts: { timeout: 2_000 } });
  });

  test("jitter goes not past the cap, and is drawn there too", () => {
    const retries = { max: 1, backoffMs: 60_000, capMs: 60_000, jitter: 0.1 };
    const delay = (drawn: number): number | undefined =>
      planRetry({ retries }, { tries: 0, losses: 0 }, "failed", () => drawn)?.delayMs;
    expect([delay(0), delay(0.5), delay(1 - Number.EPSILON)]).toEqual([54_000, 57_000, 60_000]);
    const near = { retries: { ...retries, backoffMs: 58_000 } };
    expect(planRetry(near, { tries: 0, losses: 0 }, "failed", () => 1)?.delayMs).toBe(60_000);
  });

  test("`on` says what is tried again", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ retries: { max: 5, on: ["timeout"] } });
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "timeout");
    expect(cluster.task(job)).toMatchObject({ state: "queued", attempt: 1, node: null });
    cluster.assign(job, 1, [0, 2]);
    cluster.finish(job, 0, 2, 1, "failed");
    expect(cluster.job(job).state).toBe("failed");
  });
});

describe("a lost node", () => {
  test("its attempts run again elsewhere with the next number; what finished is not touched", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 3 });
    cluster.assign(job, 2, [0, 1], [1, 1]);
    cluster.assign(job, 1, [2, 1]);
    cluster.finish(job, 0, 1, 2);
    expect(cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" })).toEqual({ attempts: 1 });
    expect(cluster.changes()).toContainEqual({
      topic: "task",
      kind: "ended",
      job: jobId(job),
      task: 1,
      attempt: 1,
      node: nodeId(2),
      state: "queued",
      notBefore: 0,
    });
    expect(cluster.job(job).counts).toMatchObject({ succeeded: 1, running: 1, queued: 1 });
    expect(cluster.assign(job, 1, [1, 2])).toBe(0);
    expect(cluster.finish(job, 1, 1, 2)).toBe(false);
    cluster.finish(job, 1, 2, 1);
    cluster.finish(job, 2, 1, 1);
    expect(cluster.job(job).state).toBe("succeeded");
    expect(cluster.task(job, 1).attempts).toMatchObject([
      { state: "lost", node: 2, reason: "node n2 was lost" },
      { state: "succeeded", node: 1 },
    ]);
  });

  test("on_lost: fail ends the task as lost: at most once (J2)", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ on_lost: "fail", retries: { max: 5 } });
    cluster.assign(job, 2, [0, 1]);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { lost: 1 } });
  });

  test("losses are not counted in retries.max, but bounded", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ retries: { max: 1, ...noJitter } });
    for (let attempt = 1; attempt <= limits.lostRetries; attempt++) {
      cluster.assign(job, 1, [0, attempt]);
      cluster.finish(job, 0, attempt, 1, "lost");
      expect(cluster.task(job).state).toBe("queued");
    }
    cluster.assign(job, 1, [0, 11]);
    cluster.finish(job, 0, 11, 1, "failed");
    expect(cluster.task(job).state).toBe("queued");
    cluster.assign(job, 1, [0, 12]);
    cluster.finish(job, 0, 12, 1, "lost");
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { lost: 1 } });
  });

  test("a task that waits for a lost node waits on, or ends with on_lost: fail", () => {
    const cluster = Cluster.of(3);
    const waits = cluster.submit({ each_node: true });
    const fails = cluster.submit({ each_node: true, on_lost: "fail" });
    const late = cluster.submit({ each_node: true, on_lost: "fail" });
    cluster.assign(fails, 2, [1, 1]);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(cluster.job(waits).counts).toMatchObject({ queued: 3, lost: 0 });
    expect(cluster.job(fails).counts).toMatchObject({ queued: 2, lost: 1 });
    expect(cluster.job(late).counts).toMatchObject({ queued: 2, lost: 1 });
    expect(cluster.task(late, 1)).toMatchObject({ state: "lost", reason: "node n2 was lost" });
    for (const [node, task] of [
      [1, 0],
      [3, 2],
    ] as const) {
      cluster.assign(late, node, [task, 1]);
      cluster.finish(late, task, 1, node);
    }
    expect(cluster.job(late)).toMatchObject({ state: "failed", counts: { succeeded: 2, lost: 1 } });
  });

  test("a removed node's own tasks end: nobody else may run them", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ each_node: true });
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1);
    cluster.must("node.remove", { node: "n2" }, admin);
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { succeeded: 1, lost: 1 } });
  });
});

describe("cancelling", () => {
  test("a job of which nothing runs ends at once", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 3 });
    expect(cluster.must("job.cancel", { id: jobId(job) }, admin)).toMatchObject({
      state: "cancelled",
      cancelling: false,
    });
    expect(cluster.job(job)).toMatchObject({
      state: "cancelled",
      reason: "cancelled by anna",
      counts: { cancelled: 3 },
    });
    expect(cluster.task(job, 2).state).toBe("cancelled");
    expect(cluster.refused("job.cancel", { id: jobId(job) }, admin)).toEqual([
      "conflict",
      "job 1 has ended already: cancelled",
    ]);
    expect(cluster.refused("job.cancel", { id: jobId(9) }, admin)).toEqual(["not-found", "there is no job 9"]);
  });

  test("running attempts are stopped; the job ends with the last of them", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 4, retries: { max: 3 } });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.assign(job, 2, [2, 1]);
    cluster.finish(job, 0, 1, 1, "failed"); // waits for its retry
    expect(cluster.must("job.cancel", { id: jobId(job) }, admin)).toMatchObject({ state: "running", cancelling: true });
    expect(cluster.changes().filter((change) => change.topic === "task")).toEqual([
      { topic: "task", kind: "stop", job: jobId(job), task: 1, attempt: 1, node: nodeId(1) },
      { topic: "task", kind: "stop", job: jobId(job), task: 2, attempt: 1, node: nodeId(2) },
    ]);
    expect(cluster.job(job)).toMatchObject({
      state: "running",
      cancelling: true,
      counts: { cancelled: 2, running: 2, queued: 0 },
    });
    expect(cluster.must("job.cancel", { id: jobId(job) }, admin)).toMatchObject({ cancelling: true });
    expect(cluster.assign(job, 1, [0, 2])).toBe(1);
    cluster.finish(job, 1, 1, 1, "cancelled");
    cluster.finish(job, 2, 1, 2, "failed"); // no retry any more
    expect(cluster.job(job)).toMatchObject({ state: "cancelled", counts: { cancelled: 3, failed: 1 } });
    expect(cluster.job(job).cancelling).toBeUndefined();
  });

  test("a node that is lost meanwhile does not keep the job open", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit();
    cluster.assign(job, 2, [0, 1]);
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(cluster.job(job)).toMatchObject({ state: "cancelled", counts: { cancelled: 1 } });
  });

  test("a job whose tasks all succeed before they are stopped has succeeded", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit();
    cluster.assign(job, 1, [0, 1]);
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    cluster.finish(job, 0, 1, 1);
    expect(cluster.job(job).state).toBe("succeeded");
  });
});

describe("max_failures", () => {
  test("past it nothing more is started, what waits is skipped and the job fails", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 10, max_failures: 1 });
    cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    expect(cluster.job(job).counts).toMatchObject({ failed: 1, queued: 7 });
    cluster.finish(job, 1, 1, 1, "failed");
    expect(cluster.job(job)).toMatchObject({
      state: "running",
      counts: { failed: 2, running: 1, skipped: 7, queued: 0 },
    });
    expect(cluster.changes()).toContainEqual({
      topic: "job",
      kind: "state",
      job: jobId(job),
      state: "running",
      cancelling: false,
    });
    expect(cluster.assign(job, 1, [3, 1])).toBe(1);
    cluster.finish(job, 2, 1, 1);
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { failed: 2, succeeded: 1, skipped: 7 } });
    expect(cluster.task(job, 9)).toMatchObject({
      state: "skipped",
      reason: "more than 1 tasks failed: the rest was not started",
    });
  });

  test("past it what runs is tried no more, though it has retries left", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 3, max_failures: 0, retries: { max: 5, on: ["timeout"] } });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    cluster.finish(job, 1, 1, 1, "timeout");
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { failed: 1, timeout: 1, skipped: 1 } });
  });

  test("passed because a node was removed, it ends the other nodes' tasks, and their removal finds none", () => {
    const cluster = Cluster.of(3);
    const job = cluster.submit({ each_node: true, max_failures: 0 });
    cluster.assign(job, 1, [0, 1]);
    cluster.must("node.remove", { node: "n2" }, admin);
    expect(cluster.job(job).counts).toMatchObject({ running: 1, lost: 1, skipped: 1 });
    cluster.must("node.remove", { node: "n3" }, admin);
    expect(cluster.job(job).counts).toMatchObject({ running: 1, lost: 1, skipped: 1 });
    cluster.finish(job, 0, 1, 1);
    expect(cluster.job(job).state).toBe("failed");
  });

  test("within it the job has succeeded in part", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 10, max_failures: "10%" });
    for (let task = 0; task < 10; task++) {
      cluster.assign(job, 1, [task, 1]);
      cluster.finish(job, task, 1, 1, task === 4 ? "failed" : "succeeded");
    }
    expect(cluster.job(job)).toMatchObject({ state: "succeeded", partial: true, counts: { failed: 1, succeeded: 9 } });
  });

  test("without it every task runs and one failure fails the job", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 3 });
    for (let task = 0; task < 3; task++) {
      cluster.assign(job, 1, [task, 1]);
      cluster.finish(job, task, 1, 1, task === 0 ? "failed" : "succeeded");
    }
    expect(cluster.job(job)).toMatchObject({ state: "failed", counts: { failed: 1, succeeded: 2 } });
    expect(cluster.job(job).partial).toBeUndefined();
  });
});

describe("forgetting", () => {
  test("a finished job goes when its ttl is over, with all its rows; its key lives on for 24 h", () => {
    const cluster = Cluster.of(1);
    const request = { jobs: [{ run: "a", ttlMs: 1000, retries: { max: 1 } }], key: "k", digest: "d" };
    const job = cluster.must("job.submit", request, admin).first;
    const open = cluster.submit();
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    cluster.assign(job, 1, [0, 2]);
    cluster.finish(job, 0, 2, 1);
    const jobs = [job, jobId(open), jobId(99)];
    expect(cluster.must("job.expire", { jobs })).toEqual({ removed: 0 });
    cluster.now += 1001;
    expect(cluster.must("job.expire", { jobs })).toEqual({ removed: 1 });
    expect(cluster.changes()).toEqual([{ topic: "job", kind: "removed", job }]);
    expect(findJob(cluster.database, job)).toBeUndefined();
    for (const table of ["task", "attempt"]) expect(cluster.database.all(sql(`select * from ${table}`))).toEqual([]);
    expect(cluster.must("job.submit", request, admin)).toMatchObject({ first: job, repeated: true });
    cluster.now += limits.idempotencyKeepMs;
    cluster.must("job.expire", { jobs });
    expect(cluster.must("job.submit", request, admin)).toMatchObject({ first: 3, repeated: false });
  });
});
