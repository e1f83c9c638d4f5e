import { expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { problemsOf } from "../../src/state/commands/problems.ts";
import { assignmentsOf } from "../../src/state/queries.ts";
import { countExtensions } from "../../src/state/tables/extension.ts";
import { admin, Cluster } from "./support.ts";

function level3(): Cluster {
  const cluster = Cluster.of(2);
  cluster.level = 3;
  return cluster;
}

const extensions = (cluster: Cluster, node: number): (number | undefined)[] =>
  assignmentsOf(cluster.database, nodeId(node)).map((one) => one.extendedMs);

test("what runs has so much more time, each time more, and its node is told", () => {
  const cluster = level3();
  const one = cluster.submit({ timeout: "10s" });
  const many = cluster.submit({ timeout: "10s", count: 3 });
  cluster.assign(one, 1, [0, 1]);
  cluster.assign(many, 1, [0, 1]);
  cluster.assign(many, 2, [1, 1]);
  expect(cluster.must("job.extend", { id: jobId(one), by: 5000 }, admin)).toEqual({ id: jobId(one), tasks: 1 });
  expect(cluster.must("job.extend", { id: jobId(one), by: 1000, task: 0 }, admin)).toEqual({
    id: jobId(one),
    tasks: 1,
  });
  expect(cluster.changes()[0]).toEqual({
    topic: "task",
    kind: "extended",
    job: jobId(one),
    task: 0,
    attempt: 1,
    node: nodeId(1),
    ms: 6000,
  });
  expect(cluster.must("job.extend", { id: jobId(many), by: 7000 }, admin).tasks).toBe(2);
  expect(cluster.must("job.extend", { id: jobId(many), by: 1, task: 1 }, admin).tasks).toBe(1);
  expect([extensions(cluster, 1), extensions(cluster, 2)]).toEqual([[6000, 7000], [7001]]);
});

test("of many that their nodes were given together those have more time that may have begun, however many wait there", () => {
  const cluster = Cluster.ofNewest(2);
  const job = cluster.submit({ timeout: "10s", count: 6_000 });
  expect(cluster.give(job, 1, 0, 3_000, 3)).toBe(true);
  expect(cluster.give(job, 2, 3_000, 3_000, 2)).toBe(true);
  cluster.end(job, 1, 0, [1, 5, 9]);
  cluster.must("task.start", { node: nodeId(1), tasks: [{ job: jobId(job), task: 9, attempt: 1, startedAt: 5 }] });
  cluster.finish(job, 3_000, 1, 2, "failed");
  expect(cluster.must("job.extend", { id: jobId(job), by: 5000 }, admin).tasks).toBe(6);
  const told = cluster
    .changes()
    .flatMap((change) => ("ms" in change && change.kind === "extended" ? [change.task] : []));
  expect(told).toEqual([0, 2, 3, 9, 3_001, 3_002]);
  // One that waits there may still be named.
  expect(cluster.must("job.extend", { id: jobId(job), by: 5000, task: 2_000 }, admin).tasks).toBe(1);
});

test("the next attempt has its own time again, and what ended leaves nothing behind", () => {
  const cluster = level3();
  const job = cluster.submit({ timeout: "10s", retries: { max: 1, backoff: "0s" } });
  cluster.assign(job, 1, [0, 1]);
  cluster.must("job.extend", { id: jobId(job), by: 5000 }, admin);
  cluster.finish(job, 0, 1, 1, "failed");
  cluster.assign(job, 1, [0, 2]);
  expect(extensions(cluster, 1)).toEqual([undefined]);
  cluster.must("job.extend", { id: jobId(job), by: 1000 }, admin);
  expect(extensions(cluster, 1)).toEqual([1000]);
  cluster.finish(job, 0, 2, 1);
  const next = cluster.submit({ timeout: "10s" });
  cluster.assign(next, 1, [0, 1]);
  cluster.must("job.extend", { id: jobId(next), by: 1000 }, admin);
  expect(countExtensions(cluster.database)).toBe(1);
});

test("what has no timeout, does not run or is not there is refused", () => {
  const cluster = level3();
  const [endless, waiting] = [cluster.submit(), cluster.submit({ timeout: "10s", count: 2 })];
  cluster.assign(endless, 1, [0, 1]);
  const refused = (id: number, task?: number): unknown =>
    cluster.refused("job.extend", { id: jobId(id), by: 1000, ...(task === undefined ? {} : { task }) }, admin);
  expect(refused(99)).toEqual(["not-found", "there is no job 99"]);
  expect(refused(endless)).toEqual([
    "conflict",
    `job ${endless} has no timeout: its tasks may run for as long as they like`,
  ]);
  expect(refused(waiting)).toEqual([
    "conflict",
    `no task of job ${waiting} runs: only what runs has a timeout that can be extended`,
  ]);
  cluster.assign(waiting, 1, [0, 1]);
  expect(refused(waiting, 1)).toEqual([
    "conflict",
    `task ${waiting}/1 does not run: only what runs has a timeout that can be extended`,
  ]);
  expect(refused(waiting, 2)).toEqual(["not-found", `job ${waiting} has no task 2`]);
  cluster.finish(endless, 0, 1, 1);
  expect(refused(endless)).toEqual(["conflict", `job ${endless} has ended already: succeeded`]);
});

test.each([
  ["ssh", {}],
  ["ansible", { run: undefined, ansible: { module: "ping" } }],
])("what runs on other hosts by %s is refused: the limit is kept there, and would stay as it is", (driver, more) => {
  const cluster = level3();
  const spec = { driver, targets: ["web1"], ...more };
  // The second one has the limit that every task on a host has.
  for (const job of [cluster.submit({ ...spec, timeout: "10s" }), cluster.submit(spec)]) {
    cluster.assign(job, 1, [0, 1]);
    const [code, message] = cluster.refused("job.extend", { id: jobId(job), by: 1000 }, admin);
    expect([code, message]).toEqual(["conflict", expect.stringContaining(`by ${driver}`) as string]);
  }
  expect(countExtensions(cluster.database)).toBe(0);
});

test("every problem of a request is told, each with its path", () => {
  const { input } = commandByName("job.extend");
  const problems = (value: unknown): string[] => problemsOf(input.safeParse(value).error!).map(({ path }) => path);
  expect(problems({ id: "x", by: "soon", task: -1 })).toEqual(["id", "by", "task"]);
  for (const by of ["0s", "-5s", "367d", 5]) expect(problems({ id: 1, by })).toEqual(["by"]);
  expect(input.parse({ id: "5", by: "1h30m" })).toEqual({ id: jobId(5), by: 5_400_000 });
});
