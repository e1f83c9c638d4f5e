import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import { addJobs, type Addition, type NewJob, newJob } from "./adding.ts";
import { limitReached } from "./admitting.ts";
import type { ApplyContext } from "./command.ts";
import { afterAll, formerJobs, replaceFormer } from "./former-jobs.ts";
import {
  type Definition,
  definitionOf,
  type FormerRules,
  formerOf,
  isPlain,
  jitterOf,
  scheduleDefaults,
  type ScheduleRules,
} from "./schedules.ts";
import {
  addTotal,
  extendFire,
  firesBefore,
  insertFire,
  openFire,
  openJobsOf,
  type SkipReason,
  trimFires,
} from "./tables/schedule-fire.ts";
import { addFailing, scheduleById, type StoredSchedule, writeStep } from "./tables/schedule.ts";
import type { ReadTx, Tx } from "./tx.ts";
import type { Spec } from "./types.ts";

/** A run of instants that make no job: `count` of them from the first to the last; negative: that many at least. */
export type Skip = readonly [
  reason: Extract<SkipReason, "missed" | "paused" | "window">,
  first: number,
  last: number,
  count: number,
];

/** The job of a fire that cannot be made of the schedule alone (template, targets, bundle), as its evaluator made it; or why it could not. */
export type MadeJob =
  | {
      readonly job: NewJob;
      readonly lists?: readonly (readonly [hash: string, names: string])[];
      readonly template?: string;
    }
  | { readonly why: string };

/**
 * What an evaluator has worked out for one schedule: its instants in (from, to], and when it is to be looked at next (null: it has no more). Instants are epoch ms.
 * `made` has a job for each fire, where the schedule alone does not say it.
 */
export type Step = readonly [
  schedule: number,
  revision: number,
  from: number,
  to: number,
  check: number | null,
  fires: readonly number[],
  skips: readonly Skip[],
  made?: readonly MadeJob[],
];

/** Why a step was refused: its schedule is gone; it was worked out from what is not so any more; its instants are still to come by the leader's clock. */
export type StepRefusal = "gone" | "stale" | "early";

/** How many instants came to what in one command: written once. */
export type Totals = Map<string, number>;

/**
 * A schedule moves on (C1): its jobs, what its history says of the instants without one, and the watermark, together or not at all. Only from where it stands: a step names the
 * watermark, the revision, and (its command) the scope that it was worked out from, so that of any number of evaluators one is right, and none jumps over what another one
 * had to do. undefined: done.
 */
export function takeStep(tx: Tx, step: Step, totals: Totals, context: ApplyContext): StepRefusal | undefined {
  const [id, revision, from, to, check, fires, skips] = step;
  const row = scheduleById(tx, id);
  if (row === undefined) return "gone";
  if (row.revision !== revision || row.watermark !== from) return "stale";
  const definition = definitionOf(row);
  const former = formerOf(row);
  // By the clock that the leader had, and not by the state's, which never goes back (J4): that one may be ahead of real time.
  const now = context.stampedAt;
  const dueAt = (at: number): number => at + leastWaitOf(row.name, definition.rules, former, at);
  const isAhead = (at: number): boolean => dueAt(at) > now;
  // Nothing is missed before it is late either: whoever says so goes by a clock that is ahead.
  const isMissedAhead = skips.some(([reason, , last]) => reason === "missed" && dueAt(last) + limits.fireLateMs > now);
  if (to > now || fires.some(isAhead) || isMissedAhead) return "early";
  const firing = new Firing(tx, row, definition, totals, context);
  firing.run(step);
  if (firing.refused > 0) addFailing(tx, id, firing.refused);
  const left = former.filter(({ until }) => until > to);
  writeStep(tx, id, {
    former: left.length === 0 ? null : JSON.stringify(left),
    watermark: to,
    check_at: firing.hasReachedLimit ? null : check,
    ...firing.progress,
  });
  return undefined;
}

/** A job that somebody wants now, whatever the time: its history says so, and the watermark stays. A refusal: it was not made. */
export function fireNow(
  tx: Tx,
  row: StoredSchedule,
  made: MadeJob | undefined,
  totals: Totals,
  context: ApplyContext,
): Outcome<number> {
  const firing = new Firing(tx, row, definitionOf(row), totals, context);
  const outcome = firing.fireByHand(made);
  if (outcome.ok)
    writeStep(tx, row.id, {
      former: row.former,
      watermark: row.watermark,
      check_at: row.check_at,
      ...firing.progress,
      runs: row.runs,
    });
  return outcome;
}

/** So many more instants came to that; one write for each in {@link writeTotals}. */
function tally(totals: Totals, what: string, instants: number): void {
  totals.set(what, (totals.get(what) ?? 0) + instants);
}

/** At the end of the command. */
export function writeTotals(tx: Tx, totals: Totals): void {
  for (const [what, instants] of totals) addTotal(tx, what, instants);
}

/**
 * How long (ms) an instant of a schedule waits at least before it makes its job. What held when it came says so; but where others came to hold for when it fires, it may wait no longer than
 * until the first of those is due, which only whoever works out instants knows (scheduler/fires.ts).
 */
function leastWaitOf(name: string, present: ScheduleRules, former: readonly FormerRules[], at: number): number {
  const held = rulesAt(present, former, at);
  const later = former.flatMap(({ until, rules }) => (at <= until && rules !== undefined ? [rules] : []));
  const isChanged = [...later, present].some((rules) => rules !== held && whenOf(rules) !== whenOf(held));
  return isChanged ? 0 : jitterOf(name, held.jitterMs);
}

/** What held when the instant came. */
function rulesAt(present: ScheduleRules, former: readonly FormerRules[], at: number): ScheduleRules {
  return former.find(({ until, rules }) => at <= until && rules !== undefined)?.rules ?? present;
}

function whenOf({ timing, jitterMs }: ScheduleRules): string {
  return JSON.stringify([timing, jitterMs]);
}

/** One schedule's instants, in their order. */
class Firing {
  readonly #tx: Tx;
  readonly #row: StoredSchedule;
  readonly #definition: Definition;
  readonly #totals: Totals;
  readonly #context: ApplyContext;
  #seq: number;
  /** Of the newest line: null where that made a job; undefined: it was not looked at. */
  #lastReason: SkipReason | null | undefined;
  #runs: number;
  #firedAt: number | null;
  #job: number | null;
  #refused = 0;

  constructor(tx: Tx, row: StoredSchedule, definition: Definition, totals: Totals, context: ApplyContext) {
    this.#tx = tx;
    this.#row = row;
    this.#definition = definition;
    this.#totals = totals;
    this.#context = context;
    this.#seq = row.fires;
    this.#runs = row.runs;
    this.#firedAt = row.fired_at;
    this.#job = row.job;
  }

  /** What of the row is other now. */
  get progress(): Pick<StoredSchedule, "runs" | "fires" | "fired_at" | "job"> {
    return { runs: this.#runs, fires: this.#seq, fired_at: this.#firedAt, job: this.#job };
  }

  /** Instants whose job could not be made. */
  get refused(): number {
    return this.#refused;
  }

  get hasReachedLimit(): boolean {
    return this.#runs >= (this.#definition.limit ?? Infinity);
  }

  /** Fires and skips as they follow each other. */
  run([, , , , , fires, skips, made]: Step): void {
    let next = 0;
    for (const [position, at] of fires.entries()) {
      while (next < skips.length && skips[next]![1] < at) this.#skip(skips[next++]!);
      this.#due(at, made?.[position]);
    }
    for (const skip of skips.slice(next)) this.#skip(skip);
    this.#trim();
  }

  /** An instant that is to make a job, unless the limit is reached or a former job of the schedule is in its way. */
  #due(at: number, made: MadeJob | undefined): void {
    if (this.hasReachedLimit) return this.#note(at, "limit");
    if (isKeptBack(this.#tx, this.#row, this.#definition)) return this.#note(at, "overlap");
    const outcome = this.#fire(at, made, null);
    if (!outcome.ok) this.#refuse(at, outcome.why.message.slice(0, messageLength), made !== undefined && "why" in made);
  }

  /** What nobody sees in jobs is to be seen of the schedule: it is its last result, and counts as failed. */
  #refuse(at: number, message: string, isGiven: boolean): void {
    this.#note(at, "refused", message, isGiven);
    this.#refused += 1;
    this.#firedAt = at;
    this.#job = null;
  }

  /** A job that somebody wants now. */
  fireByHand(made: MadeJob | undefined): Outcome<number> {
    const outcome = this.#fire(this.#context.stampedAt, made, `by ${this.#context.by.name}`);
    if (outcome.ok) this.#trim();
    return outcome;
  }

  /** Makes the job of an instant. */
  #fire(at: number, made: MadeJob | undefined, message: string | null): Outcome<number> {
    const { name } = this.#row;
    const { stampedAt } = this.#context;
    const addition = this.#addition(at, made);
    if ("why" in addition) return { ok: false, why: { code: "conflict", message: addition.why } };
    const full = limitReached(this.#tx, this.#row.set_by);
    if (full !== undefined) return { ok: false, why: full };
    const { overlap } = this.#definition;
    const key = hasKey(overlap) ? overlapKey(name) : undefined;
    const former = key === undefined ? undefined : formerJobs(this.#tx, this.#row.id, key);
    if (former?.ok === false) return former;
    const awaited = former?.value ?? [];
    const jobs = awaited.length === 0 ? addition.jobs : addition.jobs.map((job) => afterAll(job, awaited));
    const added = addJobs(
      this.#tx,
      { ...addition, jobs, gathers: false, by: this.#row.set_by, added: (job) => this.#opened(job, at, message) },
      this.#context,
    );
    if (!added.ok) return added;
    if (key !== undefined && overlap === "replace" && awaited.length > 0)
      replaceFormer(this.#tx, awaited, key, this.#context);
    const lagMs = Math.max(0, stampedAt - at - (message === null ? this.#jitterAt(at) : 0));
    this.#context.changed({ topic: "schedule", kind: "fired", name, at, job: added.value.first, lagMs });
    tally(this.#totals, "fired", 1);
    return { ok: true, value: added.value.first };
  }

  #jitterAt(at: number): number {
    return jitterOf(this.#row.name, rulesAt(this.#definition.rules, formerOf(this.#row), at).jitterMs);
  }

  #opened(job: number, at: number, message: string | null): void {
    this.#write(at, at, 1, null, job, message);
    openFire(this.#tx, job, this.#row.id, this.#seq - 1);
    this.#runs += 1;
    this.#firedAt = at;
    this.#job = job;
  }

  #addition(at: number, made: MadeJob | undefined): Pick<Addition, "jobs" | "names" | "origin"> | { why: string } {
    const origin = { schedule: this.#row.name, at };
    if (made === undefined) {
      if (!isPlain(this.#definition)) return { why: "its job was not made" };
      const spec = specOfFire(this.#row.name, this.#definition, this.#definition.job, at);
      return { jobs: [newJob(spec, () => [])], names: new Map(), origin };
    }
    if ("why" in made) return made;
    const { job, lists = [], template } = made;
    return { jobs: [job], names: new Map(lists), origin: template === undefined ? origin : { ...origin, template } };
  }

  #skip([reason, first, last, count]: Skip): void {
    this.#writeRun(first, last, count, reason);
    this.#told(first, last, count, reason);
  }

  #note(at: number, reason: SkipReason, message: string | null = null, isGiven = false): void {
    if (message === null || isGiven) this.#writeRun(at, at, 1, reason, message);
    else this.#write(at, at, 1, reason, null, message);
    this.#told(at, at, 1, reason);
  }

  /**
   * Goes on with the newest line where that says the same: a pause of a year is a line, and pushes nothing else out of the history. What is said in words counts where the log gave them:
   * those of this state are another release's words elsewhere, and lines have to be the same (S1).
   */
  #writeRun(at: number, until: number, count: number, reason: SkipReason, message: string | null = null): void {
    const [last] = this.#lastReason === null ? [] : firesBefore(this.#tx, this.#row.id, this.#seq, 1);
    if (last?.reason !== reason || last.message !== message)
      return this.#write(at, until, count, reason, null, message);
    const isCounted = last.count > 0 && count > 0;
    const all = Math.abs(last.count) + Math.abs(count);
    extendFire(this.#tx, last, until, isCounted ? all : -all);
  }

  #told(at: number, until: number, count: number, reason: SkipReason): void {
    this.#context.changed({ topic: "schedule", kind: "skipped", name: this.#row.name, at, until, count, reason });
    tally(this.#totals, reason, Math.abs(count));
  }

  #write(
    at: number,
    until: number,
    count: number,
    reason: SkipReason | null,
    job: number | null,
    message: string | null,
  ): void {
    const { id: schedule } = this.#row;
    insertFire(this.#tx, {
      schedule,
      seq: this.#seq,
      at,
      until,
      count,
      reason,
      fired_at: this.#context.stampedAt,
      job,
      message,
    });
    this.#seq += 1;
    this.#lastReason = reason;
  }

  /** Not with each line: those of a few more are kept meanwhile. */
  #trim(): void {
    const { history = scheduleDefaults.history } = this.#definition;
    const before = this.#row.fires;
    if (Math.floor(this.#seq / trimEvery) === Math.floor(before / trimEvery) || this.#seq <= history) return;
    // Of one that is to be much shorter than it was, some each time: a command moves many schedules on.
    const most = trimMost + 2 * (this.#seq - before);
    trimFires(this.#tx, this.#row.id, this.#seq - history, most);
  }
}

const messageLength = 2_000;
const trimEvery = 16;
const trimMost = 64;

/** Former jobs of the schedule keep it from making one more, as `overlap` says. */
export function isKeptBack(
  tx: ReadTx,
  row: Pick<StoredSchedule, "id" | "last_state">,
  { overlap = scheduleDefaults.overlap }: Definition,
): boolean {
  const most = overlap === "skip" ? 1 : overlap === "queue" ? 2 : 0;
  return most > 0 && openJobsOf(tx, row.id, most).length >= most;
}

/** The spec of the job that an instant makes: it is told its schedule and its instant, and takes its turn behind others of the schedule as `overlap` says. */
export function specOfFire(name: string, definition: Definition, job: Spec, at: number): Spec {
  const { overlap } = definition;
  const env = { ...job.env, SKEIN_SCHEDULE: name, SKEIN_FIRE_AT: formatInstant(at) };
  const labels = definition.labels === undefined ? {} : { labels: { ...definition.labels, ...job.labels } };
  const named = { ...job, name: job.name ?? name, env, ...labels };
  if (!hasKey(overlap)) return named;
  return { ...named, key: overlapKey(name), ...(overlap === "replace" ? { onConflict: "replace" as const } : {}) };
}

/** Its jobs come one after the other. */
function hasKey(overlap: Definition["overlap"]): boolean {
  return overlap === "queue" || overlap === "queue_all" || overlap === "replace";
}

/** The key that the jobs of a schedule have one after the other. */
function overlapKey(name: string): string {
  return `cron:${name}`;
}
