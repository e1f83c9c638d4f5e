import type { NodeId } from "../../lib/ids.ts";
import type { ReadTx } from "../tx.ts";
import type { StoredJob } from "./job.ts";
import { hasOnlyTask, onlyTask } from "./only-task.ts";
import { singlesRunningOf, singlesRunningOn, type StoredTask, taskById, tasksWithRows } from "./task.ts";
import { type OpenUnit, taskInUnit, tasksInUnits, unitsOf, unitsOn } from "./unit.ts";

/** Tasks wherever they are kept: in rows of their own, in their job's (only-task.ts), or in a unit's (unit.ts). */

/** The present attempt of a task; undefined: it was never assigned, and has no row. */
export function presentTask(tx: ReadTx, job: StoredJob, task: number): StoredTask | undefined {
  if (hasOnlyTask(job)) return task === 0 ? onlyTask(job) : undefined;
  return taskById(tx, job.id, task) ?? (task < job.next_task ? taskInUnit(tx, job.id, task) : undefined);
}

/** All tasks of a job that {@link presentTask} gives, from `from` on, by task. */
export function* presentTasks(tx: ReadTx, job: StoredJob, from: number): Generator<StoredTask, void, undefined> {
  if (hasOnlyTask(job)) {
    if (from === 0) yield onlyTask(job);
    return;
  }
  const rows = tasksWithRows(tx, job.id, from);
  const others = tasksInUnits(tx, job.id, from);
  let [row, other] = [rows.next(), others.next()];
  while (row.done !== true || other.done !== true) {
    if (row.done !== true && (other.done === true || row.value.task < other.value.task)) {
      yield row.value;
      row = rows.next();
    } else if (other.done !== true) {
      yield other.value;
      other = others.next();
    }
  }
}

/** Running attempts of a node, in order of their fence. */
export function runningOn(tx: ReadTx, node: NodeId): StoredTask[] {
  const units = unitsOn(tx, node);
  const singles = singlesRunningOn(tx, node);
  if (units.length === 0) return singles;
  const all = [...singles, ...units.flatMap(runningIn)];
  return all.sort((a, b) => a.fence - b.fence || a.job - b.job || a.task - b.task);
}

/**
 * Running attempts of a job that may have begun, by task. Of a unit only as many run at once as it is wide, in order, and the rest waits at its node; which of
 * them do is known of those alone that have run for a while.
 */
export function begunOf(tx: ReadTx, job: number): StoredTask[] {
  const units = unitsOf(tx, job);
  const singles = singlesRunningOf(tx, job);
  return units.length === 0 ? singles : [...singles, ...units.flatMap(begunIn)].sort((a, b) => a.task - b.task);
}

function begunIn(unit: OpenUnit): StoredTask[] {
  let room = unit.row.width;
  return runningIn(unit).filter(({ started_at }) => (room -= 1) >= 0 || started_at !== null);
}

function runningIn(unit: OpenUnit): StoredTask[] {
  return Array.from(unit.running(), (task) => unit.taskAt(task)!);
}
