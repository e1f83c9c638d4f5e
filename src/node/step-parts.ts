import { limits } from "../lib/limits.ts";
import { jobsOf, linesOf } from "../state/commands/schedule-step.ts";
import type { MadeJob, Step } from "../state/firing.ts";

/** How steps of schedules are gathered into commands, and cut to what there is room for. */

const whyLength = 2_000;

/** Gathers steps until one more would be too much for a command. */
export class StepBatch {
  #steps: Step[] = [];
  #lines = 0;
  #bytes = 0;

  /** Gives what is to be proposed: those of before, where the step does not fit beside them, or all of them where they are enough; otherwise none. */
  add(step: Step): readonly Step[] {
    const [lines, bytes] = [linesOf(step), bytesOf(step)];
    const isFull = this.#lines + lines > limits.linesPerCommand || this.#bytes + bytes > limits.entryBatchBytes;
    const before = isFull ? this.take() : [];
    this.#steps.push(step);
    this.#lines += lines;
    this.#bytes += bytes;
    return before.length === 0 && this.#steps.length === limits.stepsPerCommand ? this.take() : before;
  }

  /** All that was gathered and not given yet. */
  take(): readonly Step[] {
    const steps = this.#steps;
    this.#steps = [];
    this.#lines = 0;
    this.#bytes = 0;
    return steps;
  }
}

/** What weighs in a step: the jobs that came with it. */
function bytesOf(step: Step): number {
  let bytes = 100 + 30 * linesOf(step);
  for (const made of step[7] ?? []) bytes += bytesOfMade(made);
  return bytes;
}

/** The same of one job. */
export function bytesOfMade(made: MadeJob): number {
  if ("why" in made) return made.why.length;
  return made.job[2].length + (made.lists ?? []).reduce((sum, [, names]) => sum + names.length, 0);
}

/** Why there is no job, as long as the history keeps it: a longer one has the whole command refused, with the steps of other schedules. */
export function noJob(why: string): { readonly why: string } {
  return { why: why.slice(0, whyLength) };
}

/** Its first fires and what comes before them; the rest follows in another step, which is due by `now`. */
export function firstFires(step: Step, count: number, now: number): Step {
  const [id, revision, from, , , fires, skips, made] = step;
  if (count >= fires.length) return step;
  const to = fires[count - 1]!;
  const check = Math.max(now, to + 1);
  const before = skips.filter(([, , last]) => last <= to);
  const short = [id, revision, from, to, check, fires.slice(0, count), before] as const;
  return made === undefined ? short : [...short, made.slice(0, count)];
}

/** It was cut, or was worked out as a part: at `now` the rest of it is due already. */
export function hasRest([, , , , check]: Step, now: number): boolean {
  return check !== null && check <= now;
}

/** About half of what these ask for: the first ones, or of one alone its first fires; undefined: it is one fire. */
export function firstHalf(steps: readonly Step[], now: number): readonly Step[] | undefined {
  if (steps.length > 1) return steps.slice(0, Math.ceil(steps.length / 2));
  const [step] = steps;
  const fires = step?.[5].length ?? 0;
  return step === undefined || fires < 2 ? undefined : [firstFires(step, Math.ceil(fires / 2), now)];
}

/** The same step, whose fires make no jobs: each is recorded with the reason why, unless `overlap` or `limit` is one. */
export function unmade([id, revision, from, to, check, fires, skips, made]: Step, why: string): Step {
  const whys = fires.map((_, at) => {
    const one = made?.[at];
    return one !== undefined && "why" in one ? one : noJob(why);
  });
  return [id, revision, from, to, check, fires, skips, whys];
}

/** Jobs that all of these ask for. */
export function jobsOfAll(steps: readonly Step[]): number {
  return steps.reduce((jobs, step) => jobs + jobsOf(step), 0);
}
