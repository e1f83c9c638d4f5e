import { parseDuration } from "../lib/units.ts";

/** When a schedule is due, in our words. */
export type Timing = { cron: string; tz?: string } | { every: string } | { at: string };

/** What an expression of another system comes to; `notes`: what is otherwise. */
export type TimingRead = { readonly timing: Timing; readonly notes: readonly string[] } | { readonly problem: string };

/** Lowest and highest value of each field: minute, hour, day, month, weekday. */
const bounds = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 6],
] as const;

const everyNote = "@every counts from midnight UTC on, and does not begin anew when a leader changes or is restarted";
const tooWide = "a random part of it (~) has bounds that the field does not have";

const macros = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/** Of a crontab: five fields, or a word with @. */
export function timingOfCrontab(text: string): TimingRead {
  if (text.startsWith("@")) {
    if (macros.includes(text)) return { timing: { cron: text }, notes: [] };
    if (text === "@every_minute") return { timing: { cron: "* * * * *" }, notes: [] };
    if (text === "@reboot")
      return {
        problem:
          "@reboot runs when a host has started, which is no instant of a schedule: let the host's own cron or service manager do it",
      };
    return { problem: `${text} is not known: ${macros.join(", ")} are` };
  }
  const fields = text.split(" ");
  const translated = fields.map((field, at) => randomPart(field, at));
  const wrong = translated.findIndex((field) => field === undefined);
  if (wrong !== -1) return { problem: `"${fields[wrong]}": ${tooWide}` };
  const both = bothDays(fields);
  const cron = (both === undefined ? (translated as string[]) : bothDays(translated as string[])!).join(" ");
  const notes = [...(text.includes("~") ? [randomNote] : []), ...(both === undefined ? [] : [bothNote])];
  return { timing: { cron }, notes };
}

const bothNote =
  "day and weekday must both hold, as cron has it where one of them begins with *: that is what + before the weekday says";
const randomNote =
  "~ becomes H: a value that follows from the schedule's name and stays the same, where cron draws one at each start";

/** Of Kubernetes: five fields, a word with @, `@every`; a zone before them. */
export function timingOfKubernetes(text: string): TimingRead {
  return timingOfRobfig(text, 5);
}

/** Of Dkron: six fields, the first of which is the second; `~`, `@at`, `@minutely`. */
export function timingOfDkron(text: string): TimingRead {
  if (text === "@manually")
    return {
      problem:
        "@manually never comes by itself: keep the job as a template instead (`skein jobs template add`), and run it by name",
    };
  if (text === "@minutely") return { timing: { cron: "* * * * *" }, notes: [] };
  const at = /^@at\s+(\S+)$/.exec(text)?.[1];
  if (at !== undefined) return { timing: { at }, notes: [] };
  return timingOfRobfig(text, 6);
}

function timingOfRobfig(text: string, count: 5 | 6): TimingRead {
  const [, zone, rest] = /^(?:(?:CRON_)?TZ=(\S+)\s+)?(.*)$/s.exec(text.trim())!;
  const tz = zone === undefined ? {} : { tz: zone };
  if (rest!.startsWith("@")) {
    const every = /^@every\s+(\S+)$/.exec(rest!)?.[1];
    if (every !== undefined) {
      const duration = goDuration(every);
      return duration === undefined
        ? { problem: `@every ${every}: not a duration` }
        : { timing: { every: duration }, notes: [everyNote] };
    }
    return macros.includes(rest!)
      ? { timing: { cron: rest!, ...tz }, notes: [] }
      : { problem: `${rest} is not known: ${macros.join(", ")} and @every are` };
  }
  const fields = rest!.split(/\s+/);
  if (fields.length !== count) {
    const names = count === 5 ? "minute, hour, day, month, weekday" : "second, minute, hour, day, month, weekday";
    return {
      problem: `"${rest}" has ${fields.length} field${fields.length === 1 ? "" : "s"}: ${count} are needed (${names})`,
    };
  }
  const cron = fields
    // Any value, for these two; for others the present one.
    .map((field) => field.replaceAll("?", "*"))
    .map((field) => (count === 6 ? hashed(field) : field))
    .join(" ");
  const notes = cron.includes("H") && rest!.includes("~") ? [hashNote] : [];
  return { timing: { cron, ...tz }, notes };
}

const hashNote = "~ becomes H: a value that follows from the schedule's name too, but not the same one";

/** Dkron puts one number into the place of ~, whatever stands around it. */
function hashed(field: string): string {
  return field.replaceAll("~", "H");
}

/** `0~30` is a value that is drawn: H(0-30), which follows from the name. undefined: its bounds are none of the field's. */
function randomPart(field: string, at: number): string | undefined {
  if (!field.includes("~")) return field;
  const [low, high] = bounds[at]!;
  const parts = field.split(",").map((part) => {
    const match = /^(\d*)~(\d*)(\/\d+)?$/.exec(part);
    if (match === null) return part.includes("~") ? undefined : part;
    const [from, to, step] = [Number(match[1] || low), Number(match[2] || high), match[3] ?? ""];
    if (from < low || to > high || from > to) return undefined;
    // The whole field is H alone, which keeps to days that every month has.
    return `${match[1] === "" && match[2] === "" ? "H" : `H(${from}-${to})`}${step}`;
  });
  return parts.includes(undefined) ? undefined : parts.join(",");
}

/**
 * In cron a day field that begins with * lets the other one decide: both must hold. So it is for us with a + before the weekday, where either would do
 * without it.
 */
function bothDays(fields: readonly string[]): readonly string[] | undefined {
  const [minute, hour, day, month, weekday] = fields;
  const isBoth = day !== "*" && weekday !== "*" && (day!.startsWith("*") || weekday!.startsWith("*"));
  return isBoth ? [minute!, hour!, day!, month!, `+${weekday}`] : undefined;
}

/** A duration as Go writes it ("1h30m", "1.5h", "90s") in ours; undefined: it is none that we could keep. */
export function goDuration(text: string): string | undefined {
  const ms = parseDuration(text);
  if (ms === undefined || /[dw]/.test(text)) return undefined;
  return text;
}
