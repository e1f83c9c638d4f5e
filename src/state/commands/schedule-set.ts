import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, type Problem, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { changedTooOften, changesAt, formerAt } from "../rescheduling.ts";
import { passedOf, missingNeeds } from "../schedule-needs.ts";
import { type Definition, definitionOf } from "../schedules.ts";
import { addTotal, scheduleTotals } from "../tables/schedule-fire.ts";
import { takeScheduleId } from "../tables/schedule-scope.ts";
import { scheduleByName, type StoredSchedule, writeCalendarsOf, writeSchedule } from "../tables/schedule.ts";
import type { ReadTx } from "../tx.ts";
import { isDefinition, scheduleInput, scheduleName } from "./schedule-schema.ts";

interface ScheduleSet {
  /** [name, definition as JSON, paused; null: as it is] */
  readonly schedules: readonly (readonly [name: string, definition: string, paused: boolean | null])[];
  /** None of them may be there yet. */
  readonly onlyNew: boolean;
}

export const scheduleSet = command<ScheduleSet>()({
  name: "schedule.set",
  tag: 120,
  since: 3,
  right: "jobs:write",
  doc: "Sets schedules, all or none: new ones, or what is other about those that are there; the same again changes nothing.",
  input: z.strictObject({
    schedules: z
      .array(scheduleInput)
      .min(1, "needs at least one schedule")
      .max(limits.schedulesPerRequest, `at most ${limits.schedulesPerRequest} schedules a request`)
      .superRefine((schedules, context) => {
        const seen = new Set<string>();
        for (const [at, one] of schedules.entries()) {
          // One that could not be read has been told of.
          if (typeof one !== "object" || one === null) continue;
          if (seen.has(one.name))
            context.addIssue({ code: "custom", path: [at, "name"], message: "is twice in this request" });
          seen.add(one.name);
          if (JSON.stringify(one.definition).length > limits.scheduleBytes)
            context.addIssue({
              code: "custom",
              path: [at],
              message: `must not be longer than ${limits.scheduleBytes} characters`,
            });
        }
      }),
    only_new: z.boolean().optional(),
  }),
  payload: z.strictObject({
    schedules: z
      .array(z.tuple([scheduleName, z.string().max(limits.scheduleBytes).refine(isDefinition), z.boolean().nullable()]))
      .min(1)
      .max(limits.schedulesPerRequest),
    onlyNew: z.boolean(),
  }),
  answer: z.object({
    schedules: z.array(z.object({ name: z.string(), id: z.int(), revision: z.int(), changed: z.boolean() })),
  }),
  prepare: ({ schedules, only_new: onlyNew }) => ({
    schedules: schedules.map(
      ({ name, definition, paused }) => [name, JSON.stringify(definition), paused ?? null] as const,
    ),
    onlyNew: onlyNew === true,
  }),
  apply(tx, { schedules, onlyNew }, context) {
    const now = changesAt(tx, context);
    const before = schedules.map(([name]) => scheduleByName(tx, name));
    const taken = before.flatMap((row, at) =>
      onlyNew && row !== undefined
        ? [{ path: `schedules[${at}].name`, message: `there is a schedule ${row.name} already` }]
        : [],
    );
    if (taken.length > 0)
      return refuse("conflict", `${taken[0]!.message}: change it with --replace, or take another name`, {
        details: taken,
      });
    const isNew = before.filter((row) => row === undefined).length;
    if (isNew > 0 && (scheduleTotals(tx).get("schedules") ?? 0) + isNew > limits.schedules)
      return refuse("conflict", `there may be ${limits.schedules} schedules: remove some first`);
    const missing = schedules.flatMap(([, text], at) => {
      // The same again changes nothing, also where its time has passed or what it names is gone.
      const problems = before[at]?.definition === text ? [] : problemsOf(tx, JSON.parse(text) as Definition, now);
      return problems.map(({ path, message }) => ({ path: `schedules[${at}].${path}`, message }));
    });
    if (missing.length > 0) return refuse("invalid", missing[0]!.message, { details: missing });
    const formers = schedules.map(([, text], at) => {
      const row = before[at];
      return row === undefined || hasEnded(row) ? null : formerAt(row, now, (JSON.parse(text) as Definition).rules);
    });
    const often = formers.indexOf(undefined);
    if (often !== -1) return { ok: false, why: changedTooOften(before[often]!) };
    const set = schedules.map(([name, text, paused], at) => {
      const row = before[at];
      const isPaused = paused === null ? (row?.paused ?? 0) : Number(paused);
      if (row?.definition === text && row.paused === isPaused)
        return { name, id: row.id, revision: row.revision, changed: false };
      const definition = JSON.parse(text) as Definition;
      const next: StoredSchedule = {
        ...(row ?? {
          id: takeScheduleId(tx),
          fires: 0,
          fired_at: null,
          job: null,
          last_state: null,
          failing: 0,
        }),
        // What would have come while it had ended is not missed.
        watermark: row === undefined ? now : hasEnded(row) ? Math.max(row.watermark, now) : row.watermark,
        name,
        revision: context.index,
        definition: text,
        former: formers[at] ?? null,
        paused: isPaused,
        check_at: now,
        runs: 0,
        set_at: now,
        set_by: context.by.name,
      };
      const uses = row === undefined ? [] : (definitionOf(row).rules.calendars ?? []);
      writeSchedule(tx, next);
      writeCalendarsOf(
        tx,
        next.id,
        uses.map((one) => one.name),
        (definition.rules.calendars ?? []).map((one) => one.name),
      );
      context.changed({ topic: "schedule", kind: "set", name });
      return { name, id: next.id, revision: next.revision, changed: true };
    });
    if (isNew > 0) addTotal(tx, "schedules", isNew);
    return accept({ schedules: set });
  },
  audit: ({ schedules }) =>
    schedules.length === 1
      ? `schedule ${schedules[0]![0]}`
      : `${schedules.length} schedules, the first ${schedules[0]![0]}`,
});

/** It has no instants any more, or has reached its limit. */
function hasEnded({ check_at: checkAt }: StoredSchedule): boolean {
  return checkAt === null;
}

/** What it names and the state does not have, and what has passed. What depends on more than names (http/schedule-check.ts) is looked at before the log alone (S3). */
function problemsOf(tx: ReadTx, { rules, job, template }: Definition, now: number): Problem[] {
  const calendars = (rules.calendars ?? []).map(({ name }) => name);
  return [...missingNeeds(tx, { calendars, template, job }), ...passedOf(rules.timing, now)];
}
