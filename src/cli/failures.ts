import type { SkeinClient } from "../client/client.ts";
import type { JobView, TaskView } from "../state/types.ts";
import { foldNames } from "../lib/node-set-fold.ts";
import { howOf } from "./fold.ts";
import { nameOf } from "./fold-print.ts";
import { advanceOf } from "./progress.ts";
import { cut, printable } from "./text.ts";
import { failureText } from "./views.ts";

/** How tasks end that were to succeed and did not. */
export const failedStates = ["failed", "timeout", "lost"] as const;

/** Failures are told one by one, or message by message, up to here. */
const shownMax = 10;
/** So many are looked at for equal messages. */
const comparedMax = 10_000;
const namesWidth = 200;

/**
 * What went wrong, in lines for people: of a job about targets or nodes message by message, each with whom it befell, most first; of others task by task. What is not
 * shown is counted.
 */
export async function failureLines(client: SkeinClient, job: JobView): Promise<string[]> {
  const { failed: count } = advanceOf(job.counts);
  const isAboutMany = job.spec["targets"] !== undefined || job.spec["each_node"] !== undefined;
  const tasks = await failedTasks(client, job, isAboutMany ? comparedMax : shownMax);
  const lines = isAboutMany ? byMessage(tasks) : tasks.map(failureText);
  const told = isAboutMany ? tasks.length : Math.min(tasks.length, shownMax);
  const shown = lines.slice(0, shownMax);
  if (lines.length > shownMax || count > told) {
    const what =
      lines.length > shownMax && isAboutMany ? `${lines.length - shownMax} more messages` : `${count - told} more`;
    shown.push(`and ${what}: \`skein jobs tasks ${job.id} --state failed\``);
  }
  return shown;
}

function byMessage(tasks: readonly TaskView[]): string[] {
  const alike = new Map<string, TaskView[]>();
  for (const task of tasks) {
    const { state, exit_code: exitCode, signal, reason } = task;
    const how = howOf({ name: nameOf(task), state, exitCode, signal, reason });
    const known = alike.get(how);
    if (known === undefined) alike.set(how, [task]);
    else known.push(task);
  }
  return [...alike]
    .sort(([, a], [, b]) => b.length - a.length)
    .map(([how, of]) =>
      of.length === 1
        ? failureText(of[0]!)
        : printable(`${cut(foldNames(of.map(nameOf)), namesWidth)} (${of.length}): ${how}`),
    );
}

async function failedTasks(client: SkeinClient, job: JobView, max: number): Promise<TaskView[]> {
  const tasks: TaskView[] = [];
  for (const state of failedStates) {
    if (job.counts[state] === 0) continue;
    for await (const task of client.everyTask(job.id, { state, limit: Math.min(max, 1000) })) {
      if (tasks.length === max) return tasks;
      tasks.push(task);
    }
  }
  return tasks;
}
