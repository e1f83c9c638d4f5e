import type { ReadTx } from "../tx.ts";
import type { CalendarEvents } from "../../lib/calendar-events.ts";
export function calendarByName(_tx: ReadTx, _name: string): object | undefined { return undefined; }
export function calendarEvents(_tx: ReadTx, _name: string): CalendarEvents | undefined { return undefined; }
