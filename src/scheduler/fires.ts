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
  /** How much later than its instants they are due. */
  readonly jitterMs: number;
  /** From then on what still waits for its jitter does so no longer: an instant of a later stretch is due, and nothing is dealt with out of its order. */
  readonly releasedAt: number;
}

/** A paused schedule is looked at as rarely as that: nothing of it is late. */
const pausedCheckMs = 60_000;
/** Between two rests. */
const instantsAtOnce = 64;

/** Works out what has come by `clock` (epoch ms), with rests in between: a schedule that nobody looked at for long may have had many instants. */
export function* planFires(planned: Planned, clock: number): Generator<undefined, FirePlan, undefined> {
  // A clock that is behind the entry of a change would pass over what came between the two: that much time has passed, whatever this clock says.
  const now = Math.max(clock, formerOf(planned.row).at(-1)?.until ?? 0);
  const stretches = stretchesOf(planned.row);
  return cut(yield* collect(planned, stretches, now), planned.row, now);
}

/** What held one after the other since the watermark; the last one goes on. */
function stretchesOf(row: StoredSchedule): Stretch[] {
  const former = formerOf(row);
  const { rules: present } = definitionOf(row);
  const held = [...former, { until: Infinity, paused: row.paused === 1, rules: present }];
  const stretches: Stretch[] = [];
  let rules = present;
  let releasedAt = Infinity;
  for (const [place, { until, paused, rules: own }] of [...held.entries()].toReversed()) {
    const from = Math.max(row.watermark, held[place - 1]?.until ?? 0);
    rules = own ?? rules;
    if (until <= from) continue;
    // Of a pause nothing waits.
    const jitterMs = paused ? 0 : jitterOf(row.name, rules.jitterMs);
    stretches.unshift({ from, until, rules, paused, jitterMs, releasedAt });
    if (place === 0 || paused) continue;
    const first = instantsOf(rules.timing, row.name).after(from);
    if (first !== undefined && first <= until) releasedAt = Math.min(releasedAt, first + jitterMs);
  }
  return stretches;
}

function* collect(
  planned: Planned,
  stretches: readonly Stretch[],
  now: number,
): Generator<undefined, Collected, undefined> {
  const { row } = planned;
  const collected = new Collected(row.watermark);
  const pauses = pausesOf(planned, stretches);
  for (const stretch of stretches) {
    const { from, until, paused, jitterMs, releasedAt } = stretch;
    const ripe = now >= releasedAt ? until : Math.min(until, now - jitterMs);
    const waiting =
      ripe < until && !paused ? instantsOf(stretch.rules.timing, row.name).after(Math.max(from, ripe)) : undefined;
    const isWaiting = waiting !== undefined && waiting <= until;
    // A former stretch of which nothing waits is over.
    const upTo = isWaiting || until === Infinity ? Math.max(from, ripe) : until;
    const reached = yield* collectStretch(planned, { ...stretch, until: upTo }, pauses, now, collected);
    collected.reached = reached;
    if (reached < upTo) {
      collected.isCut = true;
      return collected;
    }
    if (isWaiting) {
      collected.waitsUntil = Math.min(waiting + jitterMs, releasedAt);
      return collected;
    }
    if (until === Infinity) return collected;
  }
  return collected;
}

/** When nothing is done, (from, until], of the schedule itself and of the whole mesh. */
function pausesOf(
  { scope }: Planned,
  stretches: readonly Stretch[],
): readonly (readonly [from: number, until: number])[] {
  const own = stretches.filter(({ paused }) => paused).map(({ from, until }) => [from, until] as const);
  const ofAll = scope.pausedAt === null ? scope.pauses : [...scope.pauses, [scope.pausedAt, Infinity] as const];
  return [...own, ...ofAll];
}

/** Gives how far it came: all of it, unless it was too much at once. */
function* collectStretch(
  planned: Planned,
  stretch: Stretch,
  pauses: readonly (readonly [number, number])[],
  now: number,
  collected: Collected,
): Generator<undefined, number, undefined> {
  const { from, until, jitterMs } = stretch;
  const instants = instantsOf(stretch.rules.timing, planned.row.name);
  if (stretch.paused) {
    yield* collected.addAll("paused", instants, from, until);
    return until;
  }
  // Nothing is done in a pause: neither what comes in it nor what is due in it.
  const near = pauses.filter(([, end]) => end > from);
  const kept =
    jitterMs === 0
      ? near
      : near.flatMap(([begin, end]) => [[begin - jitterMs, end - jitterMs] as const, [begin, end] as const]);
  for (const part of partsOf(kept, from, until)) {
    if (part.paused) yield* collected.addAll("paused", instants, part.from, part.until);
    else {
      const reached = yield* collectPart(planned, { ...stretch, ...part }, instants, now, collected);
      if (reached < part.until) return reached;
    }
  }
  return until;
}

/** (from, until] as pauses cut it. */
function partsOf(
  pauses: readonly (readonly [from: number, until: number])[],
  from: number,
  until: number,
): { from: number; until: number; paused: boolean }[] {
  const parts: { from: number; until: number; paused: boolean }[] = [];
  let at = from;
  for (const [begin, end] of pauses.toSorted(([one], [other]) => one - other)) {
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
  const { rules, jitterMs: jitter, releasedAt } = stretch;
  // How it is made up for is said by who looks: what the schedule says now.
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
    yield* collected.addAll("missed", instants, at, until);
    at = until;
  }
  for (let steps = 1; ; steps++) {
    const next = instants.after(at);
    if (next === undefined || next > stretch.until) return stretch.until;
    if (collected.isFull) return at;
    at = next;
    const due = Math.min(at + jitter, releasedAt);
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
  /** All up to here is in them. */
  reached: number;
  /** It was too much at once: behind `reached` there is more to be dealt with now. */
  isCut = false;
  /** The next one is there, and waits so long for its jitter; what follows a change waits with it. */
  waitsUntil: number | undefined;
  #instants = 0;

  constructor(reached: number) {
    this.reached = reached;
  }

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

  /** All instants of (from, until], which are alike; with rests: to count those of a cron expression takes long. */
  *addAll(verdict: Skip[0], instants: Instants, from: number, until: number): Generator<undefined, void, undefined> {
    const first = instants.after(from);
    if (first === undefined || first > until) return;
    let count = 0;
    for (let at: number | undefined = first; at !== undefined && at <= until; at = instants.after(at)) {
      if (count === limits.instantsCounted) {
        count = -count;
        break;
      }
      count += 1;
      if (count % instantsAtOnce === 0) yield;
    }
    this.runs.push({ verdict, first, last: instants.latestUpTo(until) ?? first, count });
  }
}

/** Decides which late ones are made up, and leaves what is too much for one step to the next. */
function cut(collected: Collected, row: StoredSchedule, now: number): FirePlan {
  const { missed = scheduleDefaults.missed, missedMost = scheduleDefaults.missedMost } = definitionOf(row).rules;
  const most = missed === "all" ? missedMost : 1;
  const { runs, reached, newest } = collected.isCut ? withoutNewest(collected, most) : allOf(collected, most);
  let room = newest;
  const decided: Run[] = [];
  for (const run of runs.toReversed()) {
    let { verdict } = run;
    if (verdict === "late") {
      verdict = room > 0 ? "fire" : "missed";
      room -= 1;
      // Behind it something fires anyway: it is not the latest.
    } else if (verdict === "fire" && missed === "latest") room = 0;
    decided.push({ ...run, verdict });
  }
  const fires: number[] = [];
  const skips: Skip[] = [];
  const again = Math.max(now, row.watermark + 1);
  for (const run of decided.toReversed()) {
    const last = skips.at(-1);
    const isBehind = last !== undefined && last[0] === run.verdict && (fires.at(-1) ?? -1) < last[1];
    const isFull = run.verdict === "fire" ? fires.length >= limits.firesPerStep : skips.length >= limits.skipsPerStep;
    if (isBehind && last[3] > 0 && run.count > 0)
      skips[skips.length - 1] = [last[0], last[1], run.last, last[3] + run.count];
    else if (isFull) {
      const to = Math.max(fires.at(-1) ?? 0, skips.at(-1)?.[2] ?? 0);
      return { to, check: again, fires, skips };
    } else if (run.verdict === "fire") fires.push(run.first);
    else if (run.verdict !== "late") skips.push([run.verdict, run.first, run.last, run.count]);
  }
  const check = collected.isCut ? again : (collected.waitsUntil ?? nextCheckOf(row, reached, now));
  return { to: reached, check, fires, skips };
}

/** What a step is made of: of its late ones the `newest` are made up. */
interface Decidable {
  readonly runs: readonly Run[];
  readonly reached: number;
  readonly newest: number;
}

function allOf({ runs, reached }: Collected, newest: number): Decidable {
  return { runs, reached, newest };
}

/**
 * Of instants behind which there are more: the newest late ones are left for the step that knows whether others are newer still, and of those before them `newest` are the newest. A step has to
 * come further, so where it begins with one of them it decides them all: `latest` makes up more than one then, where 50,000 instants that a calendar closes lie between them.
 */
function withoutNewest(collected: Collected, most: number): Decidable {
  const { runs } = collected;
  const late = runs.flatMap(({ verdict }, place) => (verdict === "late" ? [place] : []));
  const place = late.at(-most) ?? late[0];
  if (place === undefined || place === 0) return allOf(collected, most);
  return { runs: runs.slice(0, place), reached: runs[place]!.first - 1, newest: 0 };
}

function nextCheckOf(row: StoredSchedule, reached: number, now: number): number | null {
  const { rules } = definitionOf(row);
  const next = instantsOf(rules.timing, row.name).after(reached);
  if (next === undefined) return null;
  return row.paused === 1 ? Math.max(next, now + pausedCheckMs) : next + jitterOf(row.name, rules.jitterMs);
}
