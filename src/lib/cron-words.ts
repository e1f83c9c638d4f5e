/** A timing in words, so that people see what they have written before it fires. */
import { toString as cronstrue } from "cronstrue";
import { formatInstant } from "./calendar.ts";
import { formatInZone } from "./calendar-zones.ts";
import { dayWords } from "./cron-day-words.ts";
import { plainCron, plainFields } from "./cron-fields.ts";
import type { Timing } from "./schedule-timing.ts";
import { formatDuration } from "./units.ts";

/** `every 15 minutes, from 08:00 to 17:59, on Monday to Friday, in Europe/Berlin`; the name is the schedule's, for `H`. */
export function timingWords(timing: Timing, name: string): string {
  const { cron, everyMs, at, tz, start, end } = timing;
  const from = start === undefined ? "" : `, from ${formatInZone(start, tz)} on`;
  const to = end === undefined ? "" : `, until ${formatInZone(end, tz)}`;
  if (at !== undefined) return `once, at ${formatInZone(at, tz)}`;
  if (everyMs !== undefined) return `every ${formatDuration(everyMs)}, counted from ${formatInstant(0)}${from}${to}`;
  const read = plainCron(cron!, name);
  return "plain" in read ? `${cronWords(read.plain)}, in ${tz}${from}${to}` : cron!;
}

function cronWords(plain: string): string {
  const { second, minute, hour, day, month, weekday, year } = plainFields(plain);
  const named = timesOf(second, minute, hour);
  // Of days it makes one text for "and" and "or", and knows no W in a list.
  const time =
    named ??
    cronstrue(`${second} ${minute} ${hour} * * *`, { use24HourTimeFormat: true })
      .replaceAll(" through ", " to ")
      .replaceAll(/between (\d\d:\d\d) and/g, "from $1 to");
  const days = dayWords(day, month, weekday, year);
  const lowered = `${time.charAt(0).toLowerCase()}${time.slice(1)}`;
  const everyDay = named === undefined ? "" : ", every day";
  return days === "" ? `${lowered}${everyDay}` : `${lowered}, ${days}`;
}

const timesNamed = 6;

/** `at 02:00 and 02:30` of a few times that are named; undefined: others. */
function timesOf(second: string, minute: string, hour: string): string | undefined {
  if (![second, minute, hour].every((field) => /^[\d,]+$/.test(field))) return undefined;
  const [seconds, minutes, hours] = [second, minute, hour].map((field) =>
    [...new Set(field.split(",").map(Number))].toSorted((a, b) => a - b).map((value) => String(value).padStart(2, "0")),
  );
  if (seconds!.length * minutes!.length * hours!.length > timesNamed) return undefined;
  const times = hours!.flatMap((h) =>
    minutes!.flatMap((m) => seconds!.map((s) => `${h}:${m}${second === "0" ? "" : `:${s}`}`)),
  );
  return `at ${times.length === 1 ? times[0] : `${times.slice(0, -1).join(", ")} and ${times.at(-1)}`}`;
}
