import { parseInstant } from "../lib/calendar.ts";
import type { Problem } from "../lib/outcome.ts";
import { readTiming } from "../lib/schedule-timing.ts";
import { formatDuration } from "../lib/units.ts";
import type { NoNextView, ScheduleDetailView } from "../state/answers.ts";
import type { Session } from "./cli.ts";
import { type Answer, answer, countUsual, type NextFlags, print, readBounds, wrong } from "./cron-next-answer.ts";
import { noNextText, upcomingEndText, upcomingOf, whenText } from "./cron-views.ts";
import { exit } from "./exit.ts";

/** Of a schedule that is there: by the mesh, which knows its calendars; what goes beyond that is worked out here. */
export async function nextOf({ client, output }: Session, flags: NextFlags, name: string): Promise<number> {
  const problems: Problem[] = [];
  for (const flag of ["tz", "name"] as const)
    if (flags[flag] !== undefined)
      problems.push({ path: `--${flag}`, message: "is of an expression: a schedule has its own" });
  const { count, from } = readBounds(flags, problems);
  if (problems.length > 0) throw wrong(problems);
  const schedule = await client.schedule(name);
  const made = readTiming(schedule, schedule.name);
  if ("problems" in made) throw wrong(made.problems);
  const asked = { expression: whenText(schedule), timing: made.timing, name: schedule.name, from, count };
  const worked = answer(asked);
  const isByMesh = flags.from === undefined && count <= countUsual && schedule.state === "active";
  const next = isByMesh ? byMesh(schedule, count) : worked.next;
  const end = isByMesh ? endOf(schedule, count) : undefined;
  const value = { name: schedule.name, ...worked, next, ...(end === undefined ? {} : { end }) };
  output.result({
    value,
    ids: next.map(({ at }) => at),
    table: (out) => {
      print(out, value, asked, false, isByMesh ? noNextText(schedule) : undefined);
      for (const note of notesOn(schedule, isByMesh, count)) out.line(note);
    },
  });
  return exit.done;
}

function byMesh(schedule: ScheduleDetailView, count: number): Answer["next"] {
  const next = upcomingOf(schedule).slice(0, count);
  return next.map(({ at, local, note }) => ({ at, local, ...(note === undefined ? {} : { note }) }));
}

/** Why there are fewer than were asked for. */
function endOf(
  { upcoming, no_next: none, upcoming_end: end }: ScheduleDetailView,
  count: number,
): NoNextView | undefined {
  return upcoming.length < count ? (none ?? end) : undefined;
}

/** What comes between an instant and its job. */
function notesOn(schedule: ScheduleDetailView, isByMesh: boolean, count: number): string[] {
  const { state, jitter, calendars, upcoming } = schedule;
  const [first] = upcoming;
  const later = first?.due === undefined ? undefined : parseInstant(first.due)! - parseInstant(first.at)!;
  return [
    state === "paused" ? "it is paused: none of these makes a job until it is resumed" : undefined,
    state === "ended" ? "it has ended: none of these makes a job" : undefined,
    isByMesh && upcoming.length < count ? upcomingEndText(schedule) : undefined,
    later === undefined ? undefined : `its jobs are made ${formatDuration(later)} later (jitter ${jitter})`,
    calendars === undefined || isByMesh ? undefined : `its calendars (${calendars.join(", ")}) are not counted here`,
  ].filter((note) => note !== undefined);
}
