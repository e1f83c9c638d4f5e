import type { Timing } from "../../src/lib/schedule-timing.ts";

/**
 * The instants of a schedule by the simplest of means: minute after minute is looked at in its zone, and nothing of src/lib is used. Of cron it knows what cron-clients.ts draws: five
 * fields of numbers, lists, `*`, `* /n` and ranges, days of the month always `*`.
 */

const minuteMs = 60_000;
/** Nobody looks further than that for the next one. */
const furthestMs = 3 * 86_400_000;

/** The first one behind `after` and not behind `until` (epoch ms). */
export function nextInstant(timing: Timing, after: number, until: number): number | undefined {
  const { everyMs, at, cron, tz, start = -Infinity, end = Infinity } = timing;
  const last = Math.min(until, end);
  const begin = Math.max(after + 1, start);
  if (at !== undefined) return at >= begin && at <= last ? at : undefined;
  if (everyMs !== undefined) {
    const next = Math.ceil(begin / everyMs) * everyMs;
    return next <= last ? next : undefined;
  }
  const fields = cron!.split(" ");
  const furthest = Math.min(last, begin + furthestMs);
  for (let minute = Math.ceil(begin / minuteMs) * minuteMs; minute <= furthest; minute += minuteMs)
    if (isDue(fields, localOf(minute, tz))) return minute;
  return undefined;
}

interface Local {
  readonly minute: number;
  readonly hour: number;
  readonly weekday: number;
}

function isDue(fields: readonly string[], { minute, hour, weekday }: Local): boolean {
  return matches(fields[0]!, minute) && matches(fields[1]!, hour) && matches(fields[4]!, weekday);
}

function matches(field: string, value: number): boolean {
  return field.split(",").some((part) => {
    if (part === "*") return true;
    if (part.startsWith("*/")) return value % Number(part.slice(2)) === 0;
    const [low, high = low] = part.split("-").map(Number);
    return value >= low! && value <= high!;
  });
}

const formats = new Map<string, Intl.DateTimeFormat>();
const known = new Map<string, Local>();

function localOf(at: number, tz: string): Local {
  const key = `${tz} ${at}`;
  let local = known.get(key);
  if (local === undefined) {
    let format = formats.get(tz);
    if (format === undefined) {
      format = new Intl.DateTimeFormat("en-GB", {
        timeZone: tz,
        hourCycle: "h23",
        hour: "numeric",
        minute: "numeric",
        weekday: "short",
      });
      formats.set(tz, format);
    }
    const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type as string, value]));
    local = {
      minute: Number(parts.get("minute")),
      hour: Number(parts.get("hour")),
      weekday: ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].indexOf(parts.get("weekday")!),
    };
    known.set(key, local);
  }
  return local;
}
