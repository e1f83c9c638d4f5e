/** What a change of clocks does to an instant of a schedule, in words. */
import { formatInstant } from "./calendar.ts";
import { offsetAt, offsetChanges, type OffsetChange } from "./calendar-zones.ts";
import { isFixedTime, plainCron } from "./cron-fields.ts";
import { instantsOf, type Timing } from "./schedule-timing.ts";

const dayMs = 86_400_000;
/** As far back as changes are looked for that left instants out; and times that are named of them. */
const lookBackMs = 400 * dayMs;
const namedMost = 3;

/** Of an instant that the timing gives; undefined: nothing happens to it. */
export function dstNote(timing: Timing, name: string, instant: number): string | undefined {
  if (timing.cron === undefined) return undefined;
  const read = plainCron(timing.cron, name);
  if (!("plain" in read)) return undefined;
  const isFixed = isFixedTime(read.plain);
  return repeatNote(timing, instant, isFixed) ?? gapNote(timing, name, instant, isFixed);
}

function repeatNote({ tz }: Timing, instant: number, isFixed: boolean): string | undefined {
  const local = instant + offsetAt(instant, tz);
  for (const change of offsetChanges(instant - dayMs, instant + dayMs, tz)) {
    const { atMs, beforeMs, afterMs } = change;
    if (local < atMs + afterMs || local >= atMs + beforeMs) continue;
    const which = isFixed ? "the first one fires" : `both fire, this is the ${instant < atMs ? "first" : "second"}`;
    return `clocks go back ${changeText(change)}: ${timeText(local)} happens twice: ${which}`;
  }
  return undefined;
}

function gapNote(timing: Timing, name: string, instant: number, isFixed: boolean): string | undefined {
  const { cron, tz } = timing;
  const before = instantsOf(timing, name).latestUpTo(instant - 1) ?? instant - dayMs;
  // Local times, as if they were UTC: what is missing is in the zone's gap.
  const locals = instantsOf({ cron: cron!, tz: "UTC" }, name);
  for (const change of offsetChanges(Math.max(before, instant - lookBackMs), instant, tz).toReversed()) {
    const { atMs, beforeMs, afterMs } = change;
    const missing: string[] = [];
    let local = locals.after(atMs + beforeMs - 1);
    for (; local !== undefined && local < atMs + afterMs && missing.length < namedMost; local = locals.after(local))
      missing.push(timeText(local));
    if (missing.length === 0) continue;
    const more = local !== undefined && local < atMs + afterMs ? " and more" : "";
    const day = atMs === instant ? "" : ` on ${formatInstant(atMs + beforeMs).slice(0, 10)}`;
    const does = missing.length === 1 ? "does" : "do";
    const what =
      isFixed && atMs === instant
        ? `${missing.length === 1 ? "fires" : "fire once"} at ${timeText(atMs + afterMs)}`
        : `${missing.length === 1 ? "is" : "are"} left out`;
    return `clocks go forward ${changeText(change)}${day}: ${missing.join(", ")}${more} ${does} not exist and ${what}`;
  }
  return undefined;
}

function changeText({ atMs, beforeMs, afterMs }: OffsetChange): string {
  return `${timeText(atMs + beforeMs)} -> ${timeText(atMs + afterMs)}`;
}

/** Of local milliseconds: 02:30, and its seconds where it has any. */
function timeText(local: number): string {
  return formatInstant(local).slice(11, 19).replace(/:00$/, "");
}
