import { expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { admin, announcement, Cluster } from "./support.ts";

/** Work that is taken back from a node which has not begun it (unit.recall). */
function recall(cluster: Cluster, node: number, ...attempts: [job: number, task: number, attempt: number][]): number {
  const names = attempts.map(([job, task, attempt]): [ReturnType<typeof jobId>, number, number] => [
    jobId(job),
    task,
    attempt,
  ]);
  return cluster.must("unit.recall", { node: nodeId(node), attempts: names }).recalled;
}

function cluster(): Cluster {
  const made = Cluster.of(3);
  made.level = 3;
  return made;
}

test.each(["retry", "fail"])(
  "it waits again with on_lost: %s, and counts neither as a loss nor as a retry",
  (onLost) => {
    const one = cluster();
    const single = one.submit({ on_lost: onLost, retries: { max: 1, backoff: "0s" } });
    const array = one.submit({ on_lost: onLost, count: 3 });
    one.assign(single, 2, [0, 1]);
    one.assign(array, 2, [0, 1], [1, 1]);
    expect(recall(one, 2, [single, 0, 1], [array, 1, 1])).toBe(2);
    expect(one.changes()).toContainEqual({
      topic: "task",
      kind: "ended",
      job: jobId(single),
      task: 0,
      attempt: 1,
      node: nodeId(2),
      state: "queued",
      notBefore: 0,
    });
    expect(one.job(array).counts).toMatchObject({ queued: 2, running: 1 });
    const waiting = one.task(single);
    expect(waiting).toMatchObject({ state: "queued", attempt: 1 });
    expect(waiting.attempts).toMatchObject([
      { attempt: 1, node: 2, state: "skipped", reason: "node n2 had not begun it, and it was taken back" },
    ]);

    // Its node reports late, and is not heard (J1); the next attempt has all its retries, and all its losses.
    expect(one.finish(single, 0, 1, 2)).toBe(false);
    expect(one.assign(single, 3, [0, 2])).toBe(0);
    expect(one.finish(single, 0, 2, 3, "failed")).toBe(true);
    expect(one.assign(single, 1, [0, 3])).toBe(0);
    expect(one.finish(single, 0, 3, 1)).toBe(true);
    expect(one.job(single).state).toBe("succeeded");
  },
);

test("what is out of date is passed over: another attempt, another node, one that runs or has ended", () => {
  const one = cluster();
  const job = one.submit({ count: 4 });
  one.assign(job, 2, [0, 1], [1, 1], [2, 1], [3, 1]);
  one.finish(job, 0, 1, 2);
  one.must("task.start", { node: nodeId(2), tasks: [{ job: jobId(job), task: 1, attempt: 1, startedAt: 5 }] });
  expect(recall(one, 2, [job, 0, 1], [job, 1, 1], [job, 2, 2], [99, 0, 1], [job, 9, 1])).toBe(0);
  expect(recall(one, 3, [job, 3, 1])).toBe(0);
  expect(one.job(job).counts).toMatchObject({ running: 3, succeeded: 1 });
  expect(recall(one, 2, [job, 3, 1])).toBe(1);
  expect(recall(one, 2, [job, 3, 1])).toBe(0); // said twice it is done once
});

test("a job that is being stopped ends with it", () => {
  const one = cluster();
  const cancelled = one.submit();
  const failing = one.submit({ count: 3, max_failures: 0 });
  const late = one.submit({ deadline: "10s" });
  one.assign(cancelled, 2, [0, 1]);
  one.assign(failing, 2, [0, 1], [1, 1]);
  one.assign(late, 2, [0, 1]);
  one.must("job.cancel", { id: jobId(cancelled) }, admin);
  one.finish(failing, 0, 1, 2, "failed");
  one.now += 11_000;
  one.must("job.overdue", { jobs: [jobId(late)] });
  expect([cancelled, failing, late].map((id) => one.job(id).state)).toEqual(["running", "running", "running"]);
  expect(recall(one, 2, [cancelled, 0, 1], [failing, 1, 1], [late, 0, 1])).toBe(3);
  expect(one.job(cancelled).state).toBe("cancelled");
  expect(one.job(late)).toMatchObject({ state: "failed", counts: { timeout: 1 } });
  expect(one.job(failing)).toMatchObject({ state: "failed", counts: { failed: 1, skipped: 2 } });
});

test("a held job keeps it behind its gate, a task that belongs to its node waits for that", () => {
  const one = cluster();
  const held = one.submit();
  one.assign(held, 2, [0, 1]);
  one.must("job.hold", { id: jobId(held) }, admin);
  expect(recall(one, 2, [held, 0, 1])).toBe(1);
  expect(one.job(held)).toMatchObject({ state: "running", counts: { queued: 1 } });
  expect(one.assign(held, 3, [0, 2])).toBe(1);
  one.must("job.release", { id: jobId(held) }, admin);
  expect(one.assign(held, 3, [0, 2])).toBe(0);

  const each = one.submit({ each_node: true });
  one.assign(each, 2, [1, 1]);
  expect(recall(one, 2, [each, 1, 1])).toBe(1);
  expect(one.assign(each, 3, [1, 2])).toBe(1);
  expect(one.assign(each, 2, [1, 2])).toBe(0);
});

test("a node gives back what it has not begun, and only the process that has it can", () => {
  const one = cluster();
  const jobs = [one.submit(), one.submit(), one.submit()];
  for (const job of jobs) one.assign(job, 2, [0, 1]);
  const give = (incarnation: string, ...ids: number[]): number =>
    one.must("unit.return", {
      node: nodeId(2),
      incarnation,
      attempts: ids.map((id): [ReturnType<typeof jobId>, number, number] => [jobId(id), 0, 1]),
    }).returned;
  const { incarnation } = announcement(2);
  one.must("task.start", { node: nodeId(2), tasks: [{ job: jobId(jobs[1]!), task: 0, attempt: 1, startedAt: 5 }] });
  expect(give(incarnation, jobs[0]!, jobs[1]!, 99)).toBe(1);
  expect(one.task(jobs[0]!)).toMatchObject({ state: "queued", attempt: 1 });
  expect(one.task(jobs[0]!).attempts).toMatchObject([
    { attempt: 1, node: 2, state: "skipped", reason: "node n2 had not begun it, and gave it back" },
  ]);
  expect(one.task(jobs[1]!)).toMatchObject({ state: "running" });
  expect(give(incarnation, jobs[0]!)).toBe(0); // said twice it is done once
  // The process that said so has ended, and its word comes late: the next one may have begun it (J1).
  one.must("node.seen", { node: nodeId(2), ...announcement(2), incarnation: "another" });
  expect(give(incarnation, jobs[2]!)).toBe(0);
  expect(one.task(jobs[2]!)).toMatchObject({ state: "running" });
  expect(give("another", jobs[2]!)).toBe(1);
});
