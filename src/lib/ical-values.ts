import { dayMs, dayNumber, daysOfMonth } from "./wall-time.ts";

/** A time as an iCalendar file has it: a day, the time of a clock on a wall, or an instant. */
export type When =
  | { readonly kind: "day"; readonly wallMs: number }
  | { readonly kind: "wall"; readonly wallMs: number }
  | { readonly kind: "instant"; readonly epochMs: number };

/** 20261224, 20261224T180000 or 20261224T170000Z; undefined: it is none of these, or there is no such day or time. */
export function readWhen(text: string): When | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?$/.exec(text.trim().toUpperCase());
  if (parts === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  if (month < 1 || month > 12 || day < 1 || day > daysOfMonth(year, month)) return undefined;
  const wallMs = dayNumber(year, month, day) * dayMs;
  if (parts[4] === undefined) return { kind: "day", wallMs };
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const timed = wallMs + ((hour * 60 + minute) * 60 + second) * 1000;
  return parts[7] === undefined ? { kind: "wall", wallMs: timed } : { kind: "instant", epochMs: timed };
}

/** How long something is: days of a calendar, which have 23 or 25 hours now and then, and real time. */
export interface Length {
  readonly days: number;
  readonly ms: number;
}

/** P1D, P2W, PT1H30M; undefined: it is none, or goes backwards. */
export function readLength(text: string): Length | undefined {
  const form = /^\+?P(?=\d|T\d)(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,10})S)?)?$/;
  const parts = form.exec(text.trim().toUpperCase());
  if (parts === null) return undefined;
  const [weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = parts.slice(1).map((part) => Number(part ?? 0));
  return { days: weeks * 7 + days, ms: ((hours * 60 + minutes) * 60 + seconds) * 1000 };
}

/** +0200, -0330, +012345: milliseconds ahead of UTC. */
export function readOffset(text: string): number | undefined {
  const parts = /^([+-])(\d\d)([0-5]\d)([0-5]\d)?$/.exec(text.trim());
  if (parts === null || Number(parts[2]) > 23) return undefined;
  const size = (Number(parts[2]) * 60 + Number(parts[3])) * 60 + Number(parts[4] ?? 0);
  return (parts[1] === "-" ? -size : size) * 1000;
}
