import { type CalendarEvents, isOpen } from "../lib/calendar-events.ts";
import { formatInstant } from "../lib/calendar.ts";
import { formatInZone } from "../lib/calendar-zones.ts";
import { dstNote } from "../lib/cron-dst.ts";
import { instantsOf } from "../lib/schedule-timing.ts";
import type { UpcomingView } from "./answers.ts";
import { definitionOf, jitterOf } from "./schedules.ts";
import type { StoredSchedule } from "./tables/schedule.ts";

/** When a schedule fires next, for people: its owner goes by scheduler/fires.ts. */

export type CalendarsNamed = ReadonlyMap<string, CalendarEvents>;

/** Instants that its calendars keep shut, one after the other, before the search is given up: a list is not to look at each minute of a holiday. */
const looksInList = 100;
const looksOfOne = 5_000;

/** Epoch ms, its jitter added; null: never, or its calendars keep it shut for longer than is looked at. */
export function nextDue(row: StoredSchedule, calendars: CalendarsNamed, now: number): number | null {
  const { rules } = definitionOf(row);
  const { check_at: checkAt } = row;
  if (checkAt === null) return null;
  // That is when its owner has found the next one to be.
  if (checkAt > now && rules.calendars === undefined) return checkAt;
  const [next] = openInstants(row, calendars, now, 1, looksInList);
  return next === undefined ? null : next + jitterOf(row.name, rules.jitterMs);
}

/** The next instants that would fire. */
export function upcoming(row: StoredSchedule, calendars: CalendarsNamed, now: number, most: number): UpcomingView[] {
  const { timing, jitterMs } = definitionOf(row).rules;
  const jitter = jitterOf(row.name, jitterMs);
  return openInstants(row, calendars, now, most, looksOfOne).map((at) => {
    const note = dstNote(timing, row.name, at);
    return {
      at: formatInstant(at),
      ...(jitter === 0 ? {} : { due: formatInstant(at + jitter) }),
      local: formatInZone(at, timing.tz),
      ...(note === undefined ? {} : { note }),
    };
  });
}

/** Those that are neither dealt with nor due by now, and that no calendar keeps shut. */
function openInstants(
  row: StoredSchedule,
  calendars: CalendarsNamed,
  now: number,
  most: number,
  looks: number,
): number[] {
  const { rules } = definitionOf(row);
  if (row.check_at === null) return [];
  const uses = (rules.calendars ?? []).map(({ name, only }) => ({
    events: calendars.get(name) ?? noEvents,
    mode: only === true ? ("only" as const) : ("closes" as const),
  }));
  const instants = instantsOf(rules.timing, row.name);
  const found: number[] = [];
  let at = Math.max(row.watermark, now - jitterOf(row.name, rules.jitterMs));
  for (let looked = 0; looked < looks && found.length < most; looked++) {
    const next = instants.after(at);
    if (next === undefined) break;
    at = next;
    if (uses.length === 0 || isOpen(uses, at)) found.push(at);
  }
  return found;
}

const noEvents: CalendarEvents = { spans: [], windows: [] };
