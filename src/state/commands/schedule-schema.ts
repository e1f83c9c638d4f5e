import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { readTiming, type Timing } from "../../lib/schedule-timing.ts";
import { type CalendarUse, type Definition, scheduleDefaults, type ScheduleRules } from "../schedules.ts";
import { duration } from "./duration-schema.ts";
import { labelsShape } from "./shapes.ts";
import { isNormalised, specSchema } from "./spec-schema.ts";
import { templateName } from "./template-schema.ts";

/** Reads a schedule as people write it: every problem at once, each with its path. */

const nameForm = "must begin with a letter or digit, and hold only these and -_.";
export const scheduleName = z
  .string({ error: "must be text" })
  .max(limits.scheduleNameLength, `must not be longer than ${limits.scheduleNameLength} characters`)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, nameForm);

const line = z.string({ error: "must be text" }).min(1, "must not be empty").max(1024, "at most 1024 characters");
const oneOf = <const Values extends readonly [string, ...string[]]>(...values: Values) =>
  z.enum(values, { error: `must be ${values.slice(0, -1).join(", ")} or ${values.at(-1)}` });
const whole = (most: number) =>
  z
    .int({ error: `must be a whole number from 1 to ${most}` })
    .min(1, "must be at least 1")
    .max(most, `must be at most ${most}`);

const calendarUse = z
  .string({ error: "must be a calendar's name, or only:NAME" })
  .regex(/^(?:only:)?[A-Za-z0-9][A-Za-z0-9_.-]*$/, "must be a calendar's name, or only:NAME")
  .transform((text): CalendarUse => (text.startsWith("only:") ? { name: text.slice(5), only: true } : { name: text }));

/** What a schedule is, without what its parts say of each other. */
export const scheduleFields = z.strictObject({
  name: scheduleName,
  description: z.string().max(1000, "must not be longer than 1000 characters").optional(),
  cron: line.optional(),
  every: line.optional(),
  at: line.optional(),
  tz: line.optional(),
  start: line.optional(),
  end: line.optional(),
  jitter: duration().optional(),
  missed: oneOf("latest", "all", "skip").optional(),
  catch_up: duration().optional(),
  missed_most: whole(limits.firesMadeUp).optional(),
  overlap: oneOf("skip", "queue", "queue_all", "replace", "allow").optional(),
  paused: z.boolean({ error: "must be true or false" }).optional(),
  limit: whole(1_000_000_000).optional(),
  labels: labelsShape.optional(),
  tags: z
    .array(line.max(limits.labelLength), { error: "must be a list of words" })
    .max(limits.scheduleTags, `at most ${limits.scheduleTags} tags`)
    .optional(),
  owner: line.optional(),
  history: whole(limits.firesKept).optional(),
  calendars: z
    .array(calendarUse, { error: "must be a list of calendars" })
    .max(limits.scheduleCalendars, `at most ${limits.scheduleCalendars} calendars`)
    .optional(),
  job: z.unknown().optional(),
  template: templateName.optional(),
  params: z.record(z.string(), z.unknown(), { error: "must be a map of names to values" }).optional(),
});

/** A schedule, read: what the log has of it. */
export interface ReadSchedule {
  readonly name: string;
  readonly definition: Definition;
  /** undefined: as it is; a new one is not. */
  readonly paused: boolean | undefined;
}

/** A schedule of a list, and what is wrong with it. */
export interface ReadAhead {
  /** undefined: something is wrong with it. */
  readonly schedule: ReadSchedule | undefined;
  readonly issues: readonly z.core.$ZodIssue[];
}

/** What was read before the list that it stands in: by the value that was read, which nobody changes. */
const readBefore = new WeakMap<object, ReadAhead>();

/** Reads one schedule of a list, which is remembered for when the list is read: so whoever reads a long list can rest between two of them. */
export function readScheduleAhead(raw: unknown): ReadAhead {
  if (typeof raw !== "object" || raw === null) return { schedule: undefined, issues: [] };
  const read = scheduleInput.safeParse(raw);
  const ahead = { schedule: read.data, issues: read.success ? [] : read.error.issues };
  readBefore.set(raw, ahead);
  return ahead;
}

/** A schedule as people write it -> {@link ReadSchedule}. */
export const scheduleInput: z.ZodType<ReadSchedule, unknown> = z.unknown().transform((raw, context) => {
  const before = typeof raw === "object" && raw !== null ? readBefore.get(raw) : undefined;
  if (before !== undefined) {
    for (const issue of before.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue);
    return before.schedule ?? z.NEVER;
  }
  const refuse = (path: string, message: string): void =>
    context.addIssue({ code: "custom", path: path === "" ? [] : [path], message });
  const parsed = scheduleFields.safeParse(raw);
  if (!parsed.success)
    for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: raw } as z.core.$ZodRawIssue);
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) return z.NEVER;
  // What was written, so that rules between fields are told together with the fields' own problems.
  const written = raw as Readonly<Record<string, unknown>>;
  const timing = timingOf(written, refuse);
  if (written["job"] === undefined && written["template"] === undefined)
    refuse("job", "is required: a job spec, or the name of a template (template)");
  if (written["job"] !== undefined && written["template"] !== undefined)
    refuse("template", "goes not with job: say one of them");
  if (written["params"] !== undefined && written["template"] === undefined)
    refuse("params", "are values for a template: say which (template)");
  if (written["missed_most"] !== undefined && written["missed"] !== "all")
    refuse("missed_most", "says how many are made up with missed: all");
  const job = written["job"] === undefined ? undefined : readJob(written, context);
  if (!parsed.success || timing === undefined || (written["job"] !== undefined && job === undefined)) return z.NEVER;
  return readFrom(parsed.data, timing, job);
});

function timingOf(
  written: Readonly<Record<string, unknown>>,
  refuse: (path: string, message: string) => void,
): Timing | undefined {
  const text = (key: string): string | undefined => (typeof written[key] === "string" ? written[key] : undefined);
  const [cron, every, at, tz, start, end] = ["cron", "every", "at", "tz", "start", "end"].map(text);
  const read = readTiming({ cron, every, at, tz, start, end }, text("name") ?? "");
  if ("timing" in read) return read.timing;
  for (const { path, message } of read.problems) refuse(path, message);
  return undefined;
}

/** Keys of a job that a schedule has in another way, or that mean one job of a time. */
const notInSchedules = {
  after: "names jobs that are there now, and a schedule makes new ones: use overlap, or a template of steps",
  start_at: "is one instant: a schedule says when",
  idempotency_key: "is of a request: a fire makes one job whatever happens",
} as const;

/** What each job of a schedule has in its environment (firing.ts), whatever its spec says. */
const ownEnvironment = ["SKEIN_SCHEDULE", "SKEIN_FIRE_AT"] as const;

function readJob(written: Readonly<Record<string, unknown>>, context: z.RefinementCtx): Definition["job"] {
  const { job, overlap = "skip" } = written;
  const parsed = specSchema.safeParse(job);
  const refuse = (path: string | readonly string[], message: string): void =>
    context.addIssue({ code: "custom", path: ["job", ...[path].flat()], message });
  if (!parsed.success)
    for (const issue of parsed.error.issues)
      context.issues.push({ ...issue, path: ["job", ...(issue.path ?? [])], input: job } as z.core.$ZodRawIssue);
  if (typeof job !== "object" || job === null) return undefined;
  for (const [key, why] of Object.entries(notInSchedules)) if (key in job) refuse(key, why);
  const { env } = job as { readonly env?: unknown };
  if (typeof env === "object" && env !== null)
    for (const name of ownEnvironment)
      if (name in env) refuse(["env", name], "is given by the schedule: each job has its own");
  if ("key" in job && overlap !== "skip" && overlap !== "allow")
    refuse("key", `goes not with overlap: ${String(overlap)}, which gives the schedule's jobs a key of their own`);
  return parsed.success ? parsed.data : undefined;
}

function readFrom(fields: z.output<typeof scheduleFields>, timing: Timing, job: Definition["job"]): ReadSchedule {
  const { name, paused, description, overlap, limit, labels, tags, owner, history, template, params } = fields;
  const { jitter, missed, catch_up: catchUp, missed_most: missedMost, calendars } = fields;
  const rules: ScheduleRules = present({
    timing,
    jitterMs: jitter === 0 ? undefined : jitter,
    missed: unless(missed, scheduleDefaults.missed),
    catchUpMs: unless(catchUp, scheduleDefaults.catchUpMs),
    missedMost: unless(missedMost, scheduleDefaults.missedMost),
    calendars: calendars?.length === 0 ? undefined : calendars,
  });
  const rest = {
    overlap: unless(overlap, scheduleDefaults.overlap),
    limit,
    labels,
    tags,
    owner,
    history: unless(history, scheduleDefaults.history),
    job,
    template,
    params,
  };
  return { name, paused, definition: present({ description, rules, ...rest }) };
}

/** A default that is said is as good as one that is not: who sets what was shown changes nothing. */
function unless<Value>(value: Value | undefined, normal: Value): Value | undefined {
  return value === normal ? undefined : value;
}

/** Without what is undefined: the log has no such values. */
function present<Fields extends object>(fields: Fields): { [Key in keyof Fields]: Exclude<Fields[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** The leader's second look at a definition that was forwarded (S3): apply, and every evaluator, trusts its shape. */
export function isDefinition(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return definitionShape.safeParse(value).success;
  } catch {
    return false; // not JSON: as bad as another shape
  }
}

const instant = z.int().nonnegative();
const ms = z.int().nonnegative();
const timingShape = z
  .strictObject({
    cron: line.exactOptional(),
    everyMs: ms.positive().exactOptional(),
    at: instant.exactOptional(),
    tz: line,
    start: instant.exactOptional(),
    end: instant.exactOptional(),
  })
  .refine(({ cron, everyMs, at }) => [cron, everyMs, at].filter((one) => one !== undefined).length === 1);

const definitionShape = z
  .strictObject({
    description: z.string().max(1000).exactOptional(),
    rules: z.strictObject({
      timing: timingShape,
      jitterMs: ms.positive().exactOptional(),
      missed: z.enum(["latest", "all", "skip"]).exactOptional(),
      catchUpMs: ms.exactOptional(),
      missedMost: z.int().min(1).max(limits.firesMadeUp).exactOptional(),
      calendars: z
        .array(z.strictObject({ name: line, only: z.literal(true).exactOptional() }))
        .min(1)
        .max(limits.scheduleCalendars)
        .exactOptional(),
    }),
    overlap: z.enum(["skip", "queue", "queue_all", "replace", "allow"]).exactOptional(),
    limit: z.int().positive().exactOptional(),
    labels: labelsShape.exactOptional(),
    tags: z.array(line).max(limits.scheduleTags).exactOptional(),
    owner: line.exactOptional(),
    history: z.int().min(1).max(limits.firesKept).exactOptional(),
    job: z.custom(isScheduledJob).exactOptional(),
    template: templateName.exactOptional(),
    params: z.record(z.string(), z.unknown()).exactOptional(),
  })
  .refine(({ job, template }) => (job === undefined) !== (template === undefined));

/** A normalised spec whose targets and bundle are still as they were written. */
function isScheduledJob(job: unknown): boolean {
  if (typeof job !== "object" || job === null) return false;
  const { targets, bundle, ...rest } = job as { readonly targets?: unknown; readonly bundle?: unknown };
  const asWritten = z.looseObject({ from: z.array(z.string().min(1)).min(1), count: z.literal(0) });
  const named = z.looseObject({ name: z.string().min(1), digest: z.string() });
  return (
    isNormalised(rest) &&
    (targets === undefined || asWritten.safeParse(targets).success) &&
    (bundle === undefined || named.safeParse(bundle).success)
  );
}
