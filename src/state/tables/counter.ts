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

type Row = { -readonly [Column in keyof Counter]: Counter[Column] };

/** The row in memory while entries are applied: nearly every command changes it, so it is read once for a cut and written once for an entry. */
interface Held {
  row: Row;
  isChanged: boolean;
}

const columns = [
  "at",
  "next_node",
  "next_job",
  "submitted",
  "succeeded",
  "failed",
  "cancelled",
  "skipped",
  "jobs_unfinished",
  "jobs_finished",
  "tasks_running",
  "tasks_queued",
] as const satisfies readonly (keyof Counter)[];

const held = new WeakMap<ReadTx, Held>();

const select = sql("select * from counter where id = 1");

/** The row as it is now; asserts that it exists. */
export function readCounter(tx: ReadTx): Counter {
  const inMemory = held.get(tx);
  if (inMemory !== undefined) return inMemory.row;
  const counter = tx.get<Counter>(select);
  assert(counter !== undefined, "the counter row exists from the schema on");
  return counter;
}

/** From here to {@link releaseCounter} changes are made in memory; each entry ends with {@link writeCounter}, so that where cuts fall does not show (S1). */
export function holdCounter(tx: Tx): void {
  held.set(tx, { row: { ...readCounter(tx) }, isChanged: false });
}

/** Forgets what is in memory. */
export function releaseCounter(tx: Tx): void {
  held.delete(tx);
}

const set = change(
  "counter.set",
  `update counter set ${columns.map((column) => `${column} = ?`).join(", ")} where id = 1`,
);

/** Writes what is held, if it was changed. */
export function writeCounter(tx: Tx): void {
  const inMemory = held.get(tx);
  if (inMemory?.isChanged !== true) return;
  inMemory.isChanged = false;
  write(tx, inMemory.row);
}

function write(tx: Tx, row: Counter): void {
  tx.run(set, ...columns.map((column) => row[column]));
}

/** Gives what takes back all changes that are made to what is held from now on (S4). */
export function counterMark(tx: Tx): () => void {
  const inMemory = held.get(tx);
  if (inMemory === undefined) return () => {};
  const before = { row: { ...inMemory.row }, isChanged: inMemory.isChanged };
  return () => held.set(tx, before);
}

function edit(tx: Tx, change: (row: Row) => void): void {
  const inMemory = held.get(tx);
  if (inMemory === undefined) {
    const row = { ...readCounter(tx) };
    change(row);
    write(tx, row);
  } else {
    change(inMemory.row);
    inMemory.isChanged = true;
    // What SQLite would refuse at the entry's end must be the fault of the command that did it (S4).
    for (const column of columns) assert(Number.isSafeInteger(inMemory.row[column]), `${column} is a whole number`);
  }
}

/** A node id that was never used. */
export function newNodeId(tx: Tx): number {
  const { next_node: id } = readCounter(tx);
  edit(tx, (row) => (row.next_node = id + 1));
  return id;
}

/** Leaves out ids that may have been given by entries that nobody has any more. */
export function skipIds(tx: Tx, nodes: number, jobs: number): void {
  edit(tx, (row) => {
    row.next_node += nodes;
    row.next_job += jobs;
  });
}

/** Counts new jobs in; their ids are the run that begins at the counter's next_job. */
export function countSubmitted(tx: Tx, jobs: number, tasks: number): void {
  edit(tx, (row) => {
    row.next_job += jobs;
    row.submitted += jobs;
    row.jobs_unfinished += jobs;
    row.tasks_queued += tasks;
  });
}

/** Counts out jobs whose rows were removed. */
export function countExpired(tx: Tx, jobs: number): void {
  edit(tx, (row) => (row.jobs_finished -= jobs));
}

/** What one command changed; added at its end. */
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

/** Adds a command's sums to the totals. */
export function addTally(tx: Tx, { running, queued, succeeded, failed, cancelled, skipped }: Tally): void {
  const ended = succeeded + failed + cancelled + skipped;
  edit(tx, (row) => {
    row.tasks_running += running;
    row.tasks_queued += queued;
    row.succeeded += succeeded;
    row.failed += failed;
    row.cancelled += cancelled;
    row.skipped += skipped;
    row.jobs_finished += ended;
    row.jobs_unfinished -= ended;
  });
}

/** The leader's clock of an entry, made non-decreasing over the log. */
export function advanceClock(tx: Tx, stamped: number): number {
  const { at } = readCounter(tx);
  if (stamped <= at) return at;
  edit(tx, (row) => (row.at = stamped));
  return stamped;
}

/** For a state that a new epoch begins with: its clock is this one. Gives by how much it went back: it was moved on by a clock that was wrong. */
export function resetClock(tx: Tx, at: number): number {
  const before = readCounter(tx).at;
  edit(tx, (row) => (row.at = at));
  return Math.max(0, before - at);
}
