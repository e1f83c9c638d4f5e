import { jobId, type JobId } from "../lib/ids.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { idempotencyOf } from "./tables/idempotency.ts";
import type { ReadTx } from "./tx.ts";

/** The run of jobs that a request made. */
export interface AddedJobs {
  readonly first: JobId;
  readonly count: number;
  /** The key was known: they are the first request's. */
  readonly repeated: boolean;
}

/** What a request under that key was answered with before, or that it was another one; undefined: the key is new. */
export function earlierUnder(tx: ReadTx, owner: string, key: string, digest: string): Outcome<AddedJobs> | undefined {
  const earlier = idempotencyOf(tx, owner, key);
  if (earlier === undefined) return undefined;
  if (earlier.digest === digest) return accept({ first: jobId(earlier.first), count: earlier.count, repeated: true });
  return refuse("conflict", `the idempotency key was used for another request (job ${earlier.first}): use a new key`);
}
