import type { FireView, ScheduleDetailView, ScheduleView, UpcomingView } from "../state/answers.ts";
import { parseInstant } from "../lib/calendar.ts";
import { dstNote } from "../lib/cron-dst.ts";
import { timingWords } from "../lib/cron-words.ts";
import { readTiming } from "../lib/schedule-timing.ts";
import { formatDuration } from "../lib/units.ts";
import type { Output } from "./output.ts";
import { stateColour } from "./text.ts";
import { instantText } from "./views.ts";

/** When it fires, as it was written: "30 2 * * *", "every 5m", "once at …". */
export function whenText({ cron, every, at }: Pick<ScheduleView, "cron" | "every" | "at">): string {
  if (cron !== undefined) return cron;
  return every === undefined ? `at ${instantText(at ?? "")}` : `every ${every}`;
}

/** The same in words. */
export function timingText({ name, cron, every, at, tz, start, end }: ScheduleView): string {
  const read = readTiming({ cron, every, at, tz, start, end }, name);
  return "timing" in read ? timingWords(read.timing, name) : whenText(cron === undefined ? {} : { cron });
}

/** "in 5m" of what is to come, "3s ago" of what is past, in the two largest units: "in 2d8h". */
function relativeText(instant: string, now: number): string {
  const ms = (parseInstant(instant) ?? now) - now;
  const far = Math.abs(ms);
  const unit = far < 3_600_000 ? 1_000 : far < 86_400_000 ? 60_000 : 3_600_000;
  const whole = formatDuration(Math.round(far / unit) * unit);
  return ms >= 0 ? `in ${whole}` : `${whole} ago`;
}

/** The next instants that fire, with what changes of clocks do to them. */
export function upcomingOf(schedule: ScheduleDetailView): readonly UpcomingView[] {
  const read = readTiming(schedule, schedule.name);
  if (!("timing" in read)) return schedule.upcoming;
  return schedule.upcoming.map((one) => {
    const note = one.note ?? dstNote(read.timing, schedule.name, parseInstant(one.at)!);
    return note === undefined ? one : { ...one, note };
  });
}

/** Why it has no next instant, as the mesh says. Members of before did not say it. */
export function noNextText({ no_next: none }: Pick<ScheduleView, "no_next">): string {
  return none?.message ?? "the mesh knows of none";
}

/** Why there are no more behind those that are shown; undefined: nothing is odd about that. */
export function upcomingEndText({ upcoming_end: end }: ScheduleDetailView): string | undefined {
  return end === undefined || end.reason === "ended" ? undefined : `behind these: ${end.message}`;
}

/** The next instants of a schedule, in its zone and in UTC. */
export function printUpcoming(out: Output, schedule: ScheduleDetailView): void {
  const { tz } = schedule;
  const upcoming = upcomingOf(schedule);
  if (upcoming.length === 0) return out.line(`no next instants: ${noNextText(schedule)}`);
  const isUtc = tz === "UTC";
  const isLater = upcoming.some(({ due }) => due !== undefined);
  const isNoted = upcoming.some(({ note }) => note !== undefined);
  out.rows(
    [
      { title: isUtc ? "NEXT" : `NEXT (${tz})` },
      ...(isUtc ? [] : [{ title: "UTC" }]),
      ...(isLater ? [{ title: "WITH JITTER" }] : []),
      ...(isNoted ? [{ title: "NOTE", below: true as const }] : []),
    ],
    upcoming.map(({ at, local, due, note }) => [
      isUtc ? instantText(at) : local,
      ...(isUtc ? [] : [instantText(at)]),
      ...(isLater ? [instantText(due ?? at)] : []),
      note ?? "",
    ]),
  );
  const end = upcomingEndText(schedule);
  if (end !== undefined) out.line(end);
}

/** A table of schedules. Which they are and when they fire is what it is looked at for: all else gives way to that on a narrow terminal. */
export function printSchedules(out: Output, schedules: readonly Omit<ScheduleView, "job">[], now: number): void {
  out.rows(
    [
      { title: "NAME", shrinks: "last" },
      { title: "WHEN", shrinks: true },
      { title: "ZONE", shrinks: "first" },
      { title: "STATE", colour: stateColour },
      { title: "NEXT", mayBeEmpty: true },
      { title: "LAST", mayBeEmpty: true, leaves: 2 },
      { title: "JOB", align: "right", mayBeEmpty: true, leaves: 1 },
      { title: "RESULT", colour: stateColour, mayBeEmpty: true },
      { title: "FAILING", align: "right", mayBeEmpty: true },
    ],
    schedules.map((one) => [
      one.name,
      whenText(one),
      one.tz,
      one.mesh_paused && one.state === "active" ? "all paused" : one.state,
      nextText(one, now),
      one.last === null ? "" : relativeText(one.last.at, now),
      String(one.last?.job ?? ""),
      one.last?.state ?? "",
      one.failing === 0 ? "" : String(one.failing),
    ]),
  );
}

/** What was to come when the mesh was asked may have come by now. That one is paused or has ended its state says. */
function nextText({ next, no_next: none }: Pick<ScheduleView, "next" | "no_next">, now: number): string {
  if (next !== null) return parseInstant(next)! <= now ? "now" : relativeText(next, now);
  if (none?.reason === "shut") return "none left";
  if (none?.looked_until === undefined) return "";
  const whole = (ms: number): number => Math.floor((parseInstant(none.looked_until!)! - now) / ms) * ms;
  return `not within ${formatDuration(Math.max(0, whole(86_400_000) || whole(1_000)))}`;
}

/** Lines of a history, as they came. */
export function printFires(out: Output, fires: readonly FireView[]): void {
  out.rows(
    [
      { title: "INSTANT" },
      { title: "WHAT", colour: stateColour },
      { title: "LAG", align: "right" },
      { title: "JOB", align: "right" },
      { title: "NOTE", below: true },
    ],
    fires.map((one) => [
      instantText(one.at),
      one.reason ?? one.state ?? (one.job === undefined ? "" : "forgotten"),
      one.lag_ms === undefined ? "" : `${one.lag_ms} ms`,
      one.job === undefined ? "" : String(one.job),
      [runText(one), one.message ?? ""].filter((text) => text !== "").join("; "),
    ]),
  );
}

function runText({ until, count, at_least: isMore }: FireView): string {
  if (count === undefined || count === 1) return "";
  return `${isMore === true ? "at least " : ""}${count} instants, until ${instantText(until ?? "")}`;
}
