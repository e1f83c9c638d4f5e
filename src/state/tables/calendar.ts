import type { ReadTx } from "../tx.ts";
import type { CalendarEvents } from "../../lib/calendar-events.ts";
/** Of a calendar. */
export function calendarByName(_tx: ReadTx, _name: string): object | undefined {
  return undefined;
}
/** Of a calendar. */
export function calendarEvents(_tx: ReadTx, _name: string): CalendarEvents | undefined {
  return undefined;
}
