import { isTerminal } from "../lib/states.ts";
import { jobById } from "./tables/job.ts";
import { hasOnlyTask } from "./tables/only-task.ts";
import { rowsFrom } from "./tables/task.ts";
import { runningUnitsFrom } from "./tables/unit.ts";
import type { ReadTx } from "./tx.ts";

/** Where a reader of a job's output goes on. */
export interface OutputAhead {
  readonly task: number;
  /** That task has output, or may come to have some; else none before it does, and what comes is to be looked for from there, in another turn. */
  readonly isWorth: boolean;
}

/** Rows and units that one look goes through. */
const lookRows = 2000;

/**
 * The next task from `from` on whose output is worth a look: of ten million tasks few may have any, and they are not asked one by one. A reader that follows also waits for those that have not
 * ended. undefined: none is left.
 */
export function outputAhead(tx: ReadTx, id: number, from: number, follows: boolean): OutputAhead | undefined {
  const job = jobById(tx, id);
  if (job === undefined || from >= job.tasks) return undefined;
  if (hasOnlyTask(job)) return { task: from, isWorth: true };
  const rows = rowsFrom(tx, id, from, lookRows);
  const row = rows.find(({ state, attempt, log_bytes: bytes }) => {
    if (state === "queued") return follows || attempt > 0;
    return bytes !== null || state === "running" || (state === "lost" && attempt > 0);
  });
  const units = runningUnitsFrom(tx, id, from, lookRows);
  const running = units.units.flatMap((unit) => [...unit.runningRanges()]).find((one) => one.first + one.count > from);
  const waits = follows && job.rest === "queued" && !isTerminal(job.state);
  const fresh = waits && job.next_task < job.tasks ? Math.max(from, job.next_task) : Infinity;
  const found = Math.min(
    row?.task ?? Infinity,
    running === undefined ? Infinity : Math.max(from, running.first),
    fresh,
  );
  const seen = Math.min(rows.length < lookRows ? Infinity : rows.at(-1)!.task + 1, units.next ?? Infinity);
  if (found < Infinity && found <= seen) return { task: found, isWorth: true };
  return seen < Infinity ? { task: seen, isWorth: false } : undefined;
}
