import { stretchFrom } from "../lib/calendar-changes.ts";
import type { CalendarEvents } from "../lib/calendar-events.ts";
import { formatInstant } from "../lib/calendar.ts";
import { formatInZone } from "../lib/calendar-zones.ts";
import { dstNote } from "../lib/cron-dst.ts";
import { instantsOf } from "../lib/schedule-timing.ts";
import type { NoNextView, ScheduleState, UpcomingView } from "./answers.ts";
import { definitionOf, jitterOf } from "./schedules.ts";
import type { StoredSchedule } from "./tables/schedule.ts";

/**
 * When a schedule fires next, for people: its owner goes by scheduler/fires.ts. From an instant that a calendar keeps shut it goes on where that calendar is
 * another; a search that has cost too much is given up, and says how far it came.
 */

export type CalendarsNamed = ReadonlyMap<string, CalendarEvents>;

/** Epoch ms, its jitter added; or why there is none. */
export interface NextDue {
  readonly due?: number;
  readonly none?: NoNextView;
}

/** What a search may cost before it is given up: instants of the schedule and of windows of its calendars, about. */
const looksInList = 100;
const looksOfOne = 5_000;

/** Of a schedule of a list. Rests in between. */
export function* nextDue(
  row: StoredSchedule,
  calendars: CalendarsNamed,
  now: number,
): Generator<undefined, NextDue, undefined> {
  const { rules } = definitionOf(row);
  const { check_at: checkAt } = row;
  // That is when its owner has found the next one to be.
  if (checkAt !== null && checkAt > now && rules.calendars === undefined) return { due: checkAt };
  const { found, none } = yield* openInstants(row, calendars, now, 1, looksInList);
  return found.length === 0 ? noneOf(none) : { due: found[0]! + jitterOf(row.name, rules.jitterMs) };
}

/** The next instants that would fire, and where there are fewer, why. Rests in between. */
export function* upcoming(
  row: StoredSchedule,
  calendars: CalendarsNamed,
  now: number,
  most: number,
): Generator<undefined, NextDue & { readonly instants: UpcomingView[] }, undefined> {
  const { timing, jitterMs } = definitionOf(row).rules;
  const jitter = jitterOf(row.name, jitterMs);
  const { found, none } = yield* openInstants(row, calendars, now, most, looksOfOne);
  const instants = found.map((at) => {
    const note = dstNote(timing, row.name, at);
    return {
      at: formatInstant(at),
      ...(jitter === 0 ? {} : { due: formatInstant(at + jitter) }),
      local: formatInZone(at, timing.tz),
      ...(note === undefined ? {} : { note }),
    };
  });
  return { instants, ...(found.length === 0 ? {} : { due: found[0]! + jitter }), ...noneOf(none) };
}

/** Of one that is not active. */
export function noNext(state: Exclude<ScheduleState, "active">, meshPaused: boolean): NextDue {
  if (state === "ended") return noneOf({ reason: "ended", message: "it has ended" });
  return noneOf({ reason: "paused", message: meshPaused ? "all schedules are paused" : "it is paused" });
}

function noneOf(none: NoNextView | undefined): NextDue {
  return none === undefined ? {} : { none };
}

interface Opened {
  readonly found: number[];
  /** Why there are fewer than were asked for. */
  readonly none?: NoNextView;
}

/** Those that are neither dealt with nor due by now, and that no calendar keeps shut. */
function* openInstants(
  row: StoredSchedule,
  calendars: CalendarsNamed,
  now: number,
  most: number,
  looksMost: number,
): Generator<undefined, Opened, undefined> {
  const { rules } = definitionOf(row);
  const uses = (rules.calendars ?? []).map(({ name, only = false }) => ({
    written: only ? `only:${name}` : name,
    only,
    events: calendars.get(name) ?? noEvents,
  }));
  const instants = instantsOf(rules.timing, row.name);
  const found: number[] = [];
  const written = uses.map((use) => use.written).join(", ");
  let at = Math.max(row.watermark, now - jitterOf(row.name, rules.jitterMs));
  let wasShut = false;
  for (let looks = 0; found.length < most;) {
    if (looks >= looksMost) return { found, none: farOf(at, written) };
    const next = instants.after(at);
    looks += 1;
    if (next === undefined) return { found, none: wasShut ? shutOf(written) : lastOf(found) };
    at = next;
    let shutUntil = -Infinity;
    for (const { events, only } of uses) {
      const stretch = stretchFrom(events, at);
      looks += stretch.looks;
      if (stretch.isOn !== only) shutUntil = Math.max(shutUntil, stretch.until);
    }
    if (shutUntil === Infinity) return { found, none: shutOf(written) };
    if (shutUntil === -Infinity) found.push(at);
    else {
      wasShut = true;
      at = shutUntil - 1;
    }
    yield;
  }
  return { found };
}

/** `at`: what follows it was not looked at. */
function farOf(at: number, written: string): NoNextView {
  const until = formatInstant(at + 1);
  const message = `none before ${until}: its calendars (${written}) keep it shut until then, and it was not looked further`;
  return { reason: "far", message, looked_until: until };
}

function shutOf(written: string): NoNextView {
  return { reason: "shut", message: `its calendars (${written}) keep it shut at every instant that it has left` };
}

function lastOf(found: readonly number[]): NoNextView {
  return { reason: "ended", message: found.length === 0 ? "it has no instant left" : "it has no further instant" };
}

const noEvents: CalendarEvents = { spans: [], windows: [] };
