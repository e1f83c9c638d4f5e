import { limits } from "../lib/limits.ts";
import { type Outcome, refuse } from "../lib/outcome.ts";
import type { NewJob } from "./adding.ts";
import type { ApplyContext } from "./command.ts";
import { Work } from "./ending.ts";
import { replacedBy } from "./gates.ts";
import { readSpec } from "./spec.ts";
import { openJobsWithout } from "./tables/schedule-fire.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { Spec } from "./types.ts";

/**
 * Jobs of a schedule from before its `overlap` was changed so that one comes after the other: they have no key, so the key does not keep the next one from running beside them. That one waits
 * for each of them by `after` (done) instead; with `replace` they are cancelled as well.
 */

/**
 * Those that have not ended, oldest first; a refusal where they are too many to be waited for. What they are is known by their having no key alone: when the schedule was set and when a job
 * was made may be by different clocks (changesAt of rescheduling.ts).
 */
export function formerJobs(tx: ReadTx, schedule: number, key: string): Outcome<number[]> {
  const jobs = openJobsWithout(tx, schedule, key, { looked: limits.formerJobsLooked, most: limits.formerJobs + 1 });
  if (jobs.length <= limits.formerJobs) return { ok: true, value: jobs };
  return refuse(
    "conflict",
    `more than ${limits.formerJobs} jobs of before its overlap was changed have not ended: wait for them, or cancel some`,
  );
}

/** The job, which has a key, once all of these have ended. */
export function afterAll([name, tasks, text, selector, places]: NewJob, jobs: readonly number[]): NewJob {
  const spec: Spec = { ...readSpec(text), after: jobs.map((job) => ({ job, when: "done" })) };
  return [name, tasks, JSON.stringify(spec), selector, places];
}

/** They make way for a newer one, as those with the key do. */
export function replaceFormer(tx: Tx, jobs: readonly number[], key: string, context: ApplyContext): void {
  const work = new Work(tx, context);
  for (const id of jobs) {
    const job = work.jobs.get(id);
    if (job !== undefined) work.cancel(job, replacedBy(key));
  }
  work.close();
}
