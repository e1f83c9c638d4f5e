export interface CalendarEvents { readonly spans: readonly (readonly [number, number])[]; readonly windows: readonly { readonly cron: string; readonly tz: string; readonly forMs: number }[] }
export function isOpen(calendars: readonly { events: CalendarEvents; mode: "closes" | "only" }[], at: number): boolean {
  return calendars.every(({ events, mode }) => events.spans.some(([a, b]) => at >= a && at < b) === (mode === "only"));
}
