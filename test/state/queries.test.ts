import { describe, expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import {
  appliedIndex,
  findJob,
  findTask,
  jobStates,
  listJobs,
  listTasks,
  type JobFilter,
  stateHash,
} from "../../src/state/queries.ts";
import { limits } from "../../src/lib/limits.ts";
import { deadAfter, listDead } from "../../src/state/dead.ts";
import { admin, Cluster } from "./support.ts";

function idsOf(cluster: Cluster, filter: Partial<JobFilter>): number[] {
  const ids: number[] = [];
  let next: string | undefined;
  do {
    const page = listJobs(cluster.database, { limit: 2, ...filter, next });
    expect(page.items.length).toBeLessThanOrEqual(filter.limit ?? 2);
    ids.push(...page.items.map((job) => job.id));
    next = page.next;
    if (next !== undefined) expect(next).toMatch(/^[0-9a-z]+$/);
  } while (next !== undefined);
  return ids;
}

describe("lists of jobs", () => {
  function five(): Cluster {
    const cluster = Cluster.of(1);
    for (let number = 1; number <= 5; number++) {
      cluster.now += 1000;
      cluster.submit({ name: number % 2 === 0 ? "even" : "odd", labels: { number: String(number) } });
    }
    return cluster;
  }

  test("are newest first and page without gap or double", () => {
    expect(idsOf(five(), {})).toEqual([5, 4, 3, 2, 1]);
    expect(idsOf(five(), { limit: 1 })).toEqual([5, 4, 3, 2, 1]);
    expect(idsOf(five(), { limit: 5 })).toEqual([5, 4, 3, 2, 1]);
  });

  test("are filtered by state, name, label and time", () => {
    const cluster = five();
    cluster.assign(2, 1, [0, 1]);
    cluster.assign(3, 1, [0, 1]);
    cluster.finish(3, 0, 1, 1);
    expect(idsOf(cluster, { state: "running" })).toEqual([2]);
    expect(idsOf(cluster, { state: "succeeded" })).toEqual([3]);
    expect(idsOf(cluster, { state: "queued" })).toEqual([5, 4, 1]);
    expect(idsOf(cluster, { name: "even" })).toEqual([4, 2]);
    expect(idsOf(cluster, { label: "number!=4" })).toEqual([5, 3, 2, 1]);
    expect(idsOf(cluster, { since: cluster.now - 1000 })).toEqual([5, 4]);
  });

  test("jobStates leaves out what is not there", () => {
    const cluster = five();
    expect([...jobStates(cluster.database, [1, 5, 99])]).toEqual([
      [1, "queued"],
      [5, "queued"],
    ]);
  });
});

describe("pages of what is large", () => {
  /** Jobs of a mebibyte each, one of them larger than a page. */
  function large(): Cluster {
    const cluster = Cluster.ofNewest(1);
    for (let job = 1; job <= 12; job++) cluster.submit({ run: "x", stdin: "x".repeat((job === 5 ? 5 : 1) * 2 ** 20) });
    return cluster;
  }

  test("of jobs end where their specs are more than one page holds, and go on there", () => {
    const cluster = large();
    const sizes: number[] = [];
    for (let next: string | undefined = "zzzzz"; next !== undefined;) {
      const page = listJobs(cluster.database, { limit: 1000, next });
      const bytes = page.items.map((job) => JSON.stringify(job.spec).length);
      if (bytes.length > 1) expect(bytes.reduce((sum, one) => sum + one)).toBeLessThanOrEqual(limits.pageBytes);
      sizes.push(page.items.length);
      ({ next } = page);
    }
    expect(sizes).toEqual([3, 3, 1, 1, 3, 1]);
    expect(idsOf(cluster, { limit: 1000 })).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    expect(idsOf(cluster, { limit: 2, name: "x" })).toHaveLength(12);
    expect(idsOf(cluster, { limit: 1000, name: "no such name" })).toEqual([]);
  });

  test("of dead letters show no specs, and are found among large ones", () => {
    const cluster = large();
    for (const job of [2, 5, 11]) {
      cluster.assign(job, 1, [0, 1]);
      cluster.finish(job, 0, 1, 1, "failed");
    }
    expect(listDead(cluster.database, { limit: 10 }).items.map(({ id }) => id)).toEqual([11, 5, 2]);
    expect(deadAfter(cluster.database, { limit: 10, after: 0, last: undefined }).jobs.map(({ id }) => id)).toEqual([
      2, 5, 11,
    ]);
  });

  test("of tasks end where their tails are more than one page holds", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ count: 200, output: { tail: "64KiB" } });
    for (let task = 0; task < 200; task++) {
      cluster.assign(job, 1, [task, 1]);
      cluster.finish(job, task, 1, 1, "succeeded", { tail: new Uint8Array(64 * 1024).fill(0x78) });
    }
    const sizes: number[] = [];
    for (let next: string | undefined = "0"; next !== undefined;) {
      const page: ReturnType<typeof listTasks> = listTasks(cluster.database, job, { limit: 1000, next });
      sizes.push(page!.items.length);
      next = page!.next;
    }
    expect(sizes).toEqual([64, 64, 64, 8]);
  });
});

describe("lists of tasks", () => {
  test("show tasks with and without rows in order, over pages", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 7 });
    cluster.assign(job, 1, [0, 1], [1, 1], [2, 1]);
    cluster.finish(job, 1, 1, 1);
    const tasks: string[] = [];
    let next: string | undefined;
    do {
      const page = listTasks(cluster.database, job, { limit: 2, next })!;
      tasks.push(...page.items.map((task) => `${task.task} ${task.state}`));
      next = page.next;
    } while (next !== undefined);
    expect(tasks).toEqual(["0 running", "1 succeeded", "2 running", "3 queued", "4 queued", "5 queued", "6 queued"]);
    const queued = listTasks(cluster.database, job, { limit: 10, state: "queued" })!;
    expect(queued.items.map((task) => task.index)).toEqual([3, 4, 5, 6]);
    expect(listTasks(cluster.database, job, { limit: 10, state: "succeeded" })!.items.map((task) => task.task)).toEqual(
      [1],
    );
    expect(listTasks(cluster.database, 99, { limit: 10 })).toBeUndefined();
  });

  test("by target: the node's name of an each_node job", () => {
    const cluster = Cluster.of(3);
    const job = cluster.submit({ each_node: true });
    expect(listTasks(cluster.database, job, { limit: 10, target: "n2" })!.items).toMatchObject([
      { task: 1, target: "n2" },
    ]);
  });

  test("a task outside the job is not there", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit({ count: 2 });
    expect([-1, 2, 0.5].map((task) => findTask(cluster.database, job, task))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

test("a job is shown as the contract says", () => {
  const cluster = Cluster.of(1);
  cluster.now = Date.UTC(2026, 10, 23, 1, 2, 3, 4);
  const job = cluster.submit({ run: "make", timeout: "90s", labels: { team: "docs" } });
  expect(findJob(cluster.database, job)).toEqual({
    id: job,
    name: "make",
    state: "queued",
    counts: { queued: 1, running: 0, succeeded: 0, failed: 0, timeout: 0, lost: 0, cancelled: 0, skipped: 0 },
    submitted_at: "2026-11-23T01:02:03.004Z",
    started_at: null,
    finished_at: null,
    submitted_by: "anna",
    labels: { team: "docs" },
    spec: { run: "make", timeout: "1m30s", labels: { team: "docs" } },
  });
  expect(appliedIndex(cluster.database)).toBe(cluster.log.length);
  expect(stateHash(cluster.database)).toBe(cluster.database.hash);
  expect(cluster.must("job.cancel", { id: jobId(job) }, admin).state).toBe("cancelled");
});
