import type { NodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type SqlValue, type Tx } from "../tx.ts";
import type { TaskState } from "../types.ts";

/** A task's row: it stands for the newest attempt. While it waits for the next one, `node` is where the last one ran. */
export interface StoredTask {
  readonly job: number;
  readonly task: number;
  /** The first task of the unit that it is in (unit.ts): it has no row. */
  readonly unit?: number;
  readonly state: TaskState;
  readonly attempt: number;
  readonly node: NodeId | null;
  /** The only node that may run it (each_node), and that node's name. */
  readonly pin: NodeId | null;
  readonly target: string | null;
  readonly fence: number;
  /** Retries taken that count in retries.max, and those because a node was lost. */
  readonly tries: number;
  readonly losses: number;
  readonly not_before: number;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly reason: string | null;
  readonly log_bytes: number | null;
  readonly log_sha256: string | null;
  readonly tail_dropped: number;
  /** Bytes of the tail that is stored. */
  readonly tail_size: number;
}

const columns = `job, task, state, attempt, node, pin, target, fence, tries, losses, not_before, started_at, finished_at,
  exit_code, signal, reason, log_bytes, log_sha256, tail_dropped, ifnull(length(tail), 0) as tail_size`;

const select = sql(`select ${columns} from task where job = ? and task = ?`);
/** The same of a job whose only task runs: it has no row of its own (only-task.ts). */
const onlyColumns = `id as job, 0 as task, 'running' as state, 1 as attempt, only_node as node, null as pin, null as target,
  only_fence as fence, 0 as tries, 0 as losses, 0 as not_before, only_started_at as started_at, null as finished_at, null as exit_code,
  null as signal, null as reason, null as log_bytes, null as log_sha256, 0 as tail_dropped, 0 as tail_size`;
const selectRunningOn = sql(
  `select ${columns} from task where state = 'running' and node = ?
   union all select ${onlyColumns} from job where running = 1 and only_node = ? order by fence, job, task`,
);
const selectRunningOf = sql(
  `select ${columns} from task where state = 'running' and node in (select id from node) and job = ?
   union all select ${onlyColumns} from job where running = 1 and only_node is not null and id = ? order by task`,
);
const selectWaitingOf = sql(`select ${columns} from task where state = 'queued' and job = ? order by task limit ?`);
const selectPinnedTo = sql(`select ${columns} from task where state = 'queued' and pin = ? order by job, task limit ?`);

/** undefined: the task has no row (never assigned, or an only task), or no such job. */
export function taskById(tx: ReadTx, job: number, task: number): StoredTask | undefined {
  return tx.get<StoredTask>(select, job, task);
}

/** Running attempts of a node that are in no unit, in order of their fence. */
export function singlesRunningOn(tx: ReadTx, node: NodeId): StoredTask[] {
  return tx.all<StoredTask>(selectRunningOn, node, node);
}

/** Running attempts of a job that are in no unit, by task. */
export function singlesRunningOf(tx: ReadTx, job: number): StoredTask[] {
  return tx.all<StoredTask>(selectRunningOf, job, job);
}

const selectFrom = sql(`select ${columns} from task where job = ? and task >= ? order by task limit ?`);

/** All tasks of a job that have rows, from `from` on, by task. */
export function* tasksWithRows(tx: ReadTx, job: number, from: number): Generator<StoredTask, void, undefined> {
  for (let next = from; ;) {
    const rows = tx.all<StoredTask>(selectFrom, job, next, pageRows);
    yield* rows;
    if (rows.length < pageRows) return;
    next = rows.at(-1)!.task + 1;
  }
}

/** The first so many of them. */
export function rowsFrom(tx: ReadTx, job: number, from: number, most: number): StoredTask[] {
  return tx.all<StoredTask>(selectFrom, job, from, most);
}

const pageRows = 1000;

/** Tasks of a job that have a row and are queued (retries and pinned ones), by task, so many at most. */
export function waitingOf(tx: ReadTx, job: number, most: number): StoredTask[] {
  return tx.all<StoredTask>(selectWaitingOf, job, most);
}

/** Queued tasks that only this node may run, so many at most. */
export function waitingPinnedTo(tx: ReadTx, node: NodeId, most = Number.MAX_SAFE_INTEGER): StoredTask[] {
  return tx.all<StoredTask>(selectPinnedTo, node, most);
}

const insertRunning = change(
  "task.add-running",
  "insert into task (job, task, state, attempt, node, fence) values (?, ?, 'running', 1, ?, ?)",
);
const insertWaiting = change(
  "task.add-waiting",
  "insert into task (job, task, state, attempt, pin, target) values (?, ?, 'queued', 0, ?, ?)",
);
const assign = change(
  "task.assign",
  `update task set state = 'running', attempt = ?, node = ?, fence = ?, not_before = 0, started_at = null, finished_at = null,
   exit_code = null, signal = null, reason = null, log_bytes = null, log_sha256 = null where job = ? and task = ?`,
);

/** The first attempt of a task that had no row. */
export function insertRunningTask(tx: Tx, job: number, task: number, node: NodeId, fence: number): void {
  tx.run(insertRunning, job, task, node, fence);
}

/** A queued task with a row of its own: pinned, or passed over by a plan. */
export function insertWaitingTask(tx: Tx, job: number, task: number, pin: NodeId | null, target: string | null): void {
  tx.run(insertWaiting, job, task, pin, target);
}

/** The next attempt of a queued task that has a row; what the last one left is cleared. */
export function assignTask(tx: Tx, job: number, task: number, attempt: number, node: NodeId, fence: number): void {
  tx.run(assign, attempt, node, fence, job, task);
}

const start = change("task.start", "update task set started_at = ? where job = ? and task = ?");

/** The attempt began to run at `at`, by its executor's clock, epoch ms. */
export function startTask(tx: Tx, job: number, task: number, at: number): void {
  tx.run(start, at, job, task);
}

/** How an attempt went, as it is written to a task's row and to the history. */
export interface Ended {
  readonly state: TaskState;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly reason: string | null;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly logBytes: number | null;
  readonly logSha256: string | null;
}

const finish = change(
  "task.finish",
  `update task set state = ?, exit_code = ?, signal = ?, reason = ?, started_at = ?, finished_at = ?, log_bytes = ?, log_sha256 = ?,
   tail_dropped = ?, tail = ? where job = ? and task = ?`,
);
const endWaiting = change(
  "task.end-waiting",
  "update task set state = ?, reason = ?, finished_at = ?, not_before = 0 where job = ? and task = ?",
);

/** The task's end. `tail` null: there was none, or it was dropped. */
export function finishTask(
  tx: Tx,
  job: number,
  task: number,
  ended: Ended,
  tail: Uint8Array | null,
  tailDropped: boolean,
): void {
  const { state, exitCode, signal, reason, startedAt, finishedAt, logBytes, logSha256 } = ended;
  tx.run(
    finish,
    state,
    exitCode,
    signal,
    reason,
    startedAt,
    finishedAt,
    logBytes,
    logSha256,
    tailDropped ? 1 : 0,
    tail,
    job,
    task,
  );
}

/** A queued task ends without another attempt. */
export function endWaitingTask(
  tx: Tx,
  job: number,
  task: number,
  state: TaskState,
  reason: string | null,
  at: number,
): void {
  tx.run(endWaiting, state, reason, at, job, task);
}

const requeue = change(
  "task.requeue",
  `update task set state = 'queued', tries = ?, losses = ?, not_before = ?, started_at = null, tail_dropped = ?, tail = ?
   where job = ? and task = ?`,
);
const insertAttempt = change(
  "attempt.add",
  `insert into attempt (job, task, attempt, node, state, started_at, finished_at, exit_code, signal, reason, log_bytes, log_sha256)
   values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);

/** The attempt goes to the history and the task waits again. */
export function requeueTask(
  tx: Tx,
  row: StoredTask,
  ended: Ended,
  next: {
    readonly tries: number;
    readonly losses: number;
    readonly notBefore: number;
    readonly tail: Uint8Array | null;
    readonly tailDropped: boolean;
  },
): void {
  const { job, task, attempt, node } = row;
  const { state, exitCode, signal, reason, startedAt, finishedAt, logBytes, logSha256 } = ended;
  const history: SqlValue[] = [startedAt, finishedAt, exitCode, signal, reason, logBytes, logSha256];
  tx.run(insertAttempt, job, task, attempt, node, state, ...history);
  tx.run(requeue, next.tries, next.losses, next.notBefore, next.tailDropped ? 1 : 0, next.tail, job, task);
}

const hasten = change("task.hasten", "update task set not_before = max(1, not_before - ?) where not_before > 0");

/** Tasks that wait for their next try are due so much earlier. */
export function hastenWaiting(tx: Tx, ms: number): void {
  tx.run(hasten, ms);
}
