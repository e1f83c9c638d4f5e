import { type CalendarEvents, type CalendarWindow, mergeSpans, type Span } from "./calendar-events.ts";
import { parseInstant } from "./calendar.ts";
import { limits } from "./limits.ts";
import type { Problem } from "./outcome.ts";
import { readTiming } from "./schedule-timing.ts";
import { formatDuration, parseDuration } from "./units.ts";

/** What people write of a calendar's events; nothing of it has been looked at but how many there are. */
export interface CalendarInput {
  readonly spans: readonly unknown[];
  readonly windows: readonly unknown[];
}

type Tell = (path: string, message: string) => void;
const spansAtOnce = 500;

/** The expression and zone of a window, or all that is wrong with them. */
export function readWindow(window: { readonly cron: string; readonly tz: string }): ReturnType<typeof readTiming> {
  const read = readTiming(window, "");
  if ("problems" in read || read.timing.cron !== undefined) return read;
  return { problems: [{ path: "cron", message: "must be a cron expression: each window begins at an instant of it" }] };
}

/** The events that were written, or everything that is wrong with them. Rests after some of them. */
export function* readCalendarInput({
  spans,
  windows,
}: CalendarInput): Generator<
  undefined,
  { readonly events: CalendarEvents } | { readonly problems: readonly Problem[] },
  undefined
> {
  const problems: Problem[] = [];
  const tell: Tell = (path, message) => {
    if (problems.length < limits.problemsPerRequest) problems.push({ path, message });
  };
  const read: Span[] = [];
  for (const [at, span] of spans.entries()) {
    if (at % spansAtOnce === spansAtOnce - 1) yield;
    const path = `spans[${at}]`;
    const fields = fieldsOf(span, ["from", "to"], path, tell);
    if (fields === undefined) continue;
    const [from, to] = [instantIn(fields["from"], `${path}.from`, tell), instantIn(fields["to"], `${path}.to`, tell)];
    if (from === undefined || to === undefined) continue;
    if (to <= from) tell(`${path}.to`, "is not after from");
    else read.push([from, to]);
  }
  yield;
  const opened: CalendarWindow[] = [];
  for (const [at, window] of windows.entries()) {
    const path = `windows[${at}]`;
    const fields = fieldsOf(window, ["cron", "tz", "for"], path, tell);
    if (fields !== undefined) opened.push(...windowIn(fields, path, tell));
    yield;
  }
  return problems.length > 0 ? { problems } : { events: { spans: mergeSpans(read), windows: opened } };
}

function fieldsOf(
  value: unknown,
  known: readonly string[],
  path: string,
  tell: Tell,
): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    tell(path, `must have ${known.join(", ")}`);
    return undefined;
  }
  for (const key of Object.keys(value)) if (!known.includes(key)) tell(`${path}.${key}`, "no such key");
  return value as Readonly<Record<string, unknown>>;
}

function instantIn(value: unknown, path: string, tell: Tell): number | undefined {
  const instant = typeof value === "string" ? parseInstant(value) : undefined;
  if (value === undefined) tell(path, "is required");
  else if (instant === undefined) tell(path, "must be an instant: 2026-12-24T00:00:00Z, with its zone");
  return instant;
}

function windowIn(
  { cron, tz = "UTC", for: length }: Readonly<Record<string, unknown>>,
  path: string,
  tell: Tell,
): CalendarWindow[] {
  const forMs = typeof length === "string" ? parseDuration(length) : undefined;
  if (length === undefined) tell(`${path}.for`, "is required: how long it is open");
  else if (forMs === undefined || forMs < 1000 || forMs > limits.calendarWindowMs)
    tell(`${path}.for`, `must be a duration from 1s to ${formatDuration(limits.calendarWindowMs)}`);
  if (cron === undefined) return (tell(`${path}.cron`, "is required: when it opens"), []);
  if (typeof cron !== "string" || cron.length > 1000) return (tell(`${path}.cron`, "must be a cron expression"), []);
  if (typeof tz !== "string") return (tell(`${path}.tz`, "must be the name of a time zone"), []);
  const read = readWindow({ cron, tz });
  if ("problems" in read) {
    for (const { path: field, message } of read.problems) tell(`${path}.${field === "" ? "cron" : field}`, message);
    return [];
  }
  return forMs === undefined ? [] : [{ cron: read.timing.cron ?? cron, tz: read.timing.tz, forMs }];
}
