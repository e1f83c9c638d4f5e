import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { deadAfter, listDead } from "../../src/state/dead.ts";
import { findJob, totals } from "../../src/state/queries.ts";
import { sql } from "../../src/state/tx.ts";
import { admin, Cluster } from "./support.ts";

function atLevel3(nodes = 1): Cluster {
  const cluster = Cluster.of(nodes);
  cluster.level = 3;
  return cluster;
}

/** Runs the only task of a job to its end. */
function end(cluster: Cluster, job: number, state: "succeeded" | "failed" | "timeout" = "failed", attempt = 1): void {
  cluster.assign(job, 1, [0, attempt]);
  cluster.finish(job, 0, attempt, 1, state, { reason: state === "failed" ? "it broke" : undefined });
}
const dead = (cluster: Cluster, filter: Partial<Parameters<typeof listDead>[1]> = {}): number[] =>
  listDead(cluster.database, { limit: 100, ...filter }).items.map(({ id }) => id);
const replay = (cluster: Cluster, ...ids: number[]) =>
  cluster.must("job.replay", { jobs: ids.map((id) => ({ id: jobId(id), tasks: null })) }, admin);

describe("dead letters", () => {
  test("are jobs that failed with all their retries, and say how", () => {
    const cluster = atLevel3();
    const [good, bad] = [
      cluster.submit(),
      cluster.submit({ name: "bad", retries: { max: 1 }, labels: { team: "docs" } }),
    ];
    end(cluster, good, "succeeded");
    end(cluster, bad);
    expect(dead(cluster)).toEqual([]); // it will be tried again
    end(cluster, bad, "failed", 2);
    expect(listDead(cluster.database, { limit: 9 }).items).toEqual([
      expect.objectContaining({
        id: bad,
        name: "bad",
        tasks: 1,
        failed: 1,
        submitted_by: "anna",
        labels: { team: "docs" },
        example: { task: 0, state: "failed", attempts: 2, node: 1, exit_code: 1, signal: null, reason: "it broke" },
      }),
    ]);
    expect(totals(cluster.database).deadLetters).toBe(1);
  });

  test("are run again once, however often it is asked for, and are none any more then", () => {
    const cluster = atLevel3();
    const [one, other, good] = [cluster.submit(), cluster.submit(), cluster.submit()];
    end(cluster, one);
    end(cluster, other, "timeout");
    end(cluster, good, "succeeded");
    expect(replay(cluster, one, good, 99)).toEqual({
      replayed: [[one, 4]],
      refused: [
        [good, "gone"],
        [99, "not-found"],
      ],
      left: 0,
    });
    expect(replay(cluster, one)).toEqual({ replayed: [], refused: [[one, "gone"]], left: 0 });
    expect(findJob(cluster.database, one)).toMatchObject({ state: "failed", retried_as: 4 });
    expect(cluster.job(4)).toMatchObject({ state: "queued", retry_of: one });
    expect([dead(cluster), totals(cluster.database).deadLetters]).toEqual([[other], 1]);
    // A person's retry is a replay as well.
    cluster.must("job.retry", { id: jobId(other), only: "all", tasks: null, key: null, digest: "" }, admin);
    expect([dead(cluster), totals(cluster.database).deadLetters]).toEqual([[], 0]);
    end(cluster, 4); // and can fail again
    expect(dead(cluster)).toEqual([4]);
  });

  test("with several tasks: those that did not succeed, by the ranges that whoever asks has found", () => {
    const cluster = atLevel3();
    const job = cluster.submit({ count: 4, max_failures: 0 });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.finish(job, 0, 1, 1);
    cluster.finish(job, 1, 1, 1, "failed"); // the rest is not started
    expect(listDead(cluster.database, { limit: 9 }).items[0]).toMatchObject({
      tasks: 4,
      failed: 1,
      example: { task: 1 },
    });
    const { replayed } = cluster.must("job.replay", { jobs: [{ id: jobId(job), tasks: "1-3" }] }, admin);
    expect(replayed).toEqual([[job, job + 1]]);
    expect(cluster.job(job + 1).counts.queued).toBe(3);
    const again = cluster.submit({ count: 2 });
    cluster.assign(again, 1, [0, 1], [1, 1]);
    for (const task of [0, 1]) cluster.finish(again, task, 1, 1, "failed");
    expect(cluster.must("job.replay", { jobs: [{ id: jobId(again), tasks: "0-2" }] }, admin).refused).toEqual([
      [again, "invalid"],
    ]);
  });

  test("what cannot be run again as it was stays one, and keeps no other", () => {
    const cluster = atLevel3();
    const [first, second] = [cluster.submit({ key: "k", on_conflict: "refuse" }), cluster.submit()];
    end(cluster, first);
    end(cluster, second);
    cluster.submit({ key: "k" }); // has the key now
    expect(replay(cluster, first, second)).toEqual({
      replayed: [[second, 4]],
      refused: [[first, "conflict"]],
      left: 0,
    });
    expect(dead(cluster)).toEqual([first]);
  });

  test("of jobs with a task per node so many are run again at once, and the rest is left for the next command", () => {
    const cluster = atLevel3(10);
    const specs = Array.from({ length: 150 }, () => ({ run: "x", eachNode: true, maxFailures: 0 }));
    cluster.must("job.submit", { jobs: specs }, admin);
    for (let id = 1; id <= 150; id++) end(cluster, id);
    const ids = dead(cluster, { limit: 1000 }).toReversed();
    expect(ids).toHaveLength(150);
    const first = replay(cluster, ...ids);
    expect([first.replayed.length, first.left]).toEqual([101, 49]);
    expect(replay(cluster, ...dead(cluster, { limit: 1000 })).replayed).toHaveLength(49);
    expect(dead(cluster)).toEqual([]);
  });

  test("are listed newest first by pages, and filtered; for a replay oldest first, up to what was there when it began", () => {
    const cluster = atLevel3();
    const bert = { ...admin, name: "bert" };
    for (let at = 0; at < 7; at++) {
      const spec = { run: "x", name: at % 2 === 0 ? "even" : "odd", labels: { at: String(at) } };
      const { first } = cluster.must("job.submit", { jobs: [spec] }, at < 3 ? bert : admin);
      cluster.now += 1000;
      end(cluster, first);
    }
    expect(dead(cluster, { name: "even" })).toEqual([7, 5, 3, 1]);
    expect(dead(cluster, { by: "bert" })).toEqual([3, 2, 1]);
    expect(dead(cluster, { label: "at=4" })).toEqual([5]);
    expect(dead(cluster, { since: cluster.now - 1000 })).toEqual([7, 6]);
    const page = listDead(cluster.database, { limit: 3 });
    expect([page.items.map(({ id }) => id), page.next]).toEqual([[7, 6, 5], 5]);
    expect(dead(cluster, { limit: 3, before: page.next })).toEqual([4, 3, 2]);
    const some = deadAfter(cluster.database, { limit: 2, after: 0, last: undefined });
    expect(some).toEqual({
      jobs: [
        { id: 1, tasks: 1 },
        { id: 2, tasks: 1 },
      ],
      next: { after: 2, last: 7 },
    });
    end(cluster, cluster.submit()); // fails meanwhile
    const rest = deadAfter(cluster.database, { limit: 100, ...some.next! });
    expect([rest.jobs.map(({ id }) => id), rest.next]).toEqual([[3, 4, 5, 6, 7], undefined]);
  });

  test("those of before the level that counts them are counted when it is reached, and an entry of before that comes after counts too", () => {
    const cluster = Cluster.of(1);
    cluster.level = 2;
    const ids = [cluster.submit(), cluster.submit(), cluster.submit()];
    end(cluster, ids[0]!);
    end(cluster, ids[1]!);
    expect(totals(cluster.database).deadLetters).toBe(0);
    cluster.must("node.seen", {
      node: nodeId(1),
      incarnation: "i",
      api: "a:1",
      peer: "b:1",
      labels: {},
      slots: 4,
      ioTasks: 8,
      level: 3,
      version: "0",
    });
    cluster.must("cluster.raise", { level: 3 }, admin);
    expect(totals(cluster.database).deadLetters).toBe(2);
    end(cluster, ids[2]!); // stamped with the level of before
    expect(totals(cluster.database).deadLetters).toBe(3);
  });

  test("a job that did not fail is no dead letter, and none less when it is run again", () => {
    const cluster = atLevel3();
    const [good, bad] = [cluster.submit(), cluster.submit()];
    end(cluster, good, "succeeded");
    end(cluster, bad);
    const again = (job: number): unknown =>
      cluster.must("job.retry", { id: jobId(job), only: "all", tasks: null, key: null, digest: "" }, admin);
    again(good);
    expect([totals(cluster.database).deadLetters, dead(cluster)]).toEqual([1, [bad]]);
    again(bad);
    expect([totals(cluster.database).deadLetters, dead(cluster)]).toEqual([0, []]);
  });

  test("whatever happens to jobs, the count is what there is, and the page is read by its index", () => {
    const counted = sql("select count(*) as jobs from job where state = 'failed' and replayed is null");
    // Few enough that most steps find one.
    const job = fc.integer({ min: 1, max: 5 });
    const step = fc.oneof(
      fc.record({ kind: fc.constant("submit" as const), retries: fc.boolean() }),
      fc.record({ kind: fc.constant("end" as const), job, failed: fc.boolean() }),
      fc.record({ kind: fc.constant("cancel" as const), job }),
      fc.record({ kind: fc.constant("replay" as const), job }),
      fc.record({ kind: fc.constant("retry" as const), job }),
      fc.record({ kind: fc.constant("remove" as const), job }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const cluster = atLevel3();
        for (const one of steps) {
          if (one.kind === "submit") cluster.submit(one.retries ? { retries: { max: 1 } } : {});
          else if (one.kind === "end") {
            cluster.assign(one.job, 1, [0, 1], [0, 2]);
            for (const attempt of [1, 2]) cluster.finish(one.job, 0, attempt, 1, one.failed ? "failed" : "succeeded");
          } else if (one.kind === "cancel") cluster.propose("job.cancel", { id: jobId(one.job) }, admin);
          else if (one.kind === "replay") replay(cluster, one.job);
          else if (one.kind === "remove") cluster.propose("job.remove", { id: jobId(one.job) }, admin);
          else
            cluster.propose(
              "job.retry",
              { id: jobId(one.job), only: "all", tasks: null, key: null, digest: "" },
              admin,
            );
        }
        const { jobs } = cluster.database.get<{ jobs: number }>(counted)!;
        expect([totals(cluster.database).deadLetters, dead(cluster).length]).toEqual([jobs, jobs]);
      }),
      { numRuns: 100 },
    );
    const plan = atLevel3().database.all<{ detail: string }>(
      sql(
        "explain query plan select id from job where state = 'failed' and replayed is null and id < 9 order by id desc",
      ),
    );
    expect(plan.map(({ detail }) => detail)).toEqual([expect.stringContaining("job_dead")]);
    expect(limits.replayedPerRequest).toBeLessThanOrEqual(limits.listMax);
  });
});
