import { plainCron } from "../lib/cron-fields.ts";
import { parseDuration } from "../lib/units.ts";

/** When a line of a crontab is due, and in which zone. */
export type Times = { readonly time: string; readonly zone: string } | { readonly problem: string };

/** The five fields of a schedule, or the word with @; or why it has none. */
export function timesOf(schedule: Readonly<Record<string, unknown>>, name: string): Times {
  const {
    cron,
    every,
    tz = "UTC",
  } = schedule as { readonly cron?: string; readonly every?: string; readonly tz?: string };
  if (every !== undefined) return ofInterval(every);
  if (cron === undefined) return { problem: "is due once (at), which has no crontab form" };
  if (cron.startsWith("@")) return { time: cron, zone: tz };
  // H and 5/15 as every cron reads them.
  const needsPlain = /(^|[\s,])(H([\s,(/]|$)|\d+\/)/i.test(cron);
  const plain = needsPlain ? plainCron(cron, name) : { plain: cron };
  if ("mistakes" in plain) return { problem: plain.mistakes.join("; ") };
  const fields = plain.plain.trim().split(/\s+/);
  if (fields.length === 7 && fields[6] === "*") fields.pop();
  if (fields.length === 6 && /^0+$/.test(fields[0]!)) fields.shift();
  if (fields.length !== 5) return { problem: `"${cron}" has seconds or years, which a crontab has not` };
  const odd = fields.find(
    (field, at) => /[#!]/.test(field) || (at === 2 && /[LW]/i.test(field)) || (at === 4 && /\dL|^L/i.test(field)),
  );
  if (odd !== undefined) return { problem: `"${odd}" of "${cron}" has no crontab form` };
  const time = withBothDays(fields);
  return time === undefined
    ? { problem: `"${cron}": that day and weekday must both hold has no crontab form` }
    : { time, zone: tz };
}

/** In cron either day does, unless one of them begins with *: then both must hold. */
function withBothDays(fields: readonly string[]): string | undefined {
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const isBoth = weekday.startsWith("+");
  const plain = isBoth ? weekday.slice(1) : weekday;
  const write = (days: string, weekdays: string): string => [minute, hour, days, month, weekdays].join(" ");
  if (day === "*" || plain === "*") return write(day, plain);
  const begins = day.startsWith("*") || plain.startsWith("*");
  if (isBoth) return begins ? write(day, plain) : undefined;
  return write(day.replace(/^\*/, "1-31"), plain.replace(/^\*/, "0-6"));
}

const minuteMs = 60_000;

/** An interval that divides an hour, or a day, counts from midnight UTC. */
function ofInterval(every: string): Times {
  const minutes = (parseDuration(every) ?? 0) / minuteMs;
  const hours = minutes / 60;
  const at = (time: string): Times => ({ time, zone: "UTC" });
  if (minutes === 1) return at("* * * * *");
  if (minutes > 0 && 60 % minutes === 0 && minutes < 60) return at(`*/${minutes} * * * *`);
  if (hours === 1) return at("0 * * * *");
  if (hours === 24) return at("0 0 * * *");
  if (Number.isInteger(hours) && hours > 0 && 24 % hours === 0) return at(`0 */${hours} * * *`);
  return { problem: `every ${every} divides neither an hour nor a day into minutes, so it has no crontab form` };
}
