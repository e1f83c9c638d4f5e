import { describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { formatRanges, numberAt, parseRanges, RangeGatherer, through } from "../../src/lib/ranges.ts";
import { type EndedHow, gatherEnded } from "../../src/state/choosing.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { nextRemains } from "../../src/state/forgetting.ts";
import { findJob, listTasks } from "../../src/state/queries.ts";
import { sql } from "../../src/state/tx.ts";
import type { Report, TaskView } from "../../src/state/types.ts";
import { admin, Cluster, report } from "./support.ts";

function clusterOf(nodes = 1): Cluster {
  const cluster = Cluster.of(nodes);
  cluster.level = 3;
  return cluster;
}

/** Every task once, on node 1. */
function run(cluster: Cluster, job: number, ends: readonly Report["state"][]): void {
  for (let from = 0; from < ends.length; from += 500) {
    const some = ends.slice(from, from + 500);
    cluster.assign(job, 1, ...some.map((_, at) => [from + at, 1] as const));
    cluster.must("task.finish", {
      node: nodeId(1),
      reports: some.map((state, at) => report(job, from + at, 1, state)),
    });
  }
}

/** What http does: the tasks are looked up, then the command is logged. */
function tasksOf(cluster: Cluster, job: number, how: EndedHow): string {
  const gatherer = new RangeGatherer();
  for (let from: number | undefined | "not yet" = 0; from !== undefined;)
    if ((from = gatherEnded(cluster.database, job, how, from, gatherer)) === "not yet") return "not yet";
  return formatRanges(gatherer.ranges);
}

const none = { key: null, digest: "" };

function retry(cluster: Cluster, job: number, how: "all" | EndedHow | { readonly tasks: string } = "all"): number {
  const input =
    typeof how === "object"
      ? { only: "tasks" as const, tasks: how.tasks }
      : { only: how, tasks: how === "all" ? null : tasksOf(cluster, job, how) };
  return cluster.must("job.retry", { id: jobId(job), ...none, ...input }, admin).first;
}

const views = (cluster: Cluster, job: number): readonly TaskView[] =>
  listTasks(cluster.database, job, { limit: 1000 })!.items;
const indices = (cluster: Cluster, job: number): (number | undefined)[] =>
  views(cluster, job).map((task) => task.index);

describe("a finished job is run again unchanged, without an edit", () => {
  test("whole: the same spec, name and tasks, under a new id that says where it comes from", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ array: "5-9:2", labels: { team: "docs" }, name: "n" });
    run(cluster, job, ["succeeded", "failed", "succeeded"]);
    const again = retry(cluster, job);
    const [before, after] = [cluster.job(job), cluster.job(again)];
    expect([after.retry_of, before.retry_of]).toEqual([job, undefined]);
    expect([after.spec, after.name, after.labels]).toEqual([before.spec, before.name, before.labels]);
    expect([after.state, after.counts.queued, after.submitted_by]).toEqual(["queued", 3, "anna"]);
    expect(indices(cluster, again)).toEqual([5, 7, 9]);
    run(cluster, again, ["succeeded", "succeeded", "succeeded"]);
    expect(cluster.job(again).state).toBe("succeeded");
    expect(cluster.job(job).state).toBe("failed");
  });

  test("a job of one task, with a row of its own and without", () => {
    const cluster = clusterOf();
    const [once, twice] = [cluster.submit(), cluster.submit({ retries: { max: 1 } })];
    run(cluster, once, ["failed"]);
    run(cluster, twice, ["failed"]);
    cluster.assign(twice, 1, [0, 2]);
    cluster.finish(twice, 0, 2, 1, "failed");
    for (const job of [once, twice]) {
      expect(tasksOf(cluster, job, "failed")).toBe("0");
      const again = retry(cluster, job, "failed");
      expect(cluster.job(again)).toMatchObject({ retry_of: job, counts: { queued: 1 } });
      run(cluster, again, ["succeeded"]);
      expect(cluster.job(again).state).toBe("succeeded");
      expect(tasksOf(cluster, again, "failed")).toBe("");
    }
  });

  test("only what failed: failed, timeout and lost; each task keeps its index and its point", () => {
    const cluster = clusterOf();
    const array = cluster.submit({ array: "10-60:10", on_lost: "fail" });
    run(cluster, array, ["succeeded", "failed", "timeout", "succeeded", "lost", "succeeded"]);
    expect(tasksOf(cluster, array, "failed")).toBe("1-2,4");
    const again = retry(cluster, array, "failed");
    expect(indices(cluster, again)).toEqual([20, 30, 50]);
    expect(views(cluster, again).map((task) => task.task)).toEqual([0, 1, 2]);
    const matrix = cluster.submit({ matrix: { mode: ["a", "b"], size: [1, 2] } });
    run(cluster, matrix, ["succeeded", "failed", "succeeded", "failed"]);
    const points = retry(cluster, matrix, "failed");
    expect(views(cluster, points).map((task) => [task.index, task.matrix])).toEqual([
      [1, { mode: "a", size: 2 }],
      [3, { mode: "b", size: 2 }],
    ]);
  });

  test("only hosts that could not be reached: failed with that reason, and nothing else that failed", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ targets: "web[1-5]" });
    cluster.assign(job, 1, ...[0, 1, 2, 3, 4].map((task) => [task, 1] as const));
    const away = { exitCode: null, reason: "unreachable: Connection refused" };
    const reports = [
      report(job, 0, 1, "failed", { reason: '"unreachable: no" failed with code 1' }),
      report(job, 1, 1, "failed", away),
      report(job, 2, 1, "timeout", { reason: "ran longer than its timeout" }),
      report(job, 3, 1, "succeeded", { reason: "what earlier attempts left there: killed, 1 processes" }),
      report(job, 4, 1, "failed", away),
    ];
    cluster.must("task.finish", { node: nodeId(1), reports });
    expect([tasksOf(cluster, job, "unreachable"), tasksOf(cluster, job, "failed")]).toEqual(["1,4", "0-2,4"]);
    const states = listTasks(cluster.database, job, { state: "unreachable", limit: 10 })!.items;
    expect(states.map(({ task, state }) => [task, state])).toEqual([
      [1, "failed"],
      [4, "failed"],
    ]);
    const again = retry(cluster, job, "unreachable");
    expect(views(cluster, again).map(({ target }) => target)).toEqual(["web2", "web5"]);
    // A job of one task keeps it in its own row.
    const only = cluster.submit({ targets: "web1" });
    cluster.assign(only, 1, [0, 1]);
    cluster.must("task.finish", { node: nodeId(1), reports: [report(only, 0, 1, "failed", away)] });
    expect([tasksOf(cluster, only, "unreachable"), tasksOf(cluster, only, "failed")]).toEqual(["0", "0"]);
  });

  test("a retry of a retry goes on with what is left, over several generations", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ array: "0-90:10" });
    run(
      cluster,
      job,
      Array.from({ length: 10 }, (_, at) => (at % 3 === 0 ? "succeeded" : "failed")),
    );
    const second = retry(cluster, job, "failed");
    expect(indices(cluster, second)).toEqual([10, 20, 40, 50, 70, 80]);
    run(cluster, second, ["failed", "succeeded", "failed", "failed", "succeeded", "failed"]);
    const third = retry(cluster, second, "failed");
    expect([cluster.job(third).retry_of, indices(cluster, third)]).toEqual([second, [10, 40, 50, 80]]);
    run(cluster, third, ["succeeded", "succeeded", "failed", "failed"]);
    const whole = retry(cluster, third);
    expect(indices(cluster, whole)).toEqual([10, 40, 50, 80]);
    run(cluster, whole, ["failed", "succeeded", "succeeded", "failed"]);
    expect(indices(cluster, retry(cluster, whole, { tasks: "0-3:3" }))).toEqual([10, 80]);
    expect(indices(cluster, retry(cluster, whole, { tasks: "0-3" }))).toEqual([10, 40, 50, 80]);
  });

  test("unfinished: cancelled and skipped tasks too, those that never had a row among them", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ array: "100-1000099" });
    run(cluster, job, ["succeeded", "failed"]);
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    expect(tasksOf(cluster, job, "failed")).toBe("1");
    expect(tasksOf(cluster, job, "unfinished")).toBe("1-999999");
    const again = retry(cluster, job, "unfinished");
    expect(cluster.job(again).counts.queued).toBe(999_999);
    expect([cluster.task(again, 0).index, cluster.task(again, 999_998).index]).toEqual([101, 1_000_099]);
    const stopped = cluster.submit({ count: 4, max_failures: 0 });
    run(cluster, stopped, ["failed"]);
    expect([tasksOf(cluster, stopped, "failed"), tasksOf(cluster, stopped, "unfinished")]).toEqual(["0", "0-3"]);
  });

  test("of a job of one task per node: each for the node that it was for; the task of a node that is gone is lost", () => {
    const cluster = clusterOf(4);
    const job = cluster.submit({ each_node: true });
    for (const node of [1, 2, 3, 4]) {
      cluster.assign(job, node, [node - 1, 1]);
      cluster.finish(job, node - 1, 1, node, node === 1 ? "succeeded" : "failed");
    }
    cluster.must("node.remove", { node: "n3" }, admin);
    const again = retry(cluster, job, "failed");
    expect(views(cluster, again).map((task) => [task.target, task.state])).toEqual([
      ["n2", "queued"],
      ["n3", "lost"],
      ["n4", "queued"],
    ]);
    expect(cluster.assign(again, 4, [0, 1])).toBe(1); // not its node
    cluster.assign(again, 2, [0, 1]);
    cluster.finish(again, 0, 1, 2);
    cluster.must("node.remove", { node: "n4" }, admin);
    expect(cluster.job(again)).toMatchObject({ state: "failed", counts: { succeeded: 1, lost: 2, queued: 0 } });
    const last = retry(cluster, again, "failed");
    expect(cluster.job(last)).toMatchObject({ state: "failed", counts: { lost: 2 } });
    expect(cluster.task(last, 0).reason).toBe("node n3 is no member any more");
  });

  test("the totals count a retry as any other job", () => {
    const cluster = clusterOf(2);
    const job = cluster.submit({ each_node: true });
    for (const node of [1, 2]) {
      cluster.assign(job, node, [node - 1, 1]);
      cluster.finish(job, node - 1, 1, node, "failed");
    }
    cluster.must("node.remove", { node: "n2" }, admin);
    retry(cluster, job);
    const counter = cluster.database.get<Record<string, number>>(sql("select * from counter"))!;
    expect(counter).toMatchObject({
      submitted: 2,
      jobs_finished: 1,
      jobs_unfinished: 1,
      tasks_queued: 1,
      tasks_running: 0,
    });
  });

  test("a million tasks are retried with no row for any of them, half of them with a few rows of ranges", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ count: 1_000_000 });
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    const whole = retry(cluster, job, "unfinished");
    const tasks = Array.from({ length: 10_000 }, (_, at) => `${at * 100}-${at * 100 + 48}`).join(",");
    const some = retry(cluster, job, { tasks });
    const rows = (table: string): number =>
      cluster.database.get<{ n: number }>(sql(`select count(*) as n from ${table}`))!.n;
    expect([rows("task"), rows("pick")]).toEqual([0, Math.ceil(10_000 / 256)]);
    expect(cluster.job(some).counts.queued).toBe(490_000);
    for (const task of [0, 48, 49, 12_543, 12_544, 12_592, 489_999])
      expect(cluster.task(some, task).index).toBe(Math.floor(task / 49) * 100 + (task % 49));
    expect(cluster.task(whole, 999_999).index).toBe(999_999);
  });

  test("what it waited for it does not wait for again; its key and its deadline are as they were", () => {
    const cluster = clusterOf();
    const parent = cluster.submit();
    const gates = { after: [{ job: parent, when: "failed" }], start_at: "2999-01-01T00:00:00Z" };
    const waits = cluster.submit(gates);
    run(cluster, parent, ["succeeded"]);
    expect(cluster.job(waits).state).toBe("skipped");
    cluster.must("job.remove", { id: jobId(parent) }, admin);
    const again = retry(cluster, waits, "unfinished");
    expect(cluster.job(again)).toMatchObject({ state: "queued", spec: { run: "true" } });
    run(cluster, again, ["succeeded"]);
    const keyed = cluster.submit({ key: "k", on_conflict: "refuse", deadline: "1h" });
    run(cluster, keyed, ["failed"]);
    const other = cluster.submit({ key: "k" });
    expect(cluster.refused("job.retry", { id: jobId(keyed), only: "all", tasks: null, ...none }, admin)).toEqual([
      "conflict",
      `key: job ${other} has the key "k" and has not ended`,
    ]);
    run(cluster, other, ["failed"]);
    const [first, second] = [retry(cluster, other), retry(cluster, other)];
    expect(cluster.job(second)).toMatchObject({ waits: { key: "k" } });
    run(cluster, first, ["succeeded"]);
    expect(cluster.job(second).waits).toBeUndefined();
    const timed = cluster.submit({ deadline: "1h" });
    run(cluster, timed, ["failed"]);
    const last = retry(cluster, timed);
    cluster.now += 3_600_000;
    cluster.must("job.overdue", { jobs: [jobId(last)] });
    expect(cluster.job(last)).toMatchObject({ state: "failed", counts: { timeout: 1 } });
    expect(tasksOf(cluster, last, "failed")).toBe("0");
  });

  test("secrets that the job uses must still be there", () => {
    const cluster = clusterOf();
    const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const key = "a".repeat(32);
    cluster.must("authority.begin", { fingerprint: key, certificate: pem, crossed: null, reason: "first" });
    cluster.must("secret.set", { name: "s", key, sealed: new Uint8Array(40) }, admin);
    const job = cluster.submit({ env: { A: { secret: "s" } } });
    run(cluster, job, ["failed"]);
    const uses = (): number => cluster.database.get<{ n: number }>(sql("select count(*) as n from secret_use"))!.n;
    expect(uses()).toBe(0);
    const again = retry(cluster, job);
    expect(uses()).toBe(1);
    run(cluster, again, ["failed"]);
    cluster.must("secret.rm", { secret: "s" }, admin);
    expect(cluster.refused("job.retry", { id: jobId(job), only: "all", tasks: null, ...none }, admin)).toEqual([
      "conflict",
      `job ${job} uses the secret s, which is not there any more: set it first`,
    ]);
  });
});

describe("what cannot be retried", () => {
  const all = { only: "all", tasks: null, ...none } as const;

  test("a job that is not there, or has not ended", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ count: 2 });
    expect(cluster.refused("job.retry", { id: jobId(99), ...all }, admin)[0]).toBe("not-found");
    expect(cluster.refused("job.retry", { id: jobId(job), ...all }, admin)).toEqual([
      "conflict",
      `job ${job} is queued: it can be retried once it has ended (wait for it, or cancel it)`,
    ]);
    expect(tasksOf(cluster, job, "failed")).toBe("not yet");
    // It ended after its tasks were looked at, which therefore are not known: everything would be too much.
    run(cluster, job, ["failed", "succeeded"]);
    expect(cluster.refused("job.retry", { id: jobId(job), ...all, only: "failed" }, admin)[0]).toBe("conflict");
  });

  test("no tasks, and tasks that there are not", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ count: 2 });
    run(cluster, job, ["succeeded", "succeeded"]);
    expect(tasksOf(cluster, job, "failed")).toBe("");
    expect(cluster.refused("job.retry", { id: jobId(job), ...all, only: "failed", tasks: "" }, admin)).toEqual([
      "conflict",
      `job ${job} has no failed tasks: there is nothing to retry`,
    ]);
    expect(cluster.refused("job.retry", { id: jobId(job), ...all, only: "tasks", tasks: "1-2" }, admin)).toEqual([
      "invalid",
      `job ${job} has no task 2: its tasks are 0 to 1`,
    ]);
  });

  test("under a key the same request gives the first job again, also after the retried one is forgotten; another request is refused", () => {
    const cluster = clusterOf();
    const job = cluster.submit();
    run(cluster, job, ["failed"]);
    const input = { id: jobId(job), ...all, key: "k", digest: "d" };
    const first = cluster.must("job.retry", input, admin);
    expect([first.repeated, cluster.must("job.retry", input, admin)]).toEqual([false, { ...first, repeated: true }]);
    cluster.must("job.remove", { id: jobId(job) }, admin);
    expect(cluster.must("job.retry", input, admin)).toEqual({ ...first, repeated: true });
    expect(cluster.refused("job.retry", { ...input, digest: "other" }, admin)[0]).toBe("conflict");
    // Keys of submits and of retries are the same keys.
    expect(cluster.refused("job.submit", { jobs: [{ run: "x" }], key: "k", digest: "e" }, admin)[0]).toBe("conflict");
    const parsed = commandByName("job.retry").payload.safeParse({ ...input, tasks: "3-1" });
    expect(parsed.success).toBe(false);
  });
});

test("positions in ranges are the numbers that are there, whatever the steps (seed 5)", () => {
  const random = seededRandom(5);
  const draw = (most: number): string => {
    const parts: string[] = [];
    for (let at = Math.floor(random() * 4); at < most;) {
      const step = 1 + Math.floor(random() * 4);
      const last = Math.min(most - 1, at + Math.floor(random() * 12));
      parts.push(random() < 0.3 || last === at ? String(at) : `${at}-${last}:${step}`);
      at = (parts.at(-1)!.includes("-") ? last : at) + 1 + Math.floor(random() * 4);
    }
    return parts.join(",");
  };
  for (let round = 0; round < 400; round++) {
    const whole = parseRanges(draw(80) || "0");
    if (typeof whole === "string") throw new Error(whole);
    const positions = parseRanges(draw(whole.count) || "0");
    if (typeof positions === "string") throw new Error(positions);
    const composed = parseRanges(formatRanges([...through(positions.ranges, whole)]));
    if (typeof composed === "string") throw new Error(composed);
    const expected = Array.from({ length: positions.count }, (_, at) => numberAt(whole, numberAt(positions, at)!)!);
    expect(Array.from({ length: composed.count }, (_, at) => numberAt(composed, at)!)).toEqual(expected);
  }
});

describe("a finished job is removed at once", () => {
  test("with all that it had; one that has not ended is refused", () => {
    const cluster = clusterOf();
    const job = cluster.submit({ count: 3, retries: { max: 1, backoff: "0s" } });
    expect(cluster.refused("job.remove", { id: jobId(job) }, admin)).toEqual([
      "conflict",
      `job ${job} is queued, and only finished jobs can be removed: cancel it first`,
    ]);
    run(cluster, job, ["failed", "succeeded", "succeeded"]);
    cluster.assign(job, 1, [0, 2]);
    cluster.finish(job, 0, 2, 1, "failed");
    const again = retry(cluster, job, "failed");
    run(cluster, again, ["succeeded"]);
    for (const id of [job, again]) {
      cluster.must("job.remove", { id: jobId(id) }, admin);
      expect(cluster.changes()).toContainEqual({ topic: "job", kind: "removed", job: jobId(id) });
      expect(findJob(cluster.database, id)).toBeUndefined();
    }
    for (const table of ["job", "task", "attempt", "pick", "remains"])
      expect([table, cluster.database.all(sql(`select * from ${table}`))]).toEqual([table, []]);
    expect(cluster.database.get<{ n: number }>(sql("select jobs_finished as n from counter"))!.n).toBe(0);
    expect(cluster.refused("job.remove", { id: jobId(job) }, admin)[0]).toBe("not-found");
  });

  test("a large one is gone at once for whoever asks, and its rows go in steps; so do those of jobs that expire", () => {
    const cluster = clusterOf();
    const tasks = limits.forgetAtOnceRows + 500;
    const [removed, expired] = [cluster.submit({ count: tasks }), cluster.submit({ count: tasks, ttl: "1s" })];
    for (const job of [removed, expired])
      run(
        cluster,
        job,
        Array.from({ length: tasks }, () => "succeeded"),
      );
    const rows = (): number => cluster.database.get<{ n: number }>(sql("select count(*) as n from task"))!.n;
    cluster.must("job.remove", { id: jobId(removed) }, admin);
    cluster.now += 2000;
    expect(cluster.must("job.expire", { jobs: [jobId(expired)] })).toEqual({ removed: 1 });
    expect([findJob(cluster.database, removed), listTasks(cluster.database, expired, { limit: 1 })]).toEqual([
      undefined,
      undefined,
    ]);
    expect([rows(), nextRemains(cluster.database)]).toEqual([2 * tasks, removed]);
    const steps: number[] = [];
    while (nextRemains(cluster.database) !== undefined) {
      steps.push(cluster.must("job.sweep", { rows: 1000 }).removed);
      expect(steps.at(-1)).toBeLessThanOrEqual(1000);
    }
    expect([steps.reduce((sum, one) => sum + one, 0), rows()]).toEqual([2 * tasks, 0]);
  });

  test("entries of an earlier level remove rows with their job, as they always did (S2)", () => {
    const cluster = clusterOf();
    const tasks = limits.forgetAtOnceRows + 1;
    const job = cluster.submit({ count: tasks, ttl: "1s" });
    run(
      cluster,
      job,
      Array.from({ length: tasks }, () => "succeeded"),
    );
    cluster.level = 2;
    cluster.now += 2000;
    cluster.must("job.expire", { jobs: [jobId(job)] });
    expect(cluster.database.get<{ n: number }>(sql("select count(*) as n from task"))!.n).toBe(0);
  });
});
