import { jobId, nodeId, type JobId, type NodeId } from "../../lib/ids.ts";
import { mergeRuns, packRuns, runAt, runningIn, type TaskRun, unpackRuns } from "../../lib/task-runs.ts";
import { assert } from "../../lib/assert.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import { insertRunningTask, type StoredTask } from "./task.ts";

/**
 * Tasks of an array that were given to a node together: one row for all of them, for as long as they do not differ. It holds the first attempts of tasks
 * [first, first + count). When some have started or succeeded, with nothing to tell of it but when, that is packed into `runs`
 * (lib/task-runs.ts), a few bytes for a task. A task that comes to anything else (it failed, was lost, is tried again, has output, a reason) goes
 * to a row of its own and is "apart" from then on: of it the unit says nothing more. A unit whose tasks are all apart goes.
 *
 *   task `t` of a job = its row in `task`, else what its unit says, else (t >= job.next_task) what the job's rest is
 */
export interface StoredUnit {
  readonly job: number;
  readonly first: number;
  readonly count: number;
  readonly node: NodeId;
  /** Index of the entry that gave it away. */
  readonly fence: number;
  /** How many of its tasks run at once: the room that it takes. */
  readonly width: number;
  /** Tasks that are not known to have ended. */
  running: number;
  runs: Uint8Array | null;
}

const columns = "job, first, count, node, fence, width, running, runs";
const selectAround = sql(`select ${columns} from unit where job = ? and first <= ? order by first desc limit 1`);
const selectNext = sql(`select ${columns} from unit where job = ? and first > ? order by first limit 1`);
const selectFrom = sql(`select ${columns} from unit where job = ? and first > ? order by first limit ?`);
const selectRunningOn = sql(`select ${columns} from unit where running > 0 and node = ? order by fence, job, first`);
const selectRunningOf = sql(
  `select ${columns} from unit where running > 0 and node in (select id from node) and job = ? order by first`,
);

/** Units of a node of which something runs, in order of their fences. */
export function unitsOn(tx: ReadTx, node: NodeId): OpenUnit[] {
  return tx.all<StoredUnit>(selectRunningOn, node).map((row) => new OpenUnit(row));
}

/** Units of a job of which something runs, by task. */
export function unitsOf(tx: ReadTx, job: number): OpenUnit[] {
  return tx.all<StoredUnit>(selectRunningOf, job).map((row) => new OpenUnit(row));
}

/** The task as its unit has it; undefined: it is in none, or has a row of its own. */
export function taskInUnit(tx: ReadTx, job: number, task: number): StoredTask | undefined {
  return unitWith(tx, job, task)?.taskAt(task);
}

/** The unit that the task is in, apart or not. */
export function unitWith(tx: ReadTx, job: number, task: number): OpenUnit | undefined {
  const row = tx.get<StoredUnit>(selectAround, job, task);
  return row === undefined || task >= row.first + row.count ? undefined : new OpenUnit(row);
}

/** All tasks of a job that are in units, from `from` on, by task; those that are apart are left out. */
export function* tasksInUnits(tx: ReadTx, job: number, from: number): Generator<StoredTask, void, undefined> {
  const after = (first: number): OpenUnit | undefined => {
    const row = tx.get<StoredUnit>(selectNext, job, first);
    return row === undefined ? undefined : new OpenUnit(row);
  };
  for (let unit = unitWith(tx, job, from) ?? after(from); unit !== undefined; unit = after(unit.first)) {
    const end = unit.first + unit.row.count;
    for (let task = Math.max(from, unit.first); task < end; task++) {
      const stored = unit.taskAt(task);
      if (stored !== undefined) yield stored;
    }
  }
}

/** Of the first `most` units of a job with tasks from `from` on: those in which some run. `next`: the first task that was not looked at. */
export function runningUnitsFrom(
  tx: ReadTx,
  job: number,
  from: number,
  most: number,
): { readonly units: readonly OpenUnit[]; readonly next: number | undefined } {
  const around = unitWith(tx, job, from);
  const rows = tx.all<StoredUnit>(selectFrom, job, from, most);
  const last = rows.at(-1);
  const next = rows.length < most || last === undefined ? undefined : last.first + last.count;
  const units = rows.filter(({ running }) => running > 0).map((row) => new OpenUnit(row));
  return { units: around === undefined || around.row.running === 0 ? units : [around, ...units], next };
}

/** A unit with what is known of its tasks. */
export class OpenUnit {
  readonly row: StoredUnit;
  readonly job: JobId;
  #runs: readonly TaskRun[] | undefined;
  isChanged = false;

  constructor(row: StoredUnit) {
    this.row = row;
    this.job = jobId(row.job);
  }

  get first(): number {
    return this.row.first;
  }

  get runs(): readonly TaskRun[] {
    if (this.#runs === undefined) {
      const runs = this.row.runs === null ? [] : unpackRuns(this.row.runs);
      assert(runs !== undefined, "the runs of a unit were written by this module");
      this.#runs = runs;
    }
    return this.#runs;
  }

  has(task: number): boolean {
    return task >= this.row.first && task < this.row.first + this.row.count;
  }

  /** The numbers of its tasks that run, in order. */
  *running(): Generator<number, void, undefined> {
    for (const { first, count } of this.runningRanges())
      for (let task = first; task < first + count; task++) yield task;
  }

  /** The same as ranges. */
  *runningRanges(): Generator<{ readonly first: number; readonly count: number }, void, undefined> {
    const { first, count } = this.row;
    for (const range of runningIn(this.runs, count)) yield { first: first + range.first, count: range.count };
  }

  /** undefined: it has a row of its own, or is in another unit. */
  taskAt(task: number): StoredTask | undefined {
    if (!this.has(task)) return undefined;
    const { job, first, node, fence } = this.row;
    const run = runAt(this.runs, task - first);
    if (run?.kind === "apart") return undefined;
    const isEnded = run?.kind === "ended";
    return {
      job,
      task,
      unit: first,
      state: isEnded ? "succeeded" : "running",
      attempt: 1,
      node: nodeId(node),
      pin: null,
      target: null,
      fence,
      tries: 0,
      losses: 0,
      not_before: 0,
      started_at: run?.startedAt ?? null,
      finished_at: isEnded ? run.finishedAt : null,
      exit_code: isEnded ? 0 : null,
      signal: null,
      reason: null,
      log_bytes: null,
      log_sha256: null,
      tail_dropped: 0,
      tail_size: 0,
    };
  }

  /** Something else is known of these of its tasks, all of which run. */
  tell(runs: readonly TaskRun[]): void {
    this.#runs = mergeRuns(this.runs, runs);
    for (const { kind, count } of runs) if (kind !== "started") this.row.running -= count;
    this.isChanged = true;
  }
}

const insert = change(
  "unit.add",
  "insert into unit (job, first, count, node, fence, width, running) values (?, ?, ?, ?, ?, ?, ?)",
);

/** The first attempts of tasks that nothing was known of. */
export function insertUnit(
  tx: Tx,
  {
    job,
    first,
    count,
    width,
  }: { readonly job: number; readonly first: number; readonly count: number; readonly width: number },
  node: NodeId,
  fence: number,
): void {
  tx.run(insert, job, first, count, node, fence, width, count);
}

const write = change("unit.write", "update unit set running = ?, runs = ? where job = ? and first = ?");
const remove = change("unit.remove", "delete from unit where job = ? and first = ?");

/** The units that one command works on: each read once, and written once. */
export class UnitBook {
  readonly #tx: Tx;
  readonly #units = new Map<number, OpenUnit[]>();

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  /** The unit that the task is in. */
  around(job: number, task: number): OpenUnit | undefined {
    let known = this.#units.get(job);
    if (known === undefined) this.#units.set(job, (known = []));
    let unit = known.find((one) => one.has(task));
    if (unit === undefined) {
      unit = unitWith(this.#tx, job, task);
      if (unit !== undefined) known.push(unit);
    }
    return unit;
  }

  /** The task has come to something that its unit cannot say: what was its first attempt gets a row. */
  setApart({ job, task, fence, node }: StoredTask): void {
    const unit = this.around(job, task);
    assert(unit !== undefined && node !== null, "a task that has no row is in a unit");
    unit.tell([{ first: task - unit.first, count: 1, kind: "apart", startedAt: 0, finishedAt: 0 }]);
    insertRunningTask(this.#tx, job, task, node, fence);
  }

  /** The task began to run, by its executor's clock, epoch ms. */
  start({ job, task }: StoredTask, startedAt: number): void {
    const unit = this.around(job, task);
    assert(unit !== undefined, "a task that has no row is in a unit");
    unit.tell([{ first: task - unit.first, count: 1, kind: "started", startedAt, finishedAt: 0 }]);
  }

  /** Writes what was changed. */
  write(): void {
    for (const units of this.#units.values()) {
      for (const unit of units) {
        if (!unit.isChanged) continue;
        unit.isChanged = false;
        const { job, first, count, running } = unit.row;
        const [run] = unit.runs;
        if (run?.kind === "apart" && run.count === count) this.#tx.run(remove, job, first);
        else this.#tx.run(write, running, packRuns(unit.runs), job, first);
      }
    }
  }
}

const removeOfJob = change("unit.remove-of-job", "delete from unit where job = ?");

/** The job is gone. */
export function removeUnits(tx: Tx, job: number): void {
  tx.run(removeOfJob, job);
}

const sweep = change(
  "unit.sweep",
  "delete from unit where job = ? and first in (select first from unit where job = ? order by first limit ?)",
);

/** Removes so many units of a job that is gone; gives how many they were. */
export function sweepUnits(tx: Tx, job: number, limit: number): number {
  return tx.run(sweep, job, job, limit);
}
