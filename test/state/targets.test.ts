import { describe, expect, test } from "bun:test";
import { shellStart } from "../../src/executor/drivers/shell.ts";
import { digestOfText } from "../../src/lib/digest.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { checkBatch } from "../../src/state/commands/check.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { isNormalised, specSchema } from "../../src/state/commands/spec-schema.ts";
import { hasRemains } from "../../src/state/forgetting.ts";
import { assignmentsOf, findUnit, listTasks } from "../../src/state/queries.ts";
import { renderSpec } from "../../src/state/spec.ts";
import { jobsOfTargets, placeInList, placesOfTarget, targetAt, targetCount } from "../../src/state/tables/target.ts";
import { sql } from "../../src/state/tx.ts";
import type { Spec } from "../../src/state/types.ts";
import { admin, announcement, Cluster, record, throughTheLog } from "./support.ts";

const rowsOf = (cluster: Cluster): number[] =>
  ["target_list", "target_names", "target_index", "job_target"].map(
    (table) => cluster.database.get<{ rows: number }>(sql(`select count(*) as rows from ${table}`))!.rows,
  );

/** The names of the tasks of a job, in their order. */
const targetsOf = (cluster: Cluster, job: number): (string | undefined)[] =>
  listTasks(cluster.database, job, { limit: 1000 })!.items.map(({ target }) => target);

const listOf = (...names: string[]): string => digestOfText(names.join("\n"));

describe("a job of targets", () => {
  test("has a task for each name, in their order, each once, which its executor is told and no index", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ targets: ["web[1-3]", "db,web2", "a"] });
    const names = ["web1", "web2", "web3", "db", "a"];
    expect(targetsOf(cluster, job)).toEqual(names);
    expect(cluster.job(job).spec["targets"]).toEqual(["web[1-3]", "db,web2", "a"]);
    cluster.assign(job, 1, [1, 1]);
    const [assignment] = assignmentsOf(cluster.database, nodeId(1));
    const { env } = shellStart(assignment!, nodeId(1), {});
    expect([env["SKEIN_TARGET"], env["SKEIN_INDEX"]]).toEqual(["web2", undefined]);
    expect(cluster.task(job, 1)).toMatchObject({ target: "web2", state: "running" });
    expect("index" in cluster.task(job, 1)).toBe(false);
    cluster.give(job, 1, 2, 3, 2);
    const unit = findUnit(cluster.database, job, 2)!;
    cluster.must("job.cancel", { id: jobId(job) }, admin);
    // After the state has gone on as well.
    expect([2, 3, 4].map((task) => unit.at(task).target)).toEqual(["web3", "db", "a"]);
  });

  test("one of one name has one task, with its target", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ targets: "web1" });
    cluster.assign(job, 1, [0, 1]);
    expect(assignmentsOf(cluster.database, nodeId(1))[0]?.target).toBe("web1");
    cluster.finish(job, 0, 1, 1);
    expect(cluster.task(job)).toMatchObject({ target: "web1", state: "succeeded" });
    expect(listTasks(cluster.database, job, { limit: 9, target: "web1" })?.items).toHaveLength(1);
  });

  test("finds the task of a name, whatever became of it", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ targets: "web[1-3000]" });
    cluster.assign(job, 1, [2499, 1]);
    const found = (target: string, state?: "running" | "queued") =>
      listTasks(cluster.database, job, { limit: 9, target, state })!.items.map(({ task, state }) => [task, state]);
    expect(found("web2500")).toEqual([[2499, "running"]]);
    expect(found("web1")).toEqual([[0, "queued"]]);
    expect(found("web1", "running")).toEqual([]);
    expect(found("web0")).toEqual([]);
  });

  test("a retry of some tasks, and of some of those, is about the same targets", () => {
    const cluster = Cluster.ofNewest(1);
    const job = cluster.submit({ targets: "web[0-3999]" });
    const bad = [0, 1000, 1001, 3998];
    cluster.give(job, 1, 0, 4000);
    for (const task of bad) cluster.finish(job, task, 1, 1, "failed");
    const others = Array.from({ length: 4000 }, (_, task) => task).filter((task) => !bad.includes(task));
    cluster.end(job, 1, 0, ...others.map((task): [number, number, number] => [task, 1, 2]));
    const retry = (id: number, tasks: string): number =>
      cluster.must("job.retry", { id: jobId(id), only: "tasks", tasks, key: null, digest: "" }, admin).first;
    const again = retry(job, "0,1000-1001,3998");
    expect(targetsOf(cluster, again)).toEqual(["web0", "web1000", "web1001", "web3998"]);
    cluster.give(again, 1, 0, 4);
    expect(findUnit(cluster.database, again, 0)!.at(3).target).toBe("web3998");
    for (const task of [0, 1, 2, 3]) cluster.finish(again, task, 1, 1, "failed");
    const last = retry(again, "1,3");
    expect(targetsOf(cluster, last)).toEqual(["web1000", "web3998"]);
    const found = (target: string) =>
      listTasks(cluster.database, last, { limit: 9, target })!.items.map(({ task }) => task);
    expect([found("web3998"), found("web1000"), found("web0"), found("web1001")]).toEqual([[1], [0], [], []]);
  });

  test("is refused where its names are neither with it nor in the state, or are not as many as it says", () => {
    const cluster = Cluster.ofNewest(1);
    const { jobs, lists } = cluster.withTargets([specSchema.parse({ run: "x", targets: "web[1-3]" })]);
    expect(cluster.refused("job.submit", { jobs }, admin)[0]).toBe("conflict");
    const more = [{ ...jobs[0]!, targets: { ...jobs[0]!.targets!, count: 4 } }];
    expect(cluster.refused("job.submit", { jobs: more, lists }, admin)).toEqual([
      "conflict",
      "has 4 targets and 3 names: submit it again",
    ]);
    expect(rowsOf(cluster)).toEqual([0, 0, 0, 0]);
    cluster.must("job.submit", { jobs, lists }, admin);
    // By now they are there.
    const second = cluster.must("job.submit", { jobs }, admin).first;
    expect(targetsOf(cluster, second)).toEqual(["web1", "web2", "web3"]);
    expect(cluster.refused("job.submit", { jobs: more }, admin)[0]).toBe("conflict");
  });

  test("a follower that sends names under a digest that is not theirs, or no names, is found out", () => {
    const cluster = Cluster.ofNewest(1);
    const { jobs, lists } = cluster.withTargets([specSchema.parse({ run: "x", targets: "web[1-3]" })]);
    const isTaken = (list: [string, string]): boolean => {
      const commands = [throughTheLog(record("job.submit", { jobs, lists: [list] }, admin))];
      return checkBatch({ origin: nodeId(1), serial: 1, floor: 0, commands }).ok;
    };
    const [list, names] = lists![0]!;
    expect(isTaken([list, names])).toBe(true);
    expect(isTaken([list, "web1\nweb2\nweb4"])).toBe(false);
    for (const text of ["", "web1\n", "\nweb1", "web1\n\nweb2", "x".repeat(limits.targetLength + 1)])
      expect(isTaken([digestOfText(text), text])).toBe(false);
  });
});

describe("lists of targets", () => {
  test("are kept once for all jobs that have the same, in whatever words, and go after the last of them", () => {
    const cluster = Cluster.ofNewest(1);
    const jobs = [cluster.submit({ targets: "web[1-2]" }), cluster.submit({ targets: ["web1", "web2"] })];
    cluster.submit({ targets: "web2,web1" });
    expect(rowsOf(cluster)).toEqual([2, 2, 4, 3]);
    const list = listOf("web1", "web2");
    expect(jobsOfTargets(cluster.database, list, 100, 9)).toEqual(jobs.toReversed());
    for (const id of jobs) {
      expect(hasRemains(cluster.database)).toBe(false);
      cluster.must("job.cancel", { id: jobId(id) }, admin);
      cluster.must("job.remove", { id: jobId(id) }, admin);
    }
    expect([hasRemains(cluster.database), targetCount(cluster.database, list)]).toEqual([true, 2]);
    // Whoever comes before it is swept finds it whole.
    const third = cluster.submit({ targets: "web[1-2]" });
    expect(hasRemains(cluster.database)).toBe(false);
    cluster.must("job.cancel", { id: jobId(third) }, admin);
    cluster.must("job.remove", { id: jobId(third) }, admin);
    cluster.must("job.sweep", { rows: 10 });
    expect([hasRemains(cluster.database), targetCount(cluster.database, list)]).toEqual([false, undefined]);
    expect(rowsOf(cluster)).toEqual([1, 1, 2, 1]);
  });

  test("large ones go one with each step", () => {
    const cluster = Cluster.ofNewest(1);
    for (const targets of ["a[1-3000]", "b[1-3000]"]) {
      const id = jobId(cluster.submit({ targets }));
      cluster.must("job.cancel", { id }, admin);
      cluster.must("job.remove", { id }, admin);
    }
    expect(cluster.must("job.sweep", { rows: 100 }).removed).toBe(150);
    expect(hasRemains(cluster.database)).toBe(true);
    cluster.must("job.sweep", { rows: 100 });
    expect([hasRemains(cluster.database), rowsOf(cluster)]).toEqual([false, [0, 0, 0, 0]]);
  });

  test.each([1, 2, 999, 1000, 1001, 5000])("of %i names are read by position and by name", (count) => {
    const cluster = Cluster.ofNewest(1);
    const names = Array.from({ length: count }, (_, at) => `host-${(at * 7919) % count}.example`);
    cluster.submit({ targets: names });
    cluster.submit({ targets: "host-0.example" });
    const list = listOf(...names);
    for (const at of [0, 1, 998, 999, 1000, 1001, 4998, 4999].filter((at) => at < count)) {
      expect(targetAt(cluster.database, list, at)).toBe(names[at]!);
      expect(placeInList(cluster.database, list, names[at]!)).toBe(at);
      expect(placesOfTarget(cluster.database, names[at]!)).toContainEqual({ list, position: at });
    }
    expect(placesOfTarget(cluster.database, "host-0.example")).toHaveLength(count === 1 ? 1 : 2);
    expect(placesOfTarget(cluster.database, "host-0")).toEqual([]);
    expect(() => targetAt(cluster.database, list, count)).toThrow("no target");
  });
});

describe("targets in a spec", () => {
  test("go with nothing else that makes tasks", () => {
    for (const other of [{ count: 3 }, { array: "0-3" }, { matrix: { a: [1] } }, { each_node: true }])
      expect(specSchema.safeParse({ run: "x", targets: "a", ...other }).success).toBe(false);
    expect(specSchema.safeParse({ run: "x", targets: "a", each_node: false, unit: 3 }).success).toBe(true);
    for (const targets of [[], "", [""], 7, ["a", 7]])
      expect(specSchema.safeParse({ run: "x", targets }).success).toBe(false);
  });

  test("are resolved before they are logged", () => {
    const input = commandByName("job.submit").input.parse({ jobs: [{ run: "x", targets: "a" }] });
    expect(() => commandByName("job.submit").prepare(input, admin)).toThrow("looked up before");
    expect(isNormalised(input.jobs[0])).toBe(false);
  });

  test("what was written is shown, and where it is too long to be kept with each job, what gives the same targets", () => {
    const cluster = Cluster.ofNewest(1);
    const long = Array.from({ length: 500 }, (_, at) => `host-${at}.rack-${at % 7}.example`);
    const shown = (job: number): unknown => cluster.job(job).spec["targets"];
    const job = cluster.submit({ targets: long });
    expect(shown(job)).toEqual([`@list:${listOf(...long)}`]);
    const again = cluster.submit({ targets: shown(job) });
    expect(targetsOf(cluster, again)).toEqual(long);
    expect(shown(again)).toEqual(shown(job));
    const resolved = cluster.withTargets([specSchema.parse({ run: "x", targets: "web[1-3]!web2" })]).jobs[0]!;
    expect(isNormalised(throughTheLog(resolved))).toBe(true);
    const read = specSchema.parse(renderSpec(resolved));
    expect<Spec>(cluster.withTargets([read]).jobs[0]!).toEqual(resolved);
  });

  test("jobs of one request that have the same send the names once", () => {
    const specs = ["web[1-3]", "web[1-3]", "web1,web2,web3", "db"].map((targets) =>
      specSchema.parse({ run: "x", targets }),
    );
    expect(new Cluster().withTargets(specs).lists).toHaveLength(2);
  });

  test("are of the third level", () => {
    const cluster = Cluster.of(1);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3 });
    const command = commandByName("job.submit");
    const input = cluster.withTargets([specSchema.parse({ run: "x", targets: "a" })]);
    expect(command.needs?.(command.prepare(input, admin))).toBe(3);
  });
});
