import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * Running attempts that were given more time. A row is of use while its attempt runs, and is not looked for at an attempt's end, which happens to
 * every task, while extending happens to few: rows of jobs that run no more are swept out by the next extension.
 */
export interface ExtensionRow {
  readonly job: number;
  readonly task: number;
  readonly attempt: number;
  /** What was added to its timeout, all in all. */
  readonly ms: number;
}

const select = sql("select job, task, attempt, ms from task_extension where job = ? and task = ?");
const selectOn = sql(
  `select e.job, e.task, e.attempt, e.ms from task_extension e join task t on t.job = e.job and t.task = e.task
   where t.state = 'running' and t.node = ? and t.attempt = e.attempt
   union all select e.job, e.task, e.attempt, e.ms from task_extension e join job j on j.id = e.job
   where j.running = 1 and j.only_node = ? and e.attempt = 1`,
);
const selectInUnits = sql(
  `select e.job, e.task, e.attempt, e.ms from task_extension e join unit u on u.job = e.job and e.task between u.first and u.first + u.count - 1
   where u.running > 0 and u.node = ? and e.attempt = 1`,
);
const count = sql("select count(*) as extensions from task_extension");
const write = change(
  "task_extension.set",
  "insert or replace into task_extension (job, task, attempt, ms) values (?, ?, ?, ?)",
);
const sweep = change(
  "task_extension.sweep",
  "delete from task_extension where not exists (select 1 from job where job.id = task_extension.job and job.running > 0)",
);

/** What was added to the timeout of that attempt. */
export function extensionOf(tx: ReadTx, job: number, task: number, attempt: number): number {
  const row = tx.get<ExtensionRow>(select, job, task);
  return row?.attempt === attempt ? row.ms : 0;
}

/** Those of tasks of units of which something runs on the node; some of them may have ended, or be apart. */
export function extensionsInUnits(tx: ReadTx, node: number): ExtensionRow[] {
  return tx.all<ExtensionRow>(selectInUnits, node);
}

/** Those of attempts that run on the node and are in no unit. */
export function extensionsOn(tx: ReadTx, node: number): ExtensionRow[] {
  return tx.all<ExtensionRow>(selectOn, node, node);
}

/** How many rows there are. */
export function countExtensions(tx: ReadTx): number {
  return tx.get<{ extensions: number }>(count)?.extensions ?? 0;
}

/** In the place of what was there for the task. */
export function setExtension(tx: Tx, { job, task, attempt, ms }: ExtensionRow): void {
  tx.run(write, job, task, attempt, ms);
}

/** Forgets those of jobs of which nothing runs any more. */
export function sweepExtensions(tx: Tx): void {
  if (countExtensions(tx) > 0) tx.run(sweep);
}
