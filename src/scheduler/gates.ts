import type { JobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { deadlinesDue, isSomethingLeft, nextInstant, pausesDue, startsDue } from "../state/planning.ts";
import type { ReadTx } from "../state/tx.ts";

/** What time, or an earlier command that was too short for all of it, asks of the leader (state/gates.ts); at most one entry's worth of each. */
export interface GateWork {
  /** Jobs whose start_at has come, or the end of the pause before their next batch. */
  readonly open: JobId[];
  /** Jobs whose deadline has passed. */
  readonly overdue: JobId[];
  /** Children are to be told, or replaced jobs to be cancelled. */
  readonly settle: boolean;
  /** The earliest instant that some job waits for, epoch ms; undefined: none does. */
  readonly next: number | undefined;
}

/** By the state as it is and the time as the leader stamps it, epoch ms. */
export function gateWork(tx: ReadTx, now: number): GateWork {
  const starts = startsDue(tx, now, limits.releasesPerCommand);
  return {
    open: [...starts, ...pausesDue(tx, now, limits.releasesPerCommand - starts.length)],
    overdue: deadlinesDue(tx, now, limits.releasesPerCommand),
    settle: isSomethingLeft(tx),
    next: nextInstant(tx),
  };
}
