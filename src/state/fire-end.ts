import { closeFire } from "./tables/schedule-fire.ts";
import { scheduleById, writeLastState } from "./tables/schedule.ts";
import type { Tx } from "./tx.ts";
import type { JobState } from "./types.ts";

/** A job that a schedule made has ended: its history says how, and the schedule how many in a row have failed. */
export function endFire(tx: Tx, job: number, state: JobState): void {
  const id = closeFire(tx, job, state);
  const row = id === undefined ? undefined : scheduleById(tx, id);
  if (row === undefined) return;
  const failing = state === "failed" ? row.failing + 1 : state === "succeeded" ? 0 : row.failing;
  writeLastState(tx, row.id, state, failing);
}
