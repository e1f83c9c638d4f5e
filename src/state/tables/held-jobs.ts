import { limits } from "../../lib/limits.ts";
import type { ReadTx, Tx } from "../tx.ts";
import type { StoredJob } from "./job.ts";

/**
 * Rows of jobs that are still to be worked on, as apply wrote them last: each is read again when its task is given out, begins and ends, soon after one
 * another. A row that is held is what the database would give, so where cuts fall and what is held shows in no row and no hash (S1): a node
 * that has just started holds none and comes to the same.
 *
 * Whoever changes a job's row says so here. Only what was written is held, and never a job that has finished.
 */
interface Held {
  /** The applied index that the rows belong to; of another one they are worth nothing (D2). */
  applied: number;
  /** Within a cut; what others read meanwhile is not answered from here. */
  isOpen: boolean;
  /** The oldest first. */
  readonly rows: Map<number, StoredJob>;
}

const held = new WeakMap<ReadTx, Held>();

/** A cut begins on a database that stands at `applied`. */
export function openHeldJobs(tx: Tx, applied: number): void {
  const jobs = held.get(tx);
  if (jobs === undefined) {
    held.set(tx, { applied, isOpen: true, rows: new Map() });
    return;
  }
  if (jobs.applied !== applied) jobs.rows.clear();
  jobs.isOpen = true;
}

/** The cut was committed, and the database stands at `applied`. */
export function closeHeldJobs(tx: Tx, applied: number): void {
  const jobs = held.get(tx);
  if (jobs === undefined) return;
  jobs.applied = applied;
  jobs.isOpen = false;
}

/** Something that was written is taken back: what is held may be of it. */
export function forgetHeldJobs(tx: Tx): void {
  held.get(tx)?.rows.clear();
}

/** The row as it stands; undefined: it is not held. */
export function heldJob(tx: ReadTx, id: number): StoredJob | undefined {
  const jobs = held.get(tx);
  return jobs?.isOpen === true ? jobs.rows.get(id) : undefined;
}

/** The same, and from here on it is the caller's, to change and to hand back with {@link holdJob} once that is written. */
export function takeHeldJob(tx: ReadTx, id: number): StoredJob | undefined {
  const row = heldJob(tx, id);
  if (row !== undefined) held.get(tx)!.rows.delete(id);
  return row;
}

/** The row was written like this. In place of the oldest, where there are many. */
export function holdJob(tx: ReadTx, row: StoredJob): void {
  const jobs = held.get(tx);
  if (jobs?.isOpen !== true) return;
  const { rows } = jobs;
  if (row.finished_at !== null || row.spec.length > limits.heldJobSpecLength) {
    rows.delete(row.id);
    return;
  }
  if (rows.size >= limits.heldJobs) for (const oldest of rows.keys()) if (rows.delete(oldest)) break;
  rows.set(row.id, row);
}

/** All that are held, the oldest first. */
export function heldJobs(tx: ReadTx): readonly StoredJob[] {
  return [...(held.get(tx)?.rows.values() ?? [])];
}
