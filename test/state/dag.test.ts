import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { isTerminal } from "../../src/lib/states.ts";
import { gateWork } from "../../src/scheduler/gates.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { openJobs } from "../../src/state/planning.ts";
import { totals } from "../../src/state/queries.ts";
import { sql } from "../../src/state/tx.ts";
import type { JobState } from "../../src/state/types.ts";
import { admin, announcement, Cluster } from "./support.ts";

/**
 * Random graphs of jobs with `after`, keys and holds, in random histories, against an evaluator that knows no counters, gates or queues: it looks at all
 * jobs and asks which may run now.
 */
type When = "succeeded" | "failed" | "done";

interface Model {
  readonly id: number;
  readonly parents: readonly { readonly job: number; readonly when: When }[];
  readonly key: string | undefined;
  held: boolean;
  /** "open": may start; it stays so once it has its key. */
  state: JobState;
  hasKey: boolean;
  cancelling: boolean;
}

const terminal = (job: Model): boolean => isTerminal(job.state);

/** Applies what follows by itself, until nothing does. */
function close(jobs: readonly Model[]): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const job of jobs) {
      if (job.state !== "queued") continue;
      const isDoomed = job.parents.some(({ job: parent, when }) => {
        const { state } = jobs[parent]!;
        return isTerminal(state) && when !== "done" && when !== state;
      });
      if (isDoomed) {
        job.state = "skipped";
        changed = true;
      }
    }
    for (const key of new Set(jobs.flatMap((job) => job.key ?? []))) {
      const ofKey = jobs.filter((job) => job.key === key && !terminal(job));
      if (ofKey.some((job) => job.hasKey)) continue;
      const next = ofKey.find((job) => !job.held && isReleased(jobs, job));
      if (next !== undefined) {
        next.hasKey = true;
        changed = true;
      }
    }
  }
}

function isReleased(jobs: readonly Model[], job: Model): boolean {
  return job.parents.every(({ job: parent }) => terminal(jobs[parent]!));
}

function mayStart(jobs: readonly Model[], job: Model): boolean {
  return job.state === "queued" && !job.held && isReleased(jobs, job) && (job.key === undefined || job.hasKey);
}

const spec = fc.record({
  /** How far back each parent is; what lies before the first job is none. */
  parents: fc.uniqueArray(
    fc.record({ back: fc.nat({ max: 12 }), when: fc.constantFrom<When>("succeeded", "succeeded", "failed", "done") }),
    { maxLength: 3, selector: ({ back }) => back },
  ),
  key: fc.option(fc.constantFrom("a", "b"), { freq: 2, nil: undefined }),
  replace: fc.boolean(),
});

const action = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("submit" as const),
      specs: fc.array(spec, { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("start" as const), which: fc.nat() }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("end" as const),
      which: fc.nat(),
      state: fc.constantFrom("succeeded" as const, "succeeded" as const, "failed" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("cancel" as const, "hold" as const, "release" as const),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose" as const) }) },
);

/** Lets the duty do all that was left. */
function settle(cluster: Cluster): void {
  while (gateWork(cluster.database, cluster.now).settle) cluster.must("job.settle", {});
}

test("whatever the order of ends, failures and cancels, jobs start when they may and end as they must", () => {
  judgeHistories(true);
}, 120_000);

test("also where one command tells two jobs at most, and the duty does the rest", () => {
  // Who gets a key then depends on who was told first, so there are none.
  const { releasesPerCommand } = limits;
  Object.assign(limits, { releasesPerCommand: 2 });
  try {
    judgeHistories(false);
  } finally {
    Object.assign(limits, { releasesPerCommand });
  }
}, 120_000);

function judgeHistories(withKeys: boolean): void {
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 60 }), (actions) => {
      const cluster = Cluster.of(1);
      cluster.level = 3;
      const jobs: Model[] = [];
      let incarnation = 1;
      /** Attempt numbers of tasks that run. */
      const attempts = new Map<Model, number>();
      const pick = (which: number, from: readonly Model[]): Model | undefined => from[which % Math.max(1, from.length)];
      for (const one of actions) {
        if (one.kind === "submit") {
          const first = jobs.length;
          const specs = one.specs.map(({ parents, key, replace }, at) => ({
            run: "true",
            name: `n${first + at}`,
            ...(key === undefined || !withKeys ? {} : { key, ...(replace ? { on_conflict: "replace" } : {}) }),
            after: parents.flatMap(({ back, when }) => {
              const parent = first + at - 1 - back;
              if (parent < 0) return [];
              return [{ job: parent >= first ? `n${parent}` : parent + 1, when }];
            }),
          }));
          const { jobs: read } = commandByName("job.submit").input.parse({
            jobs: specs.map(({ after, ...rest }) => (after.length === 0 ? rest : { ...rest, after })),
          });
          cluster.must("job.submit", { jobs: read }, admin);
          for (const [at, { parents, key }] of one.specs.entries())
            jobs.push({
              id: first + at + 1,
              parents: parents.flatMap(({ back, when }) =>
                first + at - 1 - back < 0 ? [] : [{ job: first + at - 1 - back, when }],
              ),
              key: withKeys ? key : undefined,
              held: false,
              state: "queued",
              hasKey: false,
              cancelling: false,
            });
          // One after the other: who replaces finds what was before it.
          for (const [at, { key, replace }] of one.specs.entries()) {
            const known = jobs.slice(0, first + at + 1);
            const own = known.at(-1)!;
            closeSome(jobs, first + at + 1);
            if (key === undefined || !withKeys || !replace || terminal(own)) continue;
            for (const job of known.slice(0, -1)) {
              if (job.key !== key || terminal(job)) continue;
              if (job.state === "running") job.cancelling = true;
              else job.state = "cancelled";
            }
            closeSome(jobs, first + at + 1);
          }
        } else if (one.kind === "lose") {
          cluster.must("node.lost", { node: nodeId(1), incarnation: `i${incarnation}` });
          incarnation += 1;
          cluster.must("node.seen", { node: nodeId(1), ...announcement(1), incarnation: `i${incarnation}` });
          for (const job of jobs.filter(({ state }) => state === "running")) {
            job.state = job.cancelling ? "cancelled" : "queued";
            if (job.cancelling) attempts.delete(job);
          }
        } else {
          const candidates = {
            start: jobs.filter((job) => job.state === "queued"),
            end: jobs.filter((job) => job.state === "running"),
            cancel: jobs.filter((job) => !terminal(job)),
            hold: jobs.filter((job) => !terminal(job) && !job.cancelling),
            release: jobs.filter((job) => !terminal(job) && !job.cancelling),
          }[one.kind];
          const job = pick(one.which, candidates);
          if (job === undefined) continue;
          if (one.kind === "start") {
            const attempt = (attempts.get(job) ?? 0) + 1;
            const isTaken = cluster.assign(job.id, 1, [0, attempt]) === 0;
            expect(isTaken).toBe(mayStart(jobs, job));
            if (isTaken) {
              job.state = "running";
              attempts.set(job, attempt);
            }
          } else if (one.kind === "end") {
            const state = job.cancelling ? "cancelled" : one.state;
            expect(cluster.finish(job.id, 0, attempts.get(job)!, 1, state)).toBe(true);
            job.state = state;
          } else if (one.kind === "cancel") {
            cluster.must("job.cancel", { id: jobId(job.id) }, admin);
            if (job.state === "running") job.cancelling = true;
            else job.state = "cancelled";
          } else {
            cluster.must(one.kind === "hold" ? "job.hold" : "job.release", { id: jobId(job.id) }, admin);
            job.held = one.kind === "hold";
          }
        }
        close(jobs);
        settle(cluster);
        for (const job of jobs) expect([job.id, shown(cluster, job.id)]).toEqual([job.id, stateOf(job, attempts)]);
        const planned = openJobs(cluster.database, 1, jobs.length, jobs.length + 1)
          .filter((open) => !open.stopped)
          .map(({ id }) => id as number);
        const wanted = jobs.filter(
          (job) => mayStart(jobs, job) || (job.state === "running" && !job.held && !job.cancelling),
        );
        expect(planned).toEqual(wanted.map(({ id }) => id));
      }
      // Released and run to the end, nothing is left: no job waits for what cannot come.
      for (const job of jobs) {
        if (terminal(job) || !job.held) continue;
        if (!job.cancelling) cluster.must("job.release", { id: jobId(job.id) }, admin);
        job.held = false;
      }
      close(jobs);
      settle(cluster);
      for (
        let left = jobs.filter((job) => !terminal(job));
        left.length > 0;
        left = jobs.filter((job) => !terminal(job))
      ) {
        const job = left.find((one) => one.state === "running" || mayStart(jobs, one));
        expect(job).toBeDefined();
        if (job!.state !== "running") {
          attempts.set(job!, (attempts.get(job!) ?? 0) + 1);
          expect(cluster.assign(job!.id, 1, [0, attempts.get(job!)!])).toBe(0);
        }
        const state = job!.cancelling ? "cancelled" : "succeeded";
        expect(cluster.finish(job!.id, 0, attempts.get(job!)!, 1, state)).toBe(true);
        job!.state = state;
        close(jobs);
        settle(cluster);
      }
      for (const job of jobs) expect(cluster.job(job.id).state).toBe(job.state);
      expect(totals(cluster.database)).toMatchObject({ jobsUnfinished: 0, tasksQueued: 0, tasksRunning: 0 });
      for (const table of ["job_gate", "job_after", "job_release", "job_replace"])
        expect(cluster.database.all(sql(`select * from ${table}`))).toEqual([]);
      expect(cluster.database.all(sql("select id from job where gate is not null or ties is not null"))).toEqual([]);
    }),
    { numRuns: 150 },
  );
}

/** The evaluator as of the moment when only the first `count` jobs were there. */
function closeSome(jobs: readonly Model[], count: number): void {
  close(jobs.slice(0, count));
}

function shown(cluster: Cluster, id: number): JobState {
  return cluster.job(id).state;
}

/** A job whose only attempt was lost waits again, and is shown as running on. */
function stateOf(job: Model, attempts: ReadonlyMap<Model, number>): JobState {
  return job.state === "queued" && attempts.has(job) ? "running" : job.state;
}
