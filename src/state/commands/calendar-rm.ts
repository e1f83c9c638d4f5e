import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { calendarByName, removeCalendar } from "../tables/calendar.ts";
import { moveScope } from "../tables/schedule-scope.ts";
import { schedulesUsing } from "../tables/schedule.ts";
import { calendarName } from "./calendar-schema.ts";

interface CalendarRemoved {
  readonly calendar: string;
}

const shape = z.strictObject({ calendar: calendarName });

export const calendarRm = command<CalendarRemoved>()({
  name: "calendar.rm",
  tag: 131,
  since: 3,
  right: "jobs:write",
  doc: "Forgets a calendar; refused while a schedule goes by it.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/calendars/:calendar", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare: (input) => input,
  audit: ({ calendar }) => `calendar ${calendar}`,
  apply(tx, { calendar }, context) {
    if (calendarByName(tx, calendar) === undefined)
      return refuse("not-found", `there is no calendar ${calendar}: 'skein cron calendar ls' lists them`);
    const most = limits.calendarSchedulesNamed;
    const using = schedulesUsing(tx, calendar, most + 1);
    if (using.length > 0) {
      const more = using.length > most ? " and more" : "";
      const message = `schedules go by calendar ${calendar}: ${using.slice(0, most).join(", ")}${more}; change or remove these first, or set the calendar without events`;
      return refuse("conflict", message);
    }
    removeCalendar(tx, calendar);
    // Instants of before may still be dealt with by rules that named it.
    moveScope(tx, context.index);
    return accept({ name: calendar });
  },
});
