import { assert } from "../../lib/assert.ts";
import { deadLevel } from "../levels.ts";
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
  /** Of the jobs of each submitter, see load.ts: the first that is not counted yet; 0: all are; null: nobody counts. */
  readonly counting: number | null;
  /** Dead letters (state/dead.ts); null: none yet. */
  readonly dead: number | null;
}

type Row = { -readonly [Column in keyof Counter]: Counter[Column] };

/** The row in memory while entries are applied: nearly every command changes it, so it is read once for a cut and written once for an entry. */
interface Held {
  row: Row;
  isChanged: boolean;
  isDeadChanged: boolean;
  /** By how much submitters have more or fewer unfinished jobs than their rows say. */
  loads: Map<string, number>;
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
  held.set(tx, { row: { ...readCounter(tx) }, isChanged: false, isDeadChanged: false, loads: new Map() });
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
  if (inMemory === undefined) return;
  if (inMemory.isChanged) {
    inMemory.isChanged = false;
    write(tx, inMemory.row);
  }
  if (inMemory.isDeadChanged) {
    inMemory.isDeadChanged = false;
    tx.run(setDead, inMemory.row.dead);
  }
  if (inMemory.loads.size === 0) return;
  writeLoads(tx, inMemory.loads);
  inMemory.loads.clear();
}

const addLoad = change(
  "submitter_load.change",
  "insert into submitter_load (name, jobs) values (?, ?) on conflict (name) do update set jobs = jobs + excluded.jobs",
);
const removeIdle = change("submitter_load.remove-idle", "delete from submitter_load where name = ? and jobs <= 0");

function writeLoads(tx: Tx, loads: ReadonlyMap<string, number>): void {
  for (const [name, jobs] of loads) {
    if (jobs !== 0) tx.run(addLoad, name, jobs);
    if (jobs < 0) tx.run(removeIdle, name);
  }
}

function write(tx: Tx, row: Counter): void {
  tx.run(set, ...columns.map((column) => row[column]));
}

/** Gives what takes back all changes that are made to what is held from now on (S4). */
export function counterMark(tx: Tx): () => void {
  const inMemory = held.get(tx);
  if (inMemory === undefined) return () => {};
  const { row, isChanged, isDeadChanged, loads } = inMemory;
  const before = { row: { ...row }, isChanged, isDeadChanged, loads: new Map(loads) };
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

const setDead = change("counter.set-dead", "update counter set dead = ? where id = 1");

/** So many dead letters more, or fewer, at an entry of that level. An entry that was made before the raise and comes after it counts as well. */
export function countDead(tx: Tx, jobs: number, level: number): void {
  const before = readCounter(tx).dead;
  if (before !== null || level >= deadLevel) writeDead(tx, (before ?? 0) + jobs);
}

/** So many dead letters there are now. */
export function writeDead(tx: Tx, dead: number): void {
  const inMemory = held.get(tx);
  if (inMemory === undefined) return void tx.run(setDead, dead);
  inMemory.row.dead = dead;
  inMemory.isDeadChanged = true;
}

const setCountingTo = change("counter.set-counting", "update counter set counting = ? where id = 1");

/** See {@link Counter.counting}. */
export function setCounting(tx: Tx, counting: number | null): void {
  tx.run(setCountingTo, counting);
  const inMemory = held.get(tx);
  if (inMemory === undefined) return;
  inMemory.row.counting = counting;
  if (counting === null) inMemory.loads.clear();
}

/** So many unfinished jobs more of that submitter, or fewer. */
export function changeLoad(tx: Tx, name: string, jobs: number): void {
  const inMemory = held.get(tx);
  if (inMemory === undefined) return writeLoads(tx, new Map([[name, jobs]]));
  inMemory.loads.set(name, (inMemory.loads.get(name) ?? 0) + jobs);
}

/** By how much that submitter has more unfinished jobs than its row says: what this entry has changed so far. */
export function heldLoad(tx: ReadTx, name: string): number {
  return held.get(tx)?.loads.get(name) ?? 0;
}

/** An unfinished job of that submitter has ended. */
export function countEnded(tx: Tx, job: number, name: string): void {
  const { counting } = readCounter(tx);
  if (counting !== null && (counting === 0 || job < counting)) changeLoad(tx, name, -1);
}

/** Counts new jobs in; their ids are the run that begins at the counter's next_job. */
export function countSubmitted(tx: Tx, name: string, jobs: number, tasks: number): void {
  if (readCounter(tx).counting === 0) changeLoad(tx, name, jobs);
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
