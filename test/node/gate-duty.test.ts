import { afterEach, expect, test } from "bun:test";
import { formatInstant } from "../../src/lib/calendar.ts";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { GateDuty, type GateDutyPorts } from "../../src/node/gate-duty.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { totals } from "../../src/state/queries.ts";
import { admin, Cluster } from "../state/support.ts";

/** A leader with a real state. What `take` says nothing of is logged and applied at once. */
function lead(
  cluster: Cluster,
  take: (name: string, count: number) => Promise<Outcome<unknown>> | undefined = () => undefined,
) {
  const proposed: string[] = [];
  const ports: GateDutyPorts = {
    now: () => Date.now(),
    view: (query) => query(cluster.database),
    propose: async (name, input) => {
      proposed.push(name);
      const taken = take(name, proposed.length);
      if (taken !== undefined) return taken;
      await Promise.resolve();
      cluster.now = Date.now();
      const value = cluster.must(name, input);
      return accept({ value, index: cluster.log.length });
    },
  };
  const duty = new GateDuty(ports);
  started.push(duty);
  duty.start();
  return { duty, proposed };
}

const started: GateDuty[] = [];
afterEach(() => {
  for (const duty of started.splice(0)) duty.stop();
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** So many jobs that wait for one that is about to end, and have not been told that it has. */
function untold(cluster: Cluster, count: number): void {
  const parent = cluster.submit();
  const { jobs } = commandByName("job.submit").input.parse({
    jobs: Array.from({ length: count }, () => ({ run: "x", after: [parent] })),
  });
  cluster.must("job.submit", { jobs }, admin);
  cluster.assign(parent, 1, [0, 1]);
  cluster.finish(parent, 0, 1, 1, "failed");
}

test("a timer of its own wakes the duty at the instant, and never before it (J4)", async () => {
  const cluster = Cluster.of(1);
  cluster.now = Date.now();
  const at = cluster.now + 60;
  const job = cluster.submit({ start_at: formatInstant(at) });
  const late = cluster.submit({ deadline: "100ms", after: [job] });
  const { proposed } = lead(cluster);
  await until(() => cluster.job(job).waits === undefined);
  expect(cluster.now).toBeGreaterThanOrEqual(at);
  expect(proposed).toEqual(["job.open"]);
  await until(() => cluster.job(late).state === "failed");
  expect(proposed).toEqual(["job.open", "job.overdue"]);
});

test("what comes after the duty began is waited for too", async () => {
  const cluster = Cluster.of(1);
  cluster.now = Date.now();
  const { duty } = lead(cluster);
  const job = cluster.submit({ start_at: formatInstant(cluster.now + 30) });
  duty.onApplied(cluster.events.slice(-1));
  await until(() => cluster.job(job).waits === undefined);
});

test("a leader that loses its office in the middle of a release is followed by one that goes on with it", async () => {
  const cluster = Cluster.of(1);
  untold(cluster, 10 * limits.releasesPerCommand);
  // The third step reaches the log when nobody waits for its outcome any more.
  const lost = Promise.withResolvers<Outcome<unknown>>();
  const first = lead(cluster, (_, count) => (count === 3 ? lost.promise : undefined));
  await until(() => first.proposed.length === 3);
  first.duty.stop();
  expect(totals(cluster.database).finished.skipped).toBe(3 * limits.releasesPerCommand);
  cluster.must("job.settle", {});
  const second = lead(cluster);
  lost.resolve(accept({ value: { more: true }, index: 1 }));
  await until(() => totals(cluster.database).jobsUnfinished === 0);
  expect(totals(cluster.database).finished.skipped).toBe(10 * limits.releasesPerCommand);
  expect(first.proposed).toHaveLength(3);
  expect(second.proposed).toHaveLength(6);
});

test("what the log does not take is proposed again, and not in the same turn", async () => {
  const cluster = Cluster.of(1);
  untold(cluster, 2 * limits.releasesPerCommand);
  let turns = 0;
  const counting = setInterval(() => (turns += 1), 0);
  const { proposed } = lead(cluster, (_, count) =>
    count <= 2 ? Promise.resolve(refuse("unavailable", "no leader", { retry: "safe" })) : undefined,
  );
  await until(() => totals(cluster.database).jobsUnfinished === 0);
  clearInterval(counting);
  expect(proposed).toEqual(["job.settle", "job.settle", "job.settle"]);
  expect(turns).toBeGreaterThan(0);
});

test("an instant that has come for the leader and not for the log is asked for again", async () => {
  const cluster = Cluster.of(1);
  cluster.now = Date.now() - 10_000; // this leader's clock is ahead of what the log has
  const job = cluster.submit({ start_at: formatInstant(cluster.now + 1) });
  let asked = 0;
  const { proposed } = lead(cluster, (name) => {
    asked += 1;
    if (asked > 2) return undefined;
    const value = cluster.must(name as "job.open", { jobs: [jobId(job)] });
    return Promise.resolve(accept({ value, index: cluster.log.length }));
  });
  await until(() => cluster.job(job).waits === undefined);
  expect(proposed).toEqual(["job.open", "job.open", "job.open"]);
});

test("the pause between two batches is heard of when it begins, and over for who leads by then, by the log's clock", async () => {
  const cluster = Cluster.of(1);
  cluster.now = Date.now();
  const job = cluster.submit({ count: 2, batch: { sizes: [1], pause: "60ms" } });
  const first = lead(cluster, () => Promise.resolve(refuse("unavailable", "no leader", { retry: "safe" })));
  cluster.assign(job, 1, [0, 1]);
  cluster.now = Date.now();
  cluster.finish(job, 0, 1, 1);
  const end = cluster.now + 60;
  first.duty.onApplied(cluster.events.slice(-1));
  await until(() => first.proposed.length > 0);
  first.duty.stop();
  expect(cluster.job(job).batch?.now).toBe(1);
  lead(cluster);
  await until(() => cluster.job(job).batch?.now === 2);
  expect(cluster.now).toBeGreaterThanOrEqual(end);
});
