import { type CalendarEvents, nextChange, type NextChange } from "../lib/calendar-events.ts";
import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import { formatDuration } from "../lib/units.ts";
import type { CalendarView } from "./answers.ts";
import type { Page } from "./queries.ts";
import { calendarByName, calendarEvents, type CalendarFacts, calendarsAfter } from "./tables/calendar.ts";
import { schedulesUsing } from "./tables/schedule.ts";
import type { ReadTx } from "./tx.ts";

/** Calendars as the API shows them, at an instant: whether they are on, and until when. */

/** By name, without their spans. */
export function listCalendars(
  tx: ReadTx,
  now: number,
  { limit, next }: { readonly limit: number; readonly next?: string | undefined },
): Page<Omit<CalendarView, "span_list" | "schedules">> {
  const rows = calendarsAfter(tx, next ?? "", limit + 1);
  const items: Omit<CalendarView, "span_list" | "schedules">[] = [];
  let weight = 0;
  for (const facts of rows.slice(0, limit)) {
    weight += facts.bytes + facts.windows * windowWeight;
    if (items.length > 0 && weight > limits.calendarPageBytes) break;
    items.push(shortView(facts, calendarEvents(tx, facts.name)!, now));
  }
  return rows.length > items.length ? { items, next: items.at(-1)!.name } : { items };
}

/** To find out when a window is open costs as much as to read so many bytes. */
const windowWeight = 8 * 1024;

/** One of them, with the spans that are not over, the first ones at least, and schedules that go by it. */
export function findCalendar(
  tx: ReadTx,
  name: string,
  now: number,
  { spans, schedules }: { readonly spans: number; readonly schedules: number },
): CalendarView | undefined {
  const row = calendarByName(tx, name);
  if (row === undefined) return undefined;
  const events = JSON.parse(row.events) as CalendarEvents;
  const first = events.spans.findIndex(([, to]) => to > now);
  const shown = first === -1 ? [] : events.spans.slice(first, first + spans);
  return {
    ...shortView(row, events, now),
    span_list: shown.map(([from, to]) => ({ from: formatInstant(from), to: formatInstant(to) })),
    schedules: schedulesUsing(tx, name, schedules),
  };
}

function shortView(
  row: CalendarFacts,
  events: CalendarEvents,
  now: number,
): Omit<CalendarView, "span_list" | "schedules"> {
  const { name, revision, description, spans, until, set_at: at, set_by: by } = row;
  const { isOn, at: changesAt }: NextChange = nextChange(events, now);
  return {
    name,
    revision,
    ...(description === null ? {} : { description }),
    spans,
    windows: events.windows.map(({ cron, tz, forMs }) => ({ cron, tz, for: formatDuration(forMs) })),
    until: until === null ? null : formatInstant(until),
    on: isOn,
    changes_at: changesAt === undefined ? null : formatInstant(changesAt),
    set_at: formatInstant(at),
    set_by: by,
  };
}
