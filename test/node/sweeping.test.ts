import { expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { Sweeping } from "../../src/node/sweeping.ts";
import type { CommandInput } from "../../src/state/commands/index.ts";
import { nextRemains } from "../../src/state/forgetting.ts";
import { admin, Cluster, report } from "../state/support.ts";

/** A cluster that has forgotten a job with so many rows of tasks. */
function clusterWithout(tasks: number): Cluster {
  const cluster = Cluster.of(1);
  cluster.level = 3;
  const job = cluster.submit({ count: tasks });
  for (let from = 0; from < tasks; from += 1000) {
    const some = Array.from({ length: Math.min(1000, tasks - from) }, (_, at) => from + at);
    cluster.assign(job, 1, ...some.map((task) => [task, 1] as const));
    cluster.must("task.finish", { node: nodeId(1), reports: some.map((task) => report(job, task, 1)) });
  }
  cluster.must("job.remove", { id: jobId(job) }, admin);
  return cluster;
}

test("whoever leads sweeps what is left of forgotten jobs, one entry after the other, until nothing is, and goes on where another one stopped", async () => {
  const cluster = clusterWithout(2 * limits.sweepRows + 10);
  let isTaken = true;
  let proposed = 0;
  let done = Promise.withResolvers<void>();
  const sweeping = (): Sweeping =>
    new Sweeping({
      view: (query) => query(cluster.database),
      propose: (_name, input) => {
        proposed += 1;
        const outcome: Outcome<unknown> = isTaken
          ? accept({ value: cluster.must("job.sweep", input as CommandInput<"job.sweep">), index: 0 })
          : refuse("unavailable", "not now");
        if (!isTaken || nextRemains(cluster.database) === undefined) queueMicrotask(() => done.resolve());
        return Promise.resolve(outcome as never);
      },
    });
  isTaken = false;
  const first = sweeping();
  first.look(() => true);
  await done.promise;
  expect([proposed, nextRemains(cluster.database)]).toEqual([1, 1]);
  done = Promise.withResolvers<void>();
  isTaken = true;
  first.look(() => false);
  expect(proposed).toBe(1);
  sweeping().look(() => true);
  await done.promise;
  expect([proposed, nextRemains(cluster.database)]).toEqual([4, undefined]);
  sweeping().look(() => true);
  expect(proposed).toBe(4);
});
