import type { AttemptName } from "./types.ts";

/** One text per attempt: key of maps, name of its scratch directory, part of its processes' marker. */
export function attemptKey(name: AttemptName): string {
  return `${name.job}.${name.task}.${name.attempt}`;
}

/** The name alone, of something that carries it among other fields. */
export function nameOf(name: AttemptName): AttemptName {
  return { job: name.job, task: name.task, attempt: name.attempt };
}
