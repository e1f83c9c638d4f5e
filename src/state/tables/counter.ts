import { assert } from "../../lib/assert.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** The one row of ids and totals. */
export interface Counter {
  readonly at: number;
  readonly next_node: number;
  readonly next_job: number;
  readonly submitted: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly jobs_unfinished: number;
  readonly jobs_finished: number;
  readonly tasks_running: number;
  readonly tasks_queued: number;
}

const select = sql("select * from counter where id = 1");

/** The row as it is now; asserts that it exists. */
export function readCounter(tx: ReadTx): Counter {
  const counter = tx.get<Counter>(select);
  assert(counter !== undefined, "the counter row exists from the schema on");
  return counter;
}

const takeNode = change("counter.take-node", "update counter set next_node = next_node + 1 where id = 1");

/** A node id that was never used. */
export function newNodeId(tx: Tx): number {
  const { next_node: id } = readCounter(tx);
  tx.run(takeNode);
  return id;
}

const skip = change(
  "counter.skip-ids",
  "update counter set next_node = next_node + ?, next_job = next_job + ? where id = 1",
);

/** Leaves out ids that may have been given by entries that nobody has any more. */
export function skipIds(tx: Tx, nodes: number, jobs: number): void {
  tx.run(skip, nodes, jobs);
}

const addJobs = change(
  "counter.add-jobs",
  `update counter set next_job = next_job + ?1, submitted = submitted + ?1, jobs_unfinished = jobs_unfinished + ?1,
   tasks_queued = tasks_queued + ?2 where id = 1`,
);

/** Counts new jobs in; their ids are the run that begins at the counter's next_job. */
export function countSubmitted(tx: Tx, jobs: number, tasks: number): void {
  tx.run(addJobs, jobs, tasks);
}

const expire = change("counter.expire-jobs", "update counter set jobs_finished = jobs_finished - ? where id = 1");

/** Counts out jobs whose rows were removed. */
export function countExpired(tx: Tx, jobs: number): void {
  tx.run(expire, jobs);
}

/** What one command changed; written once, at its end. */
export interface Tally {
  running: number;
  queued: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  skipped: number;
}

/** Nothing changed yet. */
export function newTally(): Tally {
  return { running: 0, queued: 0, succeeded: 0, failed: 0, cancelled: 0, skipped: 0 };
}

const add = change(
  "counter.add-tasks",
  `update counter set tasks_running = tasks_running + ?1, tasks_queued = tasks_queued + ?2, succeeded = succeeded + ?3,
   failed = failed + ?4, cancelled = cancelled + ?5, skipped = skipped + ?6,
   jobs_finished = jobs_finished + ?3 + ?4 + ?5 + ?6, jobs_unfinished = jobs_unfinished - ?3 - ?4 - ?5 - ?6 where id = 1`,
);

/** Adds a command's sums to the totals, in one statement. */
export function writeTally(tx: Tx, tally: Tally): void {
  tx.run(add, tally.running, tally.queued, tally.succeeded, tally.failed, tally.cancelled, tally.skipped);
}

const moveClock = change("counter.move-clock", "update counter set at = ? where id = 1");

/** The leader's clock of an entry, made non-decreasing over the log. */
export function advanceClock(tx: Tx, stamped: number): number {
  const { at } = readCounter(tx);
  if (stamped <= at) return at;
  tx.run(moveClock, stamped);
  return stamped;
}

/** For a state that a new epoch begins with: its clock is this one. Gives by how much it went back: it was moved on by a clock that was wrong. */
export function resetClock(tx: Tx, at: number): number {
  const before = readCounter(tx).at;
  tx.run(moveClock, at);
  return Math.max(0, before - at);
}
