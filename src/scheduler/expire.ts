import type { JobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { boundsOf, expiredJobs, finishedJobs, firstToExpire } from "../state/planning.ts";
import type { ReadTx } from "../state/tx.ts";

/** Finished jobs past their ttl, or the first ones beyond the number that is kept; at most one entry's worth. `now` is wall time. */
export function jobsToExpire(tx: ReadTx, now: number): JobId[] {
  const expired = expiredJobs(tx, now, limits.expirePerEntry);
  if (expired.length > 0) return expired;
  const excess = finishedJobs(tx) - boundsOf(tx).finishedJobs;
  return excess > 0 ? firstToExpire(tx, Math.min(limits.expirePerEntry, excess)) : [];
}
