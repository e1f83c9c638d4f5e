import { type Refusal, refuse } from "../lib/outcome.ts";
import { appliedIndex } from "./queries.ts";
import { boundsOf } from "./tables/bounds.ts";
import { readCounter } from "./tables/counter.ts";
import { isCountingUp, jobLimitOf, loadOf } from "./tables/load.ts";
import type { ReadTx } from "./tx.ts";

/** What is held against the bounds: one look, so that it is of one entry. */
export interface AdmissionFacts {
  readonly applied: number;
  readonly unfinished: number;
  readonly bound: number;
  /** Somebody's jobs are limited. */
  readonly isLimited: boolean;
}

/** See {@link AdmissionFacts}. */
export function admissionFacts(tx: ReadTx): AdmissionFacts {
  const { jobs_unfinished: unfinished, counting } = readCounter(tx);
  return {
    applied: appliedIndex(tx),
    unfinished,
    bound: boundsOf(tx).unfinishedJobs,
    isLimited: counting !== null,
  };
}

/** The same of one submitter's jobs. */
export interface SubmitterFacts {
  readonly applied: number;
  /** As far as they are counted. */
  readonly unfinished: number;
  /** Infinity: no limit. */
  readonly bound: number;
  /** Jobs of before the first limit are still being counted: there may be more. */
  readonly isCountingUp: boolean;
}

/** See {@link SubmitterFacts}. */
export function submitterFacts(tx: ReadTx, name: string): SubmitterFacts {
  return {
    applied: appliedIndex(tx),
    unfinished: loadOf(tx, name),
    bound: jobLimitOf(tx, name) ?? Infinity,
    isCountingUp: isCountingUp(tx),
  };
}

/**
 * Why one job more is too many for whoever set a schedule; undefined: it is not. Jobs of schedules are asked for by nodes, so the state looks at the limit itself, where it has
 * the jobs of the entry so far as well. Where nobody's jobs are limited nothing is read.
 */
export function limitReached(tx: ReadTx, name: string): Refusal | undefined {
  if (readCounter(tx).counting === null) return undefined;
  const bound = jobLimitOf(tx, name);
  if (bound === undefined) return undefined;
  const unfinished = loadOf(tx, name);
  if (unfinished < bound) return undefined;
  const message = `${name}, who set the schedule, has ${unfinished} unfinished jobs and may have ${bound}: wait for some to finish, or ask an admin for more ('skein submitters')`;
  return refuse("busy", message, { retryAfterMs: fullRetryMs, limit: "submitter" }).why;
}

/** When whoever was refused because of a bound is to ask again. */
export const fullRetryMs = 1000;
