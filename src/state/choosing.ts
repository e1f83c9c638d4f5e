import { limits } from "../lib/limits.ts";
import type { RangeGatherer } from "../lib/ranges.ts";
import { isUnreachable, unreachableMark } from "../lib/unreachable.ts";
import { jobById } from "./tables/job.ts";
import { hasOnlyTask, onlyTask } from "./tables/only-task.ts";
import { sql, type ReadTx, type Statement } from "./tx.ts";
import type { TaskState } from "./types.ts";

/**
 * Which tasks of a finished job ended how. Finished jobs change no more, so this is read outside of apply, a bounded number of rows at a time, however many
 * tasks there are.
 */
export type EndedHow = keyof typeof between;

const failedStates: ReadonlySet<TaskState> = new Set(["failed", "timeout", "lost"]);

/** Such tasks that have rows of their own: what is in a unit without one has succeeded. */
const between = {
  failed: rowsWhere("state in ('failed', 'timeout', 'lost')"),
  unfinished: rowsWhere("state <> 'succeeded'"),
  unreachable: rowsWhere(`state = 'failed' and substr(reason, 1, ${unreachableMark.length}) = '${unreachableMark}'`),
};

function rowsWhere(term: string): Statement {
  return sql(`select task from task where job = ? and task >= ? and task < ? and ${term} order by task`);
}

function isChosen(how: EndedHow, task: { readonly state: TaskState; readonly reason: string | null }): boolean {
  if (how === "unreachable") return isUnreachable(task);
  return how === "failed" ? failedStates.has(task.state) : task.state !== "succeeded";
}

/**
 * Gathers the next of them, from task `from` on; gives where to go on, or undefined: these were the last. "not yet": the job has not ended, or there
 * is none.
 */
export function gatherEnded(
  tx: ReadTx,
  id: number,
  how: EndedHow,
  from: number,
  into: RangeGatherer,
): number | undefined | "not yet" {
  const job = jobById(tx, id);
  if (job === undefined || job.finished_at === null) return "not yet";
  if (hasOnlyTask(job)) {
    if (isChosen(how, onlyTask(job))) into.add(0);
    return undefined;
  }
  const end = Math.min(job.next_task, from + limits.chooseRows);
  for (const { task } of tx.all<{ task: number }>(between[how], id, from, end)) into.add(task);
  if (end < job.next_task) return end;
  // Tasks without a row ended together.
  if (job.next_task < job.tasks && isChosen(how, { state: job.rest, reason: job.reason }))
    into.addRun(job.next_task, job.tasks - 1);
  return undefined;
}
