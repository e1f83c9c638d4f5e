import { appliedIndex } from "./queries.ts";
import { boundsOf } from "./tables/bounds.ts";
import { readCounter } from "./tables/counter.ts";
import type { ReadTx } from "./tx.ts";

/** What is held against the bounds: one look, so that it is of one entry. */
export interface AdmissionFacts {
  readonly applied: number;
  readonly unfinished: number;
  readonly bound: number;
}

/** See {@link AdmissionFacts}. */
export function admissionFacts(tx: ReadTx): AdmissionFacts {
  return { applied: appliedIndex(tx), unfinished: readCounter(tx).jobs_unfinished, bound: boundsOf(tx).unfinishedJobs };
}
