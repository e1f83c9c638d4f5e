import { limits } from "../lib/limits.ts";
import type { RangeGatherer } from "../lib/ranges.ts";
import { jobById } from "./tables/job.ts";
import { hasOnlyTask, onlyTask } from "./tables/only-task.ts";
import { sql, type ReadTx } from "./tx.ts";
import type { TaskState } from "./types.ts";

/**
 * Which tasks of a finished job ended how. Finished jobs change no more, so this is read outside of apply, a bounded number of rows at a time, however many
 * tasks there are.
 */
export type EndedHow = "failed" | "unfinished";

const failedStates: ReadonlySet<TaskState> = new Set(["failed", "timeout", "lost"]);

const failedBetween = sql(
  "select task from task where job = ? and task >= ? and task < ? and state in ('failed', 'timeout', 'lost') order by task",
);
const unfinishedBetween = sql(
  "select task from task where job = ? and task >= ? and task < ? and state <> 'succeeded' order by task",
);

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
  const isChosen = (state: TaskState): boolean => (how === "failed" ? failedStates.has(state) : state !== "succeeded");
  if (hasOnlyTask(job)) {
    if (isChosen(onlyTask(job).state)) into.add(0);
    return undefined;
  }
  const end = Math.min(job.next_task, from + limits.chooseRows);
  const statement = how === "failed" ? failedBetween : unfinishedBetween;
  for (const { task } of tx.all<{ task: number }>(statement, id, from, end)) into.add(task);
  if (end < job.next_task) return end;
  // Tasks without a row ended together.
  if (job.next_task < job.tasks && isChosen(job.rest)) into.addRun(job.next_task, job.tasks - 1);
  return undefined;
}
