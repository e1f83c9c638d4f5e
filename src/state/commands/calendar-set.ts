import { z } from "zod";
import type { CalendarEvents } from "../../lib/calendar-events.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { formatSize } from "../../lib/units.ts";
import { command } from "../command.ts";
import { calendarByName, calendarTotals, writeCalendar } from "../tables/calendar.ts";
import { moveScope } from "../tables/schedule-scope.ts";
import { calendarDescription, calendarName, eventsText } from "./calendar-schema.ts";
import { endShape } from "./shapes.ts";

interface CalendarSet {
  readonly name: string;
  readonly description: string | null;
  /** {@link CalendarEvents} as JSON. */
  readonly events: string;
  /** Epoch ms: what repeats was followed up to here. */
  readonly until: number | null;
}

const shape = z.strictObject({
  name: calendarName,
  description: calendarDescription.nullable(),
  events: eventsText,
  until: endShape,
});

export const calendarSet = command<CalendarSet>()({
  name: "calendar.set",
  tag: 130,
  since: 3,
  right: "jobs:write",
  doc: "Sets a calendar, which schedules do not fire in, or only in; the same again changes nothing.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ name }) => `calendar ${name}`,
  apply(tx, { name, description, events, until }, context) {
    const before = calendarByName(tx, name);
    if (before?.description === description && before.events === events && before.until === until)
      return accept({ name, revision: before.revision, changed: false });
    const totals = calendarTotals(tx);
    if (before === undefined && totals.calendars >= limits.calendars)
      return refuse("conflict", `there are ${limits.calendars} calendars already: remove some first`);
    // All of it is ASCII: an expression and a zone are, and the rest is numbers.
    const bytes = events.length;
    if (totals.bytes - (before?.bytes ?? 0) + bytes > limits.calendarsBytes)
      return refuse(
        "conflict",
        `all calendars together may hold ${formatSize(limits.calendarsBytes)}, and with this one it would be more: remove some first`,
      );
    const { spans, windows } = JSON.parse(events) as CalendarEvents;
    const revision = context.index;
    const written = { spans: spans.length, windows: windows.length, set_at: context.at, set_by: context.by.name };
    writeCalendar(tx, { name, revision, description, events, bytes, until, ...written });
    moveScope(tx, context.index);
    return accept({ name, revision, changed: true });
  },
});
