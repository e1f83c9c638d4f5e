import { expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { isTerminal } from "../../src/lib/states.ts";
import { outputAhead } from "../../src/state/output-ahead.ts";
import { listTasks } from "../../src/state/queries.ts";
import { admin, Cluster } from "./support.ts";

/** Which tasks a reader of a job's output is sent to. */

const log = { bytes: 3, sha256: "x" };

/** All tasks that a reader is sent to, by the looks that it takes. */
function visited(cluster: Cluster, job: number, follows: boolean): number[] {
  const tasks: number[] = [];
  for (let from = 0; ;) {
    const ahead = outputAhead(cluster.database, job, from, follows);
    if (ahead === undefined) return tasks;
    if (ahead.isWorth) tasks.push(ahead.task);
    from = ahead.isWorth ? ahead.task + 1 : ahead.task;
  }
}

/** The same by looking at every task. */
function naive(cluster: Cluster, job: number, follows: boolean): number[] {
  return listTasks(cluster.database, job, { limit: 1000 })!
    .items.filter(({ state, attempt, log }) => {
      if (state === "queued") return attempt > 0 || follows;
      return log !== null || state === "running" || (state === "lost" && attempt > 0);
    })
    .map(({ task }) => task);
}

test("those that have output, may come to have some or, when it follows, have not ended; wherever what is known of them is kept", () => {
  const cluster = Cluster.ofNewest(2);
  const job = cluster.submit({ count: 60, retries: { max: 1, backoff: "1h" } });
  const expectSame = (): void => {
    for (const follows of [false, true]) expect(visited(cluster, job, follows)).toEqual(naive(cluster, job, follows));
  };
  expectSame();
  for (const [first, node] of [
    [0, 1],
    [10, 2],
    [20, 1],
    [30, 2],
  ] as const)
    cluster.give(job, node, first, 10, 4);
  expectSame();
  cluster.end(job, 1, 0, ...Array.from({ length: 10 }, (_, at): [number, number, number] => [at, 1, 2]));
  cluster.end(job, 2, 10, [0, 1, 2], [1, 1, 2], [5, 1, 2]);
  expectSame();
  cluster.finish(job, 12, 1, 2, "succeeded", { log });
  cluster.finish(job, 13, 1, 2, "failed", { log });
  cluster.finish(job, 14, 1, 2, "failed");
  expectSame();
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  expectSame();
  cluster.must("job.cancel", { id: jobId(job) }, admin);
  expectSame();
  for (let task = 20; task < 30; task++) cluster.finish(job, task, 1, 1, "cancelled", task === 25 ? { log } : {});
  expect(isTerminal(cluster.job(job).state)).toBe(true);
  expectSame();
  expect(visited(cluster, job, true)).toEqual([12, 25]);
  expect(visited(cluster, 99, false)).toEqual([]);
});

test("ten million tasks that never began are passed over in one look, and many that left nothing in a few", () => {
  const cluster = Cluster.ofNewest(1);
  const huge = cluster.submit({ count: 10_000_000 });
  expect(visited(cluster, huge, false)).toEqual([]);
  expect(outputAhead(cluster.database, huge, 0, true)).toEqual({ task: 0, isWorth: true }); // it is waited for
  cluster.must("job.cancel", { id: jobId(huge) }, admin);
  expect(outputAhead(cluster.database, huge, 0, true)).toBeUndefined();
  const many = cluster.submit({ count: 5000 });
  for (let first = 0; first < 5000; first += 500) {
    const tasks = Array.from({ length: 500 }, (_, at) => first + at);
    cluster.assign(many, 1, ...tasks.map((task) => [task, 1] as const));
    for (const task of tasks.filter((one) => one === 4321)) cluster.finish(many, task, 1, 1, "succeeded", { log });
  }
  cluster.must("job.cancel", { id: jobId(many) }, admin);
  for (let task = 0; task < 5000; task++) if (task !== 4321) cluster.finish(many, task, 1, 1, "cancelled");
  expect(outputAhead(cluster.database, many, 0, false)).toEqual({ task: 2000, isWorth: false });
  expect(visited(cluster, many, false)).toEqual([4321]);
});
