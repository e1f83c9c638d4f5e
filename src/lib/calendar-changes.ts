import { type CalendarEvents, nextChange } from "./calendar-events.ts";

/** For how long calendars stay as they are, found once for all who ask of the same events: a list of schedules goes by a few calendars. */

/** A calendar as it is from an instant on. */
export interface Stretch {
  readonly isOn: boolean;
  /** Epoch ms, up to and without; Infinity: for ever. Behind it the calendar is not surely another. */
  readonly until: number;
  /** What it has cost to find out: instants that were asked for, about. */
  readonly looks: number;
}

interface Known {
  readonly from: number;
  readonly isOn: boolean;
  readonly until: number;
}

/** Windows that follow each other without a break are gone through so far at once. */
const windowsAtOnce = 8;
/** More of one calendar are forgotten again. */
const mostKnown = 1_000;

const known = new WeakMap<CalendarEvents, Known[]>();

/** What a calendar is at that instant, and until when that is so at least. */
export function stretchFrom(events: CalendarEvents, epochMs: number): Stretch {
  let stretches = known.get(events);
  if (stretches === undefined || stretches.length >= mostKnown) {
    stretches = [];
    known.set(events, stretches);
  }
  const place = firstAfter(stretches, epochMs);
  const before = stretches[place - 1];
  if (before !== undefined && epochMs < before.until) return { isOn: before.isOn, until: before.until, looks: 0 };
  const { isOn, at, atLeast = Infinity } = nextChange(events, epochMs, windowsAtOnce);
  const until = at ?? atLeast;
  stretches.splice(place, 0, { from: epochMs, isOn, until });
  return { isOn, until, looks: 1 + 2 * events.windows.length };
}

/** The place of the first one that begins after that instant. */
function firstAfter(stretches: readonly Known[], epochMs: number): number {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[middle]!.from <= epochMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
