/** A timing in words, so that people see what they have written before it fires. */
import { toString as cronstrue } from "cronstrue";
import { formatInstant } from "./calendar.ts";
import { formatInZone } from "./calendar-zones.ts";
import { dayWords, isAll } from "./cron-day-words.ts";
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
  const { day, month, weekday, year, ...time } = plainFields(plain);
  const [second, minute, hour] = [evenField(time.second, 60), evenField(time.minute, 60), evenField(time.hour, 24)];
  const named = timesOf(second, minute, hour);
  // Of days it makes one text for "and" and "or", and knows no W in a list.
  const words =
    named ??
    cronstrue(`${second} ${minute} ${hour} * * *`, { use24HourTimeFormat: true })
      .replaceAll(" through ", " to ")
      .replaceAll(/between (\d\d:\d\d) and/g, "from $1 to");
  const days = dayWords(day, month, weekday, year);
  const lowered = `${words.charAt(0).toLowerCase()}${words.slice(1)}`;
  const everyDay = named === undefined ? "" : ", every day";
  return days === "" ? `${lowered}${everyDay}` : `${lowered}, ${days}`;
}

/** So that it can be told as "every so many": all is one star, and steps that begin anew at unequal distance (*\/7 of 60) are the values that they give. */
function evenField(field: string, size: number): string {
  if (isAll(field)) return "*";
  const terms = field.split(",").map((term) => unevenValues(term, size) ?? term);
  if (terms.every((term) => typeof term === "string")) return field;
  const whole = terms.flat();
  if (!whole.every((term) => typeof term === "number" || /^\d+$/.test(term))) return whole.join(",");
  return [...new Set(whole.map(Number))].toSorted((a, b) => a - b).join(",");
}

const valuesNamed = 12;

/** Of steps that go on to the end of their field, and there to the first one by another distance; undefined: of others, and of too many to name. */
function unevenValues(term: string, size: number): number[] | undefined {
  const [span, by] = term.split("/");
  if (by === undefined) return undefined;
  const [from, to] = span === "*" ? [0, size - 1] : span!.split("-").map(Number);
  const step = Number(by);
  const values: number[] = [];
  for (let value = from!; value <= to!; value += step) values.push(value);
  const next = values.at(-1)! + step;
  const isUneven = next >= size && next - size !== from;
  return isUneven && values.length <= valuesNamed ? values : undefined;
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
