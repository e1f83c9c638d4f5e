import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { listSubmitters } from "../../src/state/queries.ts";
import { isCountingUp, jobLimitOf, largestLoads } from "../../src/state/tables/load.ts";
import { sql } from "../../src/state/tx.ts";
import type { Principal } from "../../src/state/types.ts";
import { admin, Cluster } from "./support.ts";

const person = (name: string): Principal => ({ ...admin, name });
const truth = sql(
  "select submitted_by as name, count(*) as jobs from job where finished_at is null group by submitted_by order by jobs desc, name",
);

function atLevel3(): Cluster {
  const cluster = Cluster.of(1);
  cluster.level = 3;
  return cluster;
}
const submit = (cluster: Cluster, name: string, jobs = 1): number =>
  cluster.must("job.submit", { jobs: Array.from({ length: jobs }, () => ({ run: "x" })) }, person(name)).first;
const limit = (cluster: Cluster, name: string, jobs_max: number | null): void =>
  void cluster.must("submitter.set", { name, jobs_max }, admin);

describe("unfinished jobs by submitter", () => {
  test("are counted only while somebody's are limited, what was there before in steps by later entries", () => {
    const cluster = atLevel3();
    const first = limits.countedJobs; // so many are counted with the limit itself
    submit(cluster, "carl", first);
    submit(cluster, "anna", 7);
    submit(cluster, "bert", 5);
    expect(largestLoads(cluster.database, 9)).toEqual([]);
    limit(cluster, "anna", 3);
    expect(isCountingUp(cluster.database)).toBe(true);
    expect(cluster.must("submitter.count", { jobs: 4 })).toEqual({ counted: 4 });
    expect(largestLoads(cluster.database, 9)).toEqual([
      { name: "carl", jobs: first },
      { name: "anna", jobs: 4 },
    ]);
    cluster.must("job.cancel", { id: jobId(first + 2) }, admin); // counted, and out again
    cluster.must("job.cancel", { id: jobId(first + 9) }, admin); // before its turn
    submit(cluster, "anna"); // after the others
    expect(cluster.must("submitter.count", { jobs: 5 })).toEqual({ counted: 5 });
    expect(cluster.must("submitter.count", { jobs: 5 })).toEqual({ counted: 3 });
    expect(isCountingUp(cluster.database)).toBe(false);
    expect(cluster.must("submitter.count", { jobs: 5 })).toEqual({ counted: 0 });
    expect(largestLoads(cluster.database, 9)).toEqual(cluster.database.all(truth));
    submit(cluster, "carl", 2);
    expect(largestLoads(cluster.database, 2)).toEqual(cluster.database.all<never>(truth).slice(0, 2));
    limit(cluster, "anna", null);
    expect(largestLoads(cluster.database, 9)).toEqual([]);
    submit(cluster, "anna");
    expect(largestLoads(cluster.database, 9)).toEqual([]);
  });

  test("whatever happens to jobs, and whenever counting begins and ends, they are as many as there are", () => {
    const name = fc.constantFrom("anna", "bert", "carl");
    const job = fc.integer({ min: 1, max: 30 });
    const step = fc.oneof(
      fc.record({ kind: fc.constant("submit" as const), name, jobs: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ kind: fc.constant("cancel" as const), job }),
      fc.record({ kind: fc.constant("run" as const), job }),
      fc.record({ kind: fc.constant("retry" as const), job, name }),
      fc.record({ kind: fc.constant("chain" as const), job, name }),
      fc.record({ kind: fc.constant("limit" as const), name, jobs_max: fc.constantFrom(1, null) }),
      fc.record({ kind: fc.constant("count" as const), jobs: fc.integer({ min: 1, max: 5 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const cluster = atLevel3();
        for (const one of steps) {
          if (one.kind === "submit") submit(cluster, one.name, one.jobs);
          else if (one.kind === "cancel") cluster.propose("job.cancel", { id: jobId(one.job) }, admin);
          else if (one.kind === "run") {
            const tasks: [number, number][] = [[0, 1]];
            cluster.must("unit.assign", { units: [{ job: jobId(one.job), node: nodeId(1), tasks }] });
            cluster.finish(one.job, 0, 1, 1, one.job % 2 === 0 ? "succeeded" : "failed");
          } else if (one.kind === "retry")
            cluster.propose(
              "job.retry",
              { id: jobId(one.job), only: "all", tasks: null, key: null, digest: "" },
              person(one.name),
            );
          else if (one.kind === "chain")
            cluster.propose("job.submit", { jobs: [{ run: "x", after: [{ job: one.job }] }] }, person(one.name));
          else if (one.kind === "limit") limit(cluster, one.name, one.jobs_max);
          else cluster.must("submitter.count", { jobs: one.jobs });
        }
        limit(cluster, "*", 5);
        while (isCountingUp(cluster.database)) cluster.must("submitter.count", { jobs: 3 });
        expect(largestLoads(cluster.database, 9)).toEqual(cluster.database.all(truth));
      }),
      { numRuns: 40 },
    );
  });

  test("an own limit goes before everybody's, and taking it back leaves everybody's", () => {
    const cluster = atLevel3();
    limit(cluster, "*", 10);
    limit(cluster, "anna", 500);
    cluster.must("submitter.set", { name: "bert", weight: 3 }, admin);
    expect(["anna", "bert", "carl"].map((name) => jobLimitOf(cluster.database, name))).toEqual([500, 10, 10]);
    submit(cluster, "carl");
    cluster.must("submitter.count", { jobs: limits.countedJobs });
    expect(listSubmitters(cluster.database)).toEqual([
      { name: "*", weight: 1, jobs_max: 10, jobs: null },
      { name: "anna", weight: 1, jobs_max: 500, jobs: 0 },
      { name: "bert", weight: 3, jobs_max: 10, jobs: 0 },
      { name: "carl", weight: 1, jobs_max: 10, jobs: 1 },
    ]);
    limit(cluster, "anna", null);
    expect(jobLimitOf(cluster.database, "anna")).toBe(10);
    limit(cluster, "*", null);
    expect(listSubmitters(cluster.database)).toEqual([{ name: "bert", weight: 3, jobs_max: null, jobs: null }]);
  });
});
