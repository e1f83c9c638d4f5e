/** Tasks that leave signs of life in files, so that one can see afterwards how many attempts of a task were alive at once (J1, J2). */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { isTakenBack, type TaskAnswer } from "./mesh-jobs.ts";

/** Of their jobs. */
export const pulseName = "pulse";

/** Writes the host's uptime when it begins, every 100 ms or so while it lives, and "end" when it gets that far. No clock that is set goes into it. */
export function pulsed(directory: string, beats: number): string {
  const file = `${directory}/$SKEIN_JOB.$SKEIN_TASK.$SKEIN_ATTEMPT`;
  const beat = `read up idle < /proc/uptime; echo $up >> ${file}`;
  return `i=0; while [ $i -lt ${beats} ]; do ${beat}; sleep 0.1; i=$((i+1)); done; echo end >> ${file}`;
}

/** What one attempt has left. */
export interface Pulse {
  readonly job: number;
  readonly task: number;
  readonly attempt: number;
  /** The host's uptime at the first and the last sign of life, ms. */
  readonly first: number;
  readonly last: number;
  readonly ended: boolean;
}

/** Of all attempts, by `JOB.TASK`. */
export function pulsesIn(directory: string): ReadonlyMap<string, readonly Pulse[]> {
  const found = new Map<string, Pulse[]>();
  for (const name of readdirSync(directory)) {
    const [job, task, attempt] = name.split(".").map(Number);
    const lines = readFileSync(path.join(directory, name), "utf8").trim().split("\n");
    const beats = lines.filter((line) => /^\d+\.\d+$/.test(line)).map((line) => Math.round(Number(line) * 1000));
    if (beats.length === 0) continue;
    const one = {
      job: job!,
      task: task!,
      attempt: attempt!,
      first: beats[0]!,
      last: beats.at(-1)!,
      ended: lines.includes("end"),
    };
    const key = `${job}.${task}`;
    found.set(key, [...(found.get(key) ?? []), one]);
  }
  return found;
}

/** At most one attempt alive, none after a success, and every trace known to the state. Gives what is not so, in one line. */
export function pulseProblem(task: TaskAnswer, traces: readonly Pulse[], where: string): string | undefined {
  const earlier = task.attempts.filter((one) => one.attempt < task.attempt);
  const problems: string[] = [];
  if (task.state !== "succeeded") problems.push(`it is ${task.state}`);
  if (earlier.some((one) => one.state !== "lost" && !isTakenBack(one)))
    problems.push("it was tried again without having been lost");
  const unbegun = earlier.filter(isTakenBack).map((one) => one.attempt);
  if (traces.some((one) => unbegun.includes(one.attempt))) problems.push("an attempt ran that was taken back");
  const sorted = traces.toSorted((a, b) => a.attempt - b.attempt);
  if (sorted.some((one) => one.attempt > task.attempt)) problems.push("an attempt ran that the state does not know");
  if (sorted.at(-1)?.attempt !== task.attempt || !sorted.at(-1)!.ended) problems.push("its last attempt left no end");
  sorted.slice(1).forEach((later, at) => {
    const before = sorted[at]!;
    if (later.first < before.last) {
      problems.push(
        `attempt ${later.attempt} began ${before.last - later.first} ms before the last sign of life of attempt ${before.attempt}`,
      );
    }
  });
  return problems.length === 0 ? undefined : `${where}: ${problems.join("; ")} ${JSON.stringify({ task, sorted })}`;
}
