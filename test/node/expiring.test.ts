import { expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { Expiring, type Timers } from "../../src/node/expiring.ts";
import type { CommandInput } from "../../src/state/commands/index.ts";
import { totals } from "../../src/state/queries.ts";
import { admin, Cluster } from "../state/support.ts";

/** A cluster with so many finished jobs, which expire after one another. */
function finished(jobs: number): Cluster {
  const cluster = Cluster.of(1);
  cluster.level = 3;
  cluster.must(
    "job.submit",
    { jobs: Array.from({ length: jobs }, (_, at) => ({ run: "x", ttlMs: 1000 + at })) },
    admin,
  );
  for (let id = 1; id <= jobs; id++) cluster.must("job.cancel", { id: jobId(id) }, admin);
  return cluster;
}

/** The duty over that state; resolves `idle` when what was asked for is done. */
function duty(cluster: Cluster, answers: { taken: boolean } = { taken: true }, timers?: Timers) {
  const steps: number[] = [];
  let idle = Promise.withResolvers<void>();
  const ports: ConstructorParameters<typeof Expiring>[0] = {
    now: () => cluster.now,
    view: (query) => {
      const value = query(cluster.database);
      if (Array.isArray(value) && value.length === 0) idle.resolve();
      return value;
    },
    propose: (_name, input) => {
      const { jobs } = input as CommandInput<"job.expire">;
      steps.push(jobs.length);
      if (answers.taken)
        return Promise.resolve(accept({ value: cluster.must("job.expire", { jobs }), index: 0 }) as never);
      idle.resolve();
      return Promise.resolve(refuse("unavailable", "not now"));
    },
  };
  const expiring = new Expiring(ports, timers);
  const settled = async (): Promise<void> => {
    await idle.promise;
    idle = Promise.withResolvers<void>();
  };
  return { expiring, steps, settled };
}

test("what is too old goes in small steps, one entry after the other without waiting for the next look, the longest over first", async () => {
  const cluster = finished(2 * limits.expirePerEntry + 10);
  cluster.now += 2 * limits.expirePerEntry + 1000;
  const { expiring, steps, settled } = duty(cluster);
  expiring.look(() => true);
  expiring.look(() => true); // one is under way
  await settled();
  expect(steps).toEqual([limits.expirePerEntry, limits.expirePerEntry, 1]);
  expect(totals(cluster.database).jobsFinished).toBe(9);
});

test("of more finished jobs than are kept the first to expire go, down to that number", async () => {
  const cluster = finished(limits.expirePerEntry + 150);
  cluster.must("cluster.bounds", { finished_jobs: 120 }, admin);
  const { expiring, steps, settled } = duty(cluster);
  expiring.look(() => true);
  await settled();
  expect(steps).toEqual([limits.expirePerEntry, 30]);
  expect(totals(cluster.database).jobsFinished).toBe(120);
  expect(cluster.job(limits.expirePerEntry + 31).state).toBe("cancelled");
  // What is named and is neither too old nor too many by the time of its entry stays.
  expect(cluster.must("job.expire", { jobs: [jobId(limits.expirePerEntry + 31)] })).toEqual({ removed: 0 });
});

test("an entry that is not taken is no end of it, and who leads no more takes no step", async () => {
  const cluster = finished(3);
  cluster.now += 5000;
  const answers = { taken: false };
  const { expiring, steps, settled } = duty(cluster, answers);
  expiring.look(() => false);
  expect(steps).toEqual([]);
  expiring.look(() => true);
  await settled();
  answers.taken = true;
  while (totals(cluster.database).jobsFinished > 0) {
    expiring.look(() => true);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(steps).toEqual([3, 3]);
});

test("between two steps as much time is left to others as a step took", async () => {
  const cluster = finished(limits.expirePerEntry + 1);
  cluster.now += 10_000;
  let now = 1000;
  const waits: { ms: number; run: () => void }[] = [];
  // Each look at the clock after a step is 70 ms later.
  const timers: Timers = { monotonicMs: () => (now += 70), after: (ms, run) => void waits.push({ ms, run }) };
  const { expiring, steps } = duty(cluster, { taken: true }, timers);
  expiring.look(() => true);
  await new Promise((resolve) => setImmediate(resolve));
  expect([steps, waits.map(({ ms }) => ms)]).toEqual([[limits.expirePerEntry], [70]]);
  waits[0]!.run();
  expect(steps).toEqual([limits.expirePerEntry, 1]);
});
