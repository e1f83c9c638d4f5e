import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { type MadeJob, type Skip, type Step, type StepRefusal, takeStep, type Totals, writeTotals } from "../firing.ts";
import { scheduleScope } from "../tables/schedule-scope.ts";
import { scheduleById } from "../tables/schedule.ts";
import { jobShape } from "./job-submit.ts";
import { count } from "./shapes.ts";
import { targetLists } from "./target-schema.ts";

interface ScheduleStep {
  /** What concerns all schedules, as the evaluator knew it. */
  readonly scope: number;
  readonly steps: readonly Step[];
}

/** The job of a fire, as it was made before the log; or why it could not be. */
export const madeJobShape: z.ZodType<MadeJob, unknown> = z.union([
  z.strictObject({
    job: jobShape,
    lists: targetLists.exactOptional(),
    template: z.string().max(300).exactOptional(),
  }),
  z.strictObject({ why: z.string().max(4_000) }),
]) as never;

const skipShape: z.ZodType<Skip, unknown> = z
  .tuple([z.enum(["missed", "paused", "window"]), count, count, z.int()])
  .refine(([, first, last, instants]) => first <= last && instants !== 0) as never;

const stepShape = z
  .tuple([
    count,
    count,
    count,
    count,
    count.nullable(),
    z.array(count).max(limits.firesPerStep),
    z.array(skipShape).max(limits.skipsPerStep),
    z.array(madeJobShape).optional(),
  ])
  .refine((step) => isInOrder(step as unknown as Step));

/** Each of its instants once, in order, behind where it starts and not behind where it ends (C1). */
export function isInOrder([, , from, to, check, fires, skips, made]: Step): boolean {
  const spans = [...fires.map((at) => [at, at] as const), ...skips.map(([, first, last]) => [first, last] as const)];
  if (spans.length > 1) spans.sort(([one], [other]) => one - other);
  let reached = from;
  for (const [first, last] of spans) {
    if (first <= reached || last < first) return false;
    reached = last;
  }
  const isAhead = check === null || check > from;
  return from <= to && reached <= to && isAhead && (made === undefined || made.length === fires.length);
}

/** So many jobs it makes at most: what is said not to become one needs no room. */
export function jobsOf([, , , , , fires, , made = []]: Step): number {
  return fires.length - made.filter((one) => "why" in one).length;
}

/** So many lines of history it writes at most. */
export function linesOf([, , , , , fires, skips]: Step): number {
  return fires.length + skips.length;
}

const shape = z.strictObject({
  scope: count,
  steps: z
    .array(stepShape)
    .min(1)
    .max(limits.stepsPerCommand)
    .refine(
      (steps) => steps.reduce((lines, step) => lines + linesOf(step as unknown as Step), 0) <= limits.linesPerCommand,
    ),
});

export const scheduleStep = command<ScheduleStep>()({
  name: "schedule.step",
  tag: 124,
  since: 3,
  right: "internal",
  doc: "Moves schedules on (C1): the jobs of instants that have come, what is recorded of those without one, and the watermark. A step that was worked out from what is not so any more is refused, and the others go on.",
  input: shape as z.ZodType<ScheduleStep, unknown>,
  payload: shape as z.ZodType<ScheduleStep, unknown>,
  prepare: (input) => input,
  adds: ({ steps }) => steps.reduce((jobs, step) => jobs + jobsOf(step), 0),
  addsFor: ({ steps }, tx) => {
    const jobs = new Map<string, number>();
    for (const step of steps) {
      const row = scheduleById(tx, step[0]);
      if (row !== undefined) jobs.set(row.set_by, jobsOf(step) + (jobs.get(row.set_by) ?? 0));
    }
    return jobs;
  },
  apply(tx, { scope, steps }, context) {
    const isOfOtherScope = scheduleScope(tx).scope !== scope;
    const totals: Totals = new Map();
    const refused: [position: number, why: StepRefusal][] = [];
    for (const [position, step] of steps.entries()) {
      const why = isOfOtherScope ? "stale" : takeStep(tx, step, totals, context);
      if (why !== undefined) refused.push([position, why]);
    }
    writeTotals(tx, totals);
    return accept({ refused, stampedAt: context.stampedAt });
  },
});
