import type { CalendarEvents } from "../../lib/calendar-events.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** What is known of a calendar but for its events. */
export interface CalendarFacts {
  readonly name: string;
  /** Index of the entry that changed it last, so that it is never given twice. */
  readonly revision: number;
  readonly description: string | null;
  /** Of its events, as JSON. */
  readonly bytes: number;
  readonly spans: number;
  readonly windows: number;
  /** Epoch ms: what repeats in the file that it was made of goes on, and was followed up to here; null: it holds all. */
  readonly until: number | null;
  readonly set_at: number;
  readonly set_by: string;
}

/** With its events (lib/calendar-events.ts), as JSON. */
export interface StoredCalendar extends CalendarFacts {
  readonly events: string;
}

const facts = "name, revision, description, bytes, spans, windows, until, set_at, set_by";
const select = sql(`select ${facts}, events from calendar where name = ?`);
const selectAfter = sql(`select ${facts} from calendar where name > ? order by name limit ?`);
const selectUntil = sql("select name, until from calendar where until is not null order by name limit ?");
const selectTotal = sql("select count(*) as calendars, coalesce(sum(bytes), 0) as bytes from calendar");

/** undefined: there is none of that name. */
export function calendarByName(tx: ReadTx, name: string): StoredCalendar | undefined {
  return tx.get<StoredCalendar>(select, name);
}

/** Read anew each time; undefined: there is none of that name. */
export function calendarEvents(tx: ReadTx, name: string): CalendarEvents | undefined {
  const row = calendarByName(tx, name);
  return row === undefined ? undefined : (JSON.parse(row.events) as CalendarEvents);
}

/** By name, those after `after`. */
export function calendarsAfter(tx: ReadTx, after: string, rows: number): CalendarFacts[] {
  return tx.all<CalendarFacts>(selectAfter, after, rows);
}

/** Those whose events were followed up to an instant (epoch ms) and go on then, so many at most. */
export function calendarsKnownUntil(tx: ReadTx, most: number): { readonly name: string; readonly until: number }[] {
  return tx.all(selectUntil, most);
}

/** How many there are, and what their events weigh. */
export function calendarTotals(tx: ReadTx): { readonly calendars: number; readonly bytes: number } {
  return tx.get<{ calendars: number; bytes: number }>(selectTotal)!;
}

const write = change(
  "calendar.set",
  `insert or replace into calendar (${facts}, events) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
);
const remove = change("calendar.remove", "delete from calendar where name = ?");

/** A new one, or another one in its place. */
export function writeCalendar(tx: Tx, calendar: StoredCalendar): void {
  const { name, revision, description, bytes, spans, windows, until, set_at: at, set_by: by, events } = calendar;
  tx.run(write, name, revision, description, bytes, spans, windows, until, at, by, events);
}

/** Nothing goes by it any more. */
export function removeCalendar(tx: Tx, name: string): void {
  tx.run(remove, name);
}
