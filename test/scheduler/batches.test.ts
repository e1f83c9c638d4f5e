import { expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { type Random, seededRandom } from "../../src/lib/prng.ts";
import { explainJob } from "../../src/scheduler/explain.ts";
import { gateWork } from "../../src/scheduler/gates.ts";
import { waitingFacts } from "../../src/state/explaining.ts";
import { nextEnd } from "../../src/state/rolling.ts";
import { admin, announcement, Cluster } from "../state/support.ts";
import { Leader } from "./leader.ts";

test("a leader plans one batch after the other, together where it can, and says what waits for what", () => {
  const cluster = Cluster.ofNewest(2);
  const leader = new Leader(cluster);
  const job = cluster.submit({ count: 40, batch: [1, 6], unit: 4 });
  leader.observe();
  const { ranges } = leader.planAll();
  expect(ranges.map(({ first, count }) => [first, count])).toEqual([[0, 1]]);
  expect(leader.logRanges(ranges)).toBe(0);
  expect(leader.planAll()).toEqual({ units: [], ranges: [] });
  const why = explainJob(waitingFacts(cluster.database, job)!, leader.view.queued(jobId(job)), [], cluster.now);
  expect(why.waiting).toEqual([
    {
      tasks: 39,
      first: 1,
      reasons: [{ code: "batch", message: "they wait for the end of batch 1 of 8, which has task 0" }],
      nodes: [],
    },
  ]);
  expect(cluster.end(job, ranges[0]!.node, 0, [0, 1, 2])).toBe(0);
  leader.observe();
  const second = leader.planAll().ranges;
  expect(second.map(({ first, count }) => [first, count])).toEqual([
    [1, 4],
    [5, 2],
  ]);
});

test("who leads next goes on with the batch that runs, and after it: no task begins twice or too early", () => {
  const cluster = Cluster.ofNewest(1);
  const job = cluster.submit({ count: 6, batch: [2] });
  const first = new Leader(cluster);
  expect(first.logRanges(first.planAll().ranges)).toBe(0);
  cluster.end(job, 1, 0, [0, 1, 2]);
  // The first one is gone before it sees the end of the batch.
  const second = new Leader(cluster);
  expect(second.planAll()).toEqual({ units: [], ranges: [] });
  cluster.end(job, 1, 0, [1, 1, 2]);
  const third = new Leader(cluster);
  expect(third.planAll().ranges).toMatchObject([{ first: 2, count: 2 }]);
});

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random() * items.length)]!;
}

/** A random history of one job with batches: ends of all kinds, nodes that are lost and return, leaders that change and see late, people who hold and approve. */
function history(seed: number): void {
  const random = seededRandom(seed);
  const cluster = Cluster.ofNewest(3);
  const chance = (probability: number): boolean => random() < probability;
  const tasks = 2 + Math.floor(random() * 40);
  const sizes = Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
    chance(0.5) ? 1 + Math.floor(random() * 6) : `${5 + Math.floor(random() * 60)}%`,
  );
  const batch = {
    sizes,
    ...(chance(0.4) ? { pause: "5s" } : {}),
    ...(chance(0.3) ? { approve: true } : {}),
  };
  const job = cluster.submit({
    count: tasks,
    batch,
    ...(chance(0.5) ? { retries: { max: 2, backoff: "1s" } } : {}),
    ...(chance(0.3) ? { on_lost: "fail" } : {}),
    ...(chance(0.3) ? { unit: 3 } : {}),
    ...(chance(0.3) ? { parallel: 2 } : {}),
    max_failures: chance(0.2) ? 3 : "100%",
  });
  let leader = new Leader(cluster);
  /** By task: the attempt that runs, and where. */
  const running = new Map<number, { readonly attempt: number; readonly node: number }>();
  const ended = new Set<number>();
  let looked = cluster.events.length;
  const look = (): void => {
    for (; looked < cluster.events.length; looked++) {
      for (const change of cluster.events[looked]!.changes) {
        if (change.topic !== "task") continue;
        if (change.kind === "assigned" || change.kind === "unit-assigned") {
          const [first, count] = change.kind === "assigned" ? [change.task, 1] : [change.first, change.count];
          for (let task = first; task < first + count; task++) {
            let begin = 0;
            while (nextEnd({ sizes }, tasks, begin) <= task) begin = nextEnd({ sizes }, tasks, begin);
            for (let before = 0; before < begin; before++)
              if (!ended.has(before)) throw new Error(`seed ${seed}: task ${task} begins, and ${before} has not ended`);
            running.set(task, { attempt: change.kind === "assigned" ? change.attempt : 1, node: change.node });
          }
        } else if (change.kind === "ended") {
          running.delete(change.task);
          if (change.state !== "queued") ended.add(change.task);
        }
      }
    }
  };
  const isOver = (): boolean => !["queued", "running"].includes(cluster.job(job).state);
  for (let step = 0; step < 1500 && !isOver(); step++) {
    const draw = random();
    if (draw < 0.03) leader = new Leader(cluster);
    else if (draw < 0.1) leader.observe(Math.floor(random() * 3));
    else if (draw < 0.45) {
      const { units, ranges } = leader.planAll();
      // Some plans never reach the log, and who made them is told so.
      if (chance(0.05)) {
        leader.view.settled(units, cluster.database);
        leader.view.rangesSettled(ranges, cluster.database);
      } else {
        if (units.length > 0) leader.log(units);
        leader.logRanges(ranges);
      }
    } else if (draw < 0.8 && running.size > 0) {
      const [task, { attempt, node }] = pick(random, [...running]);
      cluster.finish(
        job,
        task,
        attempt,
        node,
        pick(random, ["succeeded", "succeeded", "succeeded", "failed", "timeout"]),
      );
    } else if (draw < 0.83) {
      const node = 2 + Math.floor(random() * 2);
      cluster.propose("node.lost", { node: nodeId(node), incarnation: `i${node}` });
      cluster.must("node.seen", { node: nodeId(node), ...announcement(node), level: 3 });
    } else if (draw < 0.86) cluster.must("job.hold", { id: jobId(job) }, admin);
    else if (draw < 0.92) {
      cluster.must("job.release", { id: jobId(job) }, admin);
      const approval = cluster.job(job).waits?.approval;
      if (approval !== undefined) cluster.must("job.release", { id: jobId(job), batch: approval }, admin);
    } else {
      cluster.now += Math.floor(random() * 4000);
      const { open } = gateWork(cluster.database, cluster.now);
      if (open.length > 0) cluster.must("job.open", { jobs: open });
    }
    look();
  }
  // What is left ends when nothing hinders it any more.
  for (let round = 0; round < 1000 && !isOver(); round++) {
    cluster.must("job.release", { id: jobId(job) }, admin);
    const approval = cluster.job(job).waits?.approval;
    if (approval !== undefined) cluster.must("job.release", { id: jobId(job), batch: approval }, admin);
    cluster.now += 5000;
    const { open } = gateWork(cluster.database, cluster.now);
    if (open.length > 0) cluster.must("job.open", { jobs: open });
    leader.observe();
    const { units, ranges } = leader.planAll();
    if (units.length > 0) leader.log(units);
    leader.logRanges(ranges);
    look();
    for (const [task, { attempt, node }] of running) cluster.finish(job, task, attempt, node);
    look();
  }
  const { state, counts } = cluster.job(job);
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (!isOver() || counts.queued + counts.running > 0 || all !== tasks)
    throw new Error(`seed ${seed}: the job is ${state}: ${JSON.stringify([counts, cluster.job(job).batch])}`);
}

test("whatever happens, no task begins before all of the earlier batches have ended, and every task ends", () => {
  for (let seed = 1; seed <= 60; seed++) history(seed);
});
