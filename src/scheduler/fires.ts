import { type CalendarEvents, isOpen } from "../lib/calendar-events.ts";
import { limits } from "../lib/limits.ts";
import type { Instants } from "../lib/instants.ts";
import { instantsOf } from "../lib/schedule-timing.ts";
import type { Skip } from "../state/firing.ts";
import { definitionOf, formerOf, jitterOf, scheduleDefaults, type ScheduleRules } from "../state/schedules.ts";
import type { ScheduleScope } from "../state/tables/schedule-scope.ts";
import type { StoredSchedule } from "../state/tables/schedule.ts";

/**
 * What becomes of the instants of a schedule: pure, from its row and a time. Whoever evaluates it comes to the same, but for clocks and zones' data that differ, and the log takes the first
 * one alone (C1).
 */

/** A schedule, and all that its instants depend on. */
export interface Planned {
  readonly row: StoredSchedule;
  readonly scope: Pick<ScheduleScope, "pausedAt" | "pauses">;
  /** By name; one that is not there has no events. */
  readonly calendars: ReadonlyMap<string, CalendarEvents>;
}

/** What is to be proposed: everything up to `to` is in it, and at `check` there is more (null: never). */
export interface FirePlan {
  readonly to: number;
  readonly check: number | null;
  readonly fires: readonly number[];
  readonly skips: readonly Skip[];
}

/** What becomes of an instant; `late`: whether it is made up depends on those behind it. */
type Verdict = "fire" | "late" | Skip[0];

/** Alike in a row: the last one is where it ends. */
interface Run {
  readonly verdict: Verdict;
  readonly first: number;
  last: number;
  /** Negative: that many at least. */
  count: number;
}

/** What held for a part of time, (from, until]. */
interface Stretch {
  readonly from: number;
  readonly until: number;
  readonly rules: ScheduleRules;
  readonly paused: boolean;
  /** Others hold from then on; of the present ones Infinity. */
  readonly changedAt: number;
}

/** A paused schedule is looked at as rarely as that: nothing of it is late. */
const pausedCheckMs = 60_000;
/** Between two rests. */
const instantsAtOnce = 64;

/** Works out what has come by `clock` (epoch ms), with rests in between: a schedule that nobody looked at for long may have had many instants. */
export function* planFires(planned: Planned, clock: number): Generator<undefined, FirePlan, undefined> {
  const { row } = planned;
  // A clock that is behind the entry of a change would pass over what came between the two: that much time has passed, whatever this clock says.
  const now = Math.max(clock, formerOf(row).at(-1)?.until ?? 0);
  const collected = new Collected();
  const { rules } = definitionOf(row);
  const stretches = stretchesOf(planned);
  let to = row.watermark;
  for (const stretch of stretches) {
    const jitter = stretch.changedAt <= now ? 0 : jitterOf(row.name, stretch.rules.jitterMs);
    const upTo = Math.max(stretch.from, Math.min(stretch.until, now - jitter));
    const reached = yield* collectStretch(planned, { ...stretch, until: upTo }, now, collected);
    to = Math.max(to, reached);
    if (reached < upTo) return cut(collected, rules, to, row, now, true);
  }
  return cut(collected, rules, to, row, now, false);
}

/** What held one after the other since the watermark; the last one goes on. */
function stretchesOf({ row }: Planned): Stretch[] {
  const former = formerOf(row);
  const present = definitionOf(row).rules;
  const stretches: Stretch[] = [];
  let next = present;
  for (const { until, paused, rules } of former.toReversed()) {
    next = rules ?? next;
    stretches.unshift({ from: 0, until, rules: next, paused, changedAt: until });
  }
  stretches.push({ from: 0, until: Infinity, rules: present, paused: row.paused === 1, changedAt: Infinity });
  let from = row.watermark;
  const dated = stretches.map((one) => {
    const begins = from;
    from = Math.max(from, one.until);
    return { ...one, from: begins };
  });
  return dated.filter((one) => one.until > one.from);
}

/** Gives how far it came: all of it, unless it was too much at once. */
function* collectStretch(
  planned: Planned,
  stretch: Stretch,
  now: number,
  collected: Collected,
): Generator<undefined, number, undefined> {
  const { name } = planned.row;
  const instants = instantsOf(stretch.rules.timing, name);
  if (stretch.paused) {
    collected.addAll("paused", instants, stretch.from, stretch.until);
    return stretch.until;
  }
  for (const part of partsOf(planned.scope, stretch.from, stretch.until)) {
    if (part.paused) collected.addAll("paused", instants, part.from, part.until);
    else {
      const reached = yield* collectPart(planned, { ...stretch, ...part }, instants, now, collected);
      if (reached < part.until) return reached;
    }
  }
  return stretch.until;
}

/** (from, until] as the pauses of the whole mesh cut it. */
function partsOf(
  { pauses, pausedAt }: Planned["scope"],
  from: number,
  until: number,
): { from: number; until: number; paused: boolean }[] {
  const parts: { from: number; until: number; paused: boolean }[] = [];
  let at = from;
  const all = pausedAt === null ? pauses : [...pauses, [pausedAt, Infinity] as const];
  for (const [begin, end] of all) {
    if (end <= at) continue;
    if (begin >= until) break;
    if (begin > at) parts.push({ from: at, until: begin, paused: false });
    const last = Math.min(end, until);
    parts.push({ from: Math.max(at, begin), until: last, paused: true });
    at = last;
  }
  if (at < until) parts.push({ from: at, until, paused: false });
  return parts;
}

function* collectPart(
  planned: Planned,
  stretch: Stretch,
  instants: Instants,
  now: number,
  collected: Collected,
): Generator<undefined, number, undefined> {
  const { rules, changedAt } = stretch;
  const jitter = jitterOf(planned.row.name, rules.jitterMs);
  const { catchUpMs = scheduleDefaults.catchUpMs, missed = scheduleDefaults.missed } = definitionOf(planned.row).rules;
  const calendars = (rules.calendars ?? []).map(({ name, only }) => ({
    events: planned.calendars.get(name) ?? noEvents,
    mode: only === true ? ("only" as const) : ("closes" as const),
  }));
  // What is older is made up by nobody, and need not be gone through one by one.
  const horizon = now - jitter - Math.max(catchUpMs, limits.fireLateMs);
  let at = stretch.from;
  if (calendars.length === 0 && horizon > at) {
    const until = Math.min(horizon, stretch.until);
    collected.addAll("missed", instants, at, until);
    at = until;
  }
  for (let steps = 1; ; steps++) {
    const next = instants.after(at);
    if (next === undefined || next > stretch.until) return stretch.until;
    if (collected.isFull) return at;
    at = next;
    // What waits for its jitter when the schedule is changed does so no longer: it would keep back what comes after the change.
    const due = Math.min(at + jitter, changedAt);
    const isLate = now - due > limits.fireLateMs;
    const mayBeMadeUp = missed !== "skip" && at > horizon;
    collected.add(
      calendars.length > 0 && !isOpen(calendars, at) ? "window" : !isLate ? "fire" : mayBeMadeUp ? "late" : "missed",
      at,
    );
    if (steps % instantsAtOnce === 0) yield;
  }
}

const noEvents: CalendarEvents = { spans: [], windows: [] };

/** What was found, as runs. */
class Collected {
  readonly runs: Run[] = [];
  #instants = 0;

  /** No more at once. */
  get isFull(): boolean {
    return this.#instants >= limits.instantsPerStep;
  }

  add(verdict: Verdict, at: number): void {
    this.#instants += 1;
    const last = this.runs.at(-1);
    if (last?.verdict === verdict && verdict !== "fire" && verdict !== "late" && last.count > 0) {
      last.last = at;
      last.count += 1;
    } else this.runs.push({ verdict, first: at, last: at, count: 1 });
  }

  /** All instants of (from, until], which are alike. */
  addAll(verdict: Skip[0], instants: Instants, from: number, until: number): void {
    const first = instants.after(from);
    if (first === undefined || first > until) return;
    const counted = instants.count(from, until, limits.instantsCounted);
    const count = counted > limits.instantsCounted ? -limits.instantsCounted : counted;
    this.runs.push({ verdict, first, last: instants.latestUpTo(until) ?? first, count });
  }
}

/** Decides which late ones are made up, and leaves what is too much for one step to the next. */
function cut(
  { runs }: Collected,
  { missed = scheduleDefaults.missed, missedMost = scheduleDefaults.missedMost }: ScheduleRules,
  reached: number,
  row: StoredSchedule,
  now: number,
  isCut: boolean,
): FirePlan {
  let room = missed === "all" ? missedMost : 1;
  const decided: Run[] = [];
  for (const run of runs.toReversed()) {
    let { verdict } = run;
    if (verdict === "late") {
      // Behind it something fires anyway, or there is more to come: it is not the latest.
      const isMadeUp = room > 0 && !(missed === "latest" && isCut);
      verdict = isMadeUp ? "fire" : "missed";
      room -= 1;
    } else if (verdict === "fire" && missed === "latest") room = 0;
    decided.push({ ...run, verdict });
  }
  const fires: number[] = [];
  const skips: Skip[] = [];
  for (const run of decided.toReversed()) {
    const last = skips.at(-1);
    const isBehind = last !== undefined && last[0] === run.verdict && (fires.at(-1) ?? -1) < last[1];
    const isFull = run.verdict === "fire" ? fires.length >= limits.firesPerStep : skips.length >= limits.skipsPerStep;
    if (isBehind && last[3] > 0 && run.count > 0)
      skips[skips.length - 1] = [last[0], last[1], run.last, last[3] + run.count];
    else if (isFull) {
      const to = Math.max(fires.at(-1) ?? 0, skips.at(-1)?.[2] ?? 0);
      return { to, check: Math.max(now, row.watermark + 1), fires, skips };
    } else if (run.verdict === "fire") fires.push(run.first);
    else if (run.verdict !== "late") skips.push([run.verdict, run.first, run.last, run.count]);
  }
  if (isCut) return { to: reached, check: Math.max(now, row.watermark + 1), fires, skips };
  return { to: reached, check: nextCheckOf(row, reached, now), fires, skips };
}

function nextCheckOf(row: StoredSchedule, reached: number, now: number): number | null {
  const { rules } = definitionOf(row);
  const next = instantsOf(rules.timing, row.name).after(reached);
  if (next === undefined) return null;
  const due = next + jitterOf(row.name, rules.jitterMs);
  return row.paused === 1 ? Math.max(due, now + pausedCheckMs) : due;
}
