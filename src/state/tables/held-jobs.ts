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
  /** Written since there was last no room. */
  young: Map<number, StoredJob>;
  /**
   * Written before that. They go together when the young ones take their place: to look for the single oldest row of a map, out of which as many
   * were taken, costs more than a job does.
   */
  old: Map<number, StoredJob>;
}

const held = new WeakMap<ReadTx, Held>();

/** A cut begins on a database that stands at `applied`. */
export function openHeldJobs(tx: Tx, applied: number): void {
  const jobs = held.get(tx);
  if (jobs === undefined) {
    held.set(tx, { applied, isOpen: true, young: new Map(), old: new Map() });
    return;
  }
  if (jobs.applied !== applied) forgetHeldJobs(tx);
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
  const jobs = held.get(tx);
  jobs?.young.clear();
  jobs?.old.clear();
}

/** The row as it stands; undefined: it is not held. */
export function heldJob(tx: ReadTx, id: number): StoredJob | undefined {
  const jobs = held.get(tx);
  return jobs?.isOpen === true ? (jobs.young.get(id) ?? jobs.old.get(id)) : undefined;
}

/** The same, and from here on it is the caller's, to change and to hand back with {@link holdJob} once that is written. */
export function takeHeldJob(tx: ReadTx, id: number): StoredJob | undefined {
  const jobs = held.get(tx);
  if (jobs?.isOpen !== true) return undefined;
  const row = jobs.young.get(id) ?? jobs.old.get(id);
  drop(jobs, id);
  return row;
}

/** The row was written like this. Where there are many, older ones make room. */
export function holdJob(tx: ReadTx, row: StoredJob): void {
  const jobs = held.get(tx);
  if (jobs?.isOpen !== true) return;
  if (row.finished_at !== null || row.spec.length > limits.heldJobSpecLength) {
    drop(jobs, row.id);
    return;
  }
  if (jobs.young.size >= limits.heldJobs / 2) {
    jobs.old = jobs.young;
    jobs.young = new Map();
  }
  jobs.young.set(row.id, row);
}

/** From both: what is written again while an older form is among the old ones must not leave that behind. */
function drop({ young, old }: Held, id: number): void {
  young.delete(id);
  old.delete(id);
}

/** All that are held, the oldest first. */
export function heldJobs(tx: ReadTx): readonly StoredJob[] {
  const jobs = held.get(tx);
  return jobs === undefined ? [] : [...new Map([...jobs.old, ...jobs.young]).values()];
}
