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
