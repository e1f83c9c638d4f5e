import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { applyEntries } from "../../src/state/apply.ts";
import { type AnyCommand, commandByTag } from "../../src/state/commands/index.ts";
import { heldJob, heldJobs, holdJob, openHeldJobs, takeHeldJob } from "../../src/state/tables/held-jobs.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { announcement, Cluster, openDatabase } from "./support.ts";

/** That what is held is what the database has is looked at after each cut of all tests of the state (support.ts). */

const ids = (cluster: Cluster): number[] => heldJobs(cluster.database).map((row) => row.id);

describe("rows of jobs that are held in memory", () => {
  test("are of jobs that are still to be worked on, as they were written last", () => {
    const cluster = Cluster.of(2);
    for (let number = 1; number <= 2; number++)
      cluster.must("node.seen", { node: nodeId(number), ...announcement(number), level: 3 });
    for (let level = 2; level <= 3; level++) cluster.must("cluster.raise", { level });
    cluster.level = 3;
    const [first, second] = [cluster.submit(), cluster.submit({ count: 2 })];
    expect(ids(cluster)).toEqual([first, second]);
    cluster.assign(first, 2, [0, 1]);
    cluster.assign(second, 1, [0, 1]);
    const of = (job: number): unknown => heldJobs(cluster.database).find((row) => row.id === job);
    expect(of(first)).toMatchObject({ state: "running", running: 1, next_task: 1, only_node: 2 });
    expect(of(second)).toMatchObject({ state: "running", running: 1, next_task: 1, only_node: null });
    cluster.finish(first, 0, 1, 2);
    cluster.finish(second, 0, 1, 1);
    expect(of(first)).toBeUndefined();
    expect(of(second)).toMatchObject({ succeeded: 1, running: 0 });
  });

  test("show neither in rows nor in the hash: a node that has just started holds none", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 3, retries: { max: 2, jitter: 0 } });
    cluster.assign(job, 2, [0, 1], [1, 1]);
    cluster.finish(job, 0, 1, 2, "failed");
    cluster.finish(job, 1, 1, 2);
    cluster.assign(job, 1, [0, 2], [2, 1]);
    cluster.finish(job, 0, 2, 1);
    cluster.finish(job, 2, 1, 1);
    expect(cluster.job(job).state).toBe("succeeded");
    let database = openDatabase();
    for (const entry of cluster.log) {
      const image = database.image();
      database.close();
      database = new StateDatabase({ path: ":memory:", schema: [], image });
      applyEntries(database, [entry], cluster.options);
    }
    expect(database.hash).toBe(cluster.database.hash);
    database.close();
  });

  test("are forgotten with what is undone", () => {
    const faulty: AnyCommand = {
      ...commandByTag(10)!,
      tag: 900,
      apply: (tx, payload, context) => {
        commandByTag(10)!.apply(tx, payload, context);
        throw new Error("after it was written");
      },
    };
    const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? faulty : commandByTag(tag)) });
    const kept = cluster.submit();
    cluster.entry([
      [900, "t-admin", "anna", "admin", { jobs: [["x", 1, '{"run":"true"}', null]], key: null, digest: "" }],
    ]);
    expect(cluster.apply()[0]!.outcomes[0]).toMatchObject({ ok: false, why: { code: "bug" } });
    expect(ids(cluster)).toEqual([]);
    expect(cluster.assign(kept, 1, [0, 1])).toBe(0);
    expect(ids(cluster)).toEqual([kept]);
  });

  test("are worth nothing for a state that was changed otherwise", () => {
    const cluster = Cluster.of(1);
    cluster.submit();
    openHeldJobs(cluster.database, cluster.database.applied + 1);
    expect(ids(cluster)).toEqual([]);
  });

  test("are bounded: older ones go, and long specs are not held", () => {
    const cluster = Cluster.of(1);
    cluster.submit({ run: "x".repeat(limits.heldJobSpecLength) });
    expect(ids(cluster)).toEqual([]);
    const job = cluster.submit();
    const [row] = heldJobs(cluster.database);
    openHeldJobs(cluster.database, cluster.database.applied);
    for (let more = 1; more <= 2 * limits.heldJobs; more++) {
      holdJob(cluster.database, { ...row!, id: job + more });
      expect(heldJob(cluster.database, job + more)).toBeDefined();
    }
    const all = ids(cluster);
    expect(all.length).toBeGreaterThan(limits.heldJobs / 2 - 1);
    expect(all.length).toBeLessThanOrEqual(limits.heldJobs);
    expect(all).not.toContain(job);
  });

  test("are what was written last, though an older form was about to make room", () => {
    const cluster = Cluster.of(1);
    const job = cluster.submit();
    const tx = cluster.database;
    openHeldJobs(tx, tx.applied);
    const row = heldJob(tx, job)!;
    for (let more = 1; more <= limits.heldJobs / 2; more++) holdJob(tx, { ...row, id: job + more });
    holdJob(tx, { ...row, running: 1 });
    expect(heldJob(tx, job)).toMatchObject({ running: 1 });
    expect(heldJobs(tx).filter(({ id }) => id === job)).toHaveLength(1);
    expect(takeHeldJob(tx, job)).toMatchObject({ running: 1 });
    expect(heldJob(tx, job)).toBeUndefined();
    holdJob(tx, { ...row, id: job + 1, finished_at: 5 });
    expect(heldJob(tx, job + 1)).toBeUndefined();
  });
});
