/** When a schedule is due: its timing as the log keeps it, and the instants that follow from that. */
import { parseInstant } from "./calendar.ts";
import { CronCalendar } from "./calendar-cron.ts";
import { zoneNamed, zonesLike } from "./calendar-zones.ts";
import { plainCron } from "./cron-fields.ts";
import { bounded, each, once, recurring, type Instants } from "./instants.ts";
import { limits } from "./limits.ts";
import { Recent } from "./memo.ts";
import type { Problem } from "./outcome.ts";
import { formatDuration, parseDuration } from "./units.ts";

/** Exactly one of the first three. Instants are epoch milliseconds; those of `start` and `end` count. */
export interface Timing {
  /** As it was written. */
  readonly cron?: string;
  /** Whole multiples of this since the epoch, so that a restart moves nothing. */
  readonly everyMs?: number;
  readonly at?: number;
  readonly tz: string;
  readonly start?: number;
  readonly end?: number;
}

const remembered = new Recent<Instants>(256);

/**
 * Those of the schedule of that name, which `H` asks for. Throws when the expression is none, which readTiming never lets through, and when this host's data
 * lack the zone, which those of another host may have.
 */
export function instantsOf(timing: Timing, name: string): Instants {
  const { cron, everyMs, at, tz, start, end } = timing;
  if (at !== undefined) return bounded(once(at), start, end);
  if (everyMs !== undefined) return bounded(each(everyMs), start, end);
  const key = JSON.stringify([cron, tz, start, end, /h/i.test(cron!) ? name : ""]);
  const before = remembered.get(key);
  if (before !== undefined) return before;
  const read = plainCron(cron!, name);
  if ("mistakes" in read) throw new Error(`"${cron}": ${read.mistakes.join("; ")}`);
  const made = bounded(recurring(new CronCalendar(read.plain, tz)), start, end);
  remembered.set(key, made);
  return made;
}

/** What people write of a timing; nothing of it has been looked at. */
export interface TimingInput {
  readonly cron?: unknown;
  readonly every?: unknown;
  readonly at?: unknown;
  readonly tz?: unknown;
  readonly start?: unknown;
  readonly end?: unknown;
}

/** `@every 1s` is the least, and ten years are the most. */
const everyLeastMs = 1000;
const everyMostMs = 3653 * 86_400_000;
const emptyMostMs = (5 * 365 + 2) * 86_400_000;

/**
 * The timing that was written for the schedule of that name, or all that is wrong with it. What has no run within 5 years of `now` is refused; without a
 * `now`, within 5 years of its `start` or of any time, and where it names its years, ever.
 */
export function readTiming(
  input: TimingInput,
  name: string,
  now?: number,
): { readonly timing: Timing } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const tell = (path: string, message: string): void => void problems.push({ path, message });
  const { cron, every, at, tz, start, end } = textsOf(input, tell);
  const given = Object.entries({ cron, every, at }).flatMap(([path, text]) => (text === undefined ? [] : [path]));
  if (given.length === 0 && problems.length === 0) tell("", "says not when: give one of cron, every and at");
  for (const path of given.slice(1)) tell(path, `goes not with ${given[0]}: each says when a schedule is due`);

  const timing: Timing = {
    ...(cron === undefined ? {} : cronOf(cron, name, tell)),
    ...(every === undefined ? {} : everyOf("every", every, tell)),
    ...member("at", instantOf("at", at, tell)),
    tz: tz === undefined ? "UTC" : zoneOf(tz, tell),
    ...member("start", instantOf("start", start, tell)),
    ...member("end", instantOf("end", end, tell)),
  };
  if (problems.length === 0) checkBounds(timing, name, now, tell);
  return problems.length === 0 ? { timing } : { problems };
}

type Tell = (path: string, message: string) => void;

/** What is absent, null counted, is undefined. */
function textsOf(input: TimingInput, tell: Tell): Partial<Record<keyof TimingInput, string>> {
  const texts: Partial<Record<keyof TimingInput, string>> = {};
  for (const path of ["cron", "every", "at", "tz", "start", "end"] as const) {
    const value = input[path];
    if (typeof value === "string") texts[path] = value.trim();
    else if (value !== undefined && value !== null) tell(path, "is no text");
  }
  return texts;
}

function cronOf(text: string, name: string, tell: Tell): Pick<Timing, "cron" | "everyMs" | "at"> {
  const [word, ...rest] = text.split(/\s+/);
  if (/^@every$/i.test(word!)) return everyOf("cron", rest.join(""), tell);
  if (/^@at$/i.test(word!)) return member("at", instantOf("cron", rest.join(" "), tell));
  if (text.length > limits.cronLength) tell("cron", `is longer than ${limits.cronLength} characters`);
  const read = plainCron(text.slice(0, limits.cronLength), name);
  if ("mistakes" in read) for (const mistake of read.mistakes) tell("cron", mistake);
  return { cron: text };
}

function everyOf(path: string, text: string, tell: Tell): Pick<Timing, "everyMs"> {
  const everyMs = parseDuration(text);
  if (everyMs === undefined) tell(path, `"${text}" is not a duration: write 5m or 1h30m`);
  else if (everyMs < everyLeastMs) tell(path, `"${text}" is shorter than ${formatDuration(everyLeastMs)}`);
  else if (everyMs > everyMostMs) tell(path, `"${text}" is longer than 10 years`);
  else return { everyMs };
  return {};
}

function instantOf(path: string, text: string | undefined, tell: Tell): number | undefined {
  if (text === undefined) return undefined;
  const instant = parseInstant(text);
  if (instant === undefined) tell(path, `"${text}" is not an instant: write 2026-12-01T02:00:00Z, with its zone`);
  return instant;
}

/** A member that is there when its value is. */
function member<Key extends string>(key: Key, value: number | undefined): { readonly [key in Key]?: number } {
  return value === undefined ? {} : ({ [key]: value } as { [key in Key]: number });
}

function zoneOf(text: string, tell: Tell): string {
  const zone = zoneNamed(text);
  if (zone !== undefined) return zone;
  const near = /^[+-]/.test(text) ? [] : zonesLike(text);
  const hint = near.length === 0 ? "write one such as Europe/Berlin" : `is it ${near.join(", ")}?`;
  tell("tz", `"${text}" is no time zone: ${hint}`);
  return "UTC";
}

function checkBounds(timing: Timing, name: string, now: number | undefined, tell: Tell): void {
  const { cron, everyMs, at, start, end } = timing;
  if (start !== undefined && end !== undefined && start >= end) return tell("end", "is not after start");
  if (at !== undefined && end !== undefined && at > end) return tell("at", "is after end: it would never be due");
  if (at !== undefined && start !== undefined && at < start)
    return tell("at", "is before start: it would never be due");
  if (at !== undefined) return;
  const path = cron === undefined ? "every" : "cron";
  const from = Math.max(start ?? 0, now ?? 0) - 1;
  const first = instantsOf(timing, name).after(from);
  if (first === undefined && end !== undefined) return tell(path, "has no run between start and end");
  // What is rare has its run within ten years, and is what was asked for.
  if (everyMs !== undefined) return;
  const isYearNamed = cron!.split(/\s+/).length === 7;
  if (first !== undefined && (first - from <= emptyMostMs || (isYearNamed && now === undefined))) return;
  if (first !== undefined) return tell(path, "has no run within 5 years");
  tell(path, instantsOf(timing, name).latestUpTo(from) === undefined ? "has no run" : "has no run any more");
}
