import type { Instants } from "./instants.ts";
import { instantsOf } from "./schedule-timing.ts";

/**
 * When a calendar is on: in spans of time, and in windows that a cron expression opens again and again. Schedules that name it do not fire then, or only then.
 * What is kept and replicated is this alone, whatever it was made from (ical-events.ts).
 */
export interface CalendarEvents {
  /** Epoch ms, half open, in order, none touching the next: {@link mergeSpans}. */
  readonly spans: readonly Span[];
  readonly windows: readonly CalendarWindow[];
}

export type Span = readonly [from: number, to: number];

/** On from each instant of the expression for so long: real time, also where clocks are put forward or back meanwhile. */
export interface CalendarWindow {
  readonly cron: string;
  readonly tz: string;
  readonly forMs: number;
}

/** How a schedule goes by a calendar: it does not fire while that is on, or only then. */
export interface CalendarUse {
  readonly events: CalendarEvents;
  readonly mode: "closes" | "only";
}

/** In order, and as few as can be; those that are empty are left out. */
export function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: [number, number][] = [];
  for (const [from, to] of [...spans].sort(([a], [b]) => a - b)) {
    if (to <= from) continue;
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** Whether spans are as {@link mergeSpans} leaves them. */
export function isMerged(spans: readonly Span[]): boolean {
  return spans.every(([from, to], at) => from < to && (at === 0 || spans[at - 1]![1] < from));
}

/** Whether it is on at that instant. */
export function isOn(events: CalendarEvents, epochMs: number): boolean {
  return endOf(events, epochMs) !== undefined;
}

/** Whether a schedule that goes by these fires at that instant. */
export function isOpen(calendars: readonly CalendarUse[], epochMs: number): boolean {
  return calendars.every(({ events, mode }) => isOn(events, epochMs) === (mode === "only"));
}

/** When it is on or off next. */
export interface NextChange {
  readonly isOn: boolean;
  /** Epoch ms; undefined: it stays as it is, as far as was looked. */
  readonly at: number | undefined;
  /** It was not looked further than this, up to where it stays as it is. */
  readonly atLeast?: number;
}

/** Windows that follow each other without a break are gone through up to here. */
const mostLooked = 100;

/** Whether it is on at that instant, and until when that is so. */
export function nextChange(events: CalendarEvents, epochMs: number, most = mostLooked): NextChange {
  let end = endOf(events, epochMs);
  if (end === undefined) {
    const span = events.spans[firstAfter(events.spans, epochMs)];
    const begins = events.windows.map((window) => instantsIn(window).after(epochMs));
    const next = [span?.[0], ...begins].filter((at) => at !== undefined);
    return { isOn: false, at: next.length === 0 ? undefined : Math.min(...next) };
  }
  for (let looked = 0; looked < most; looked++) {
    const further = endOf(events, end);
    if (further === undefined) return { isOn: true, at: end };
    end = further;
  }
  return { isOn: true, at: undefined, atLeast: end };
}

/** Until when what is on at that instant is, leaving aside what begins meanwhile; undefined: nothing is on. */
function endOf({ spans, windows }: CalendarEvents, epochMs: number): number | undefined {
  const span = spans[firstAfter(spans, epochMs) - 1];
  let end = span !== undefined && epochMs < span[1] ? span[1] : undefined;
  for (const window of windows) {
    const began = instantsIn(window).latestUpTo(epochMs);
    if (began === undefined || epochMs >= began + window.forMs) continue;
    end = Math.max(end ?? 0, began + window.forMs);
  }
  return end;
}

/** The place of the first span that begins after that instant. */
function firstAfter(spans: readonly Span[], epochMs: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]![0] <= epochMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

const read = new WeakMap<CalendarWindow, Instants>();

function instantsIn(window: CalendarWindow): Instants {
  let instants = read.get(window);
  if (instants === undefined) {
    instants = instantsOf({ cron: window.cron, tz: window.tz }, "");
    read.set(window, instants);
  }
  return instants;
}
