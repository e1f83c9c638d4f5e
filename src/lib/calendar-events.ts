export interface CalendarEvents {
  readonly spans: readonly (readonly [number, number])[];
  readonly windows: readonly { readonly cron: string; readonly tz: string; readonly forMs: number }[];
}
/** Whether none of the calendars closes that instant. */
export function isOpen(calendars: readonly { events: CalendarEvents; mode: "closes" | "only" }[], at: number): boolean {
  return calendars.every(({ events, mode }) => events.spans.some(([a, b]) => at >= a && at < b) === (mode === "only"));
}
