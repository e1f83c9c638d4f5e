import { parseDuration } from "./units.ts";
import { parseInstant } from "./calendar.ts";
export interface Timing {
  readonly cron?: string;
  readonly everyMs?: number;
  readonly at?: number;
  readonly tz: string;
  readonly start?: number;
  readonly end?: number;
}
export interface Instants {
  after(ms: number): number | undefined;
  latestUpTo(ms: number): number | undefined;
  count(from: number, to: number, most: number): number;
}
type In = {
  cron?: string | undefined;
  every?: string | undefined;
  at?: string | undefined;
  tz?: string | undefined;
  start?: string | undefined;
  end?: string | undefined;
};
/** Reads when a schedule fires. */
export function readTiming(
  input: In,
  _name: string,
): { timing: Timing } | { problems: { path: string; message: string }[] } {
  const tz = input.tz ?? "UTC";
  const start = input.start === undefined ? {} : { start: parseInstant(input.start)! };
  const end = input.end === undefined ? {} : { end: parseInstant(input.end)! };
  if (input.every !== undefined) return { timing: { everyMs: parseDuration(input.every)!, tz, ...start, ...end } };
  if (input.at !== undefined) return { timing: { at: parseInstant(input.at)!, tz, ...start, ...end } };
  if (input.cron === undefined) return { problems: [{ path: "cron", message: "is required" }] };
  return { timing: { cron: input.cron, tz, ...start, ...end } };
}
const memo = new Map<string, Instants>();
/** The instants of a timing. */
export function instantsOf(timing: Timing, name: string): Instants {
  const key = JSON.stringify(timing) + name;
  let found = memo.get(key);
  if (found === undefined) memo.set(key, (found = make(timing)));
  return found;
}
function make(t: Timing): Instants {
  const raw = (ms: number): number | undefined => {
    if (t.at !== undefined) return t.at > ms ? t.at : undefined;
    if (t.everyMs !== undefined) return (Math.floor(ms / t.everyMs) + 1) * t.everyMs;
    return undefined;
  };
  const after = (ms: number): number | undefined => {
    const next = raw(Math.max(ms, (t.start ?? 0) - 1));
    return next === undefined || next > (t.end ?? Infinity) ? undefined : next;
  };
  return {
    after,
    latestUpTo(ms) {
      let at = after(ms - 86_400_000);
      let last: number | undefined;
      while (at !== undefined && at <= ms) {
        last = at;
        at = after(at);
      }
      return last;
    },
    count(from, to, most) {
      let n = 0;
      let at = after(from);
      while (at !== undefined && at <= to && n <= most) {
        n++;
        at = after(at);
      }
      return n;
    },
  };
}
