/** Rows of instants, asked in epoch milliseconds. */
import type { CronCalendar } from "./calendar-cron.ts";

/** The instants of a timing. Asking never throws, whatever the instant. */
export interface Instants {
  /** The first one after that; undefined: none ever. */
  after(ms: number): number | undefined;
  /** The newest one that is not after that; undefined: none yet. */
  latestUpTo(ms: number): number | undefined;
}

/** One instant alone. */
export function once(at: number): Instants {
  return {
    after: (ms) => (ms < at ? at : undefined),
    latestUpTo: (ms) => (ms >= at ? at : undefined),
  };
}

/** The whole multiples of a distance since the epoch. */
export function each(everyMs: number): Instants {
  return {
    after: (ms) => (Math.floor(ms / everyMs) + 1) * everyMs,
    latestUpTo: (ms) => Math.floor(ms / everyMs) * everyMs,
  };
}

/** Those of a calendar. */
export function recurring(calendar: CronCalendar): Instants {
  // Evaluators ask again and again for what follows one moment: nothing lies between these two.
  let from = Infinity;
  let next: number | undefined;
  const after = (ms: number): number | undefined => {
    if (ms >= from && (next === undefined || ms < next)) return next;
    next = calendar.next(ms);
    from = ms;
    return next;
  };
  return {
    after,
    latestUpTo: (ms) => calendar.previous(ms + 1),
  };
}

/** Only those from `start` to `end`, both counted. */
export function bounded(all: Instants, start = -Infinity, end = Infinity): Instants {
  if (start === -Infinity && end === Infinity) return all;
  return {
    after: (ms) => {
      const found = all.after(Math.max(ms, start - 1));
      return found === undefined || found > end ? undefined : found;
    },
    latestUpTo: (ms) => {
      const found = all.latestUpTo(Math.min(ms, end));
      return found === undefined || found < start ? undefined : found;
    },
  };
}
