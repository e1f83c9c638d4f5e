import { parseInstant } from "../lib/calendar.ts";
import type { Problem } from "../lib/outcome.ts";
import { readTiming } from "../lib/schedule-timing.ts";
import { formatDuration } from "../lib/units.ts";
import type { ScheduleDetailView } from "../state/answers.ts";
import type { Session } from "./cli.ts";
import { type Answer, answer, countUsual, type NextFlags, print, readBounds, wrong } from "./cron-next-answer.ts";
import { upcomingOf, whenText } from "./cron-views.ts";
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
  const value = { name: schedule.name, ...worked, next };
  output.result({
    value,
    ids: next.map(({ at }) => at),
    table: (out) => {
      print(out, value, asked, false);
      for (const note of notesOn(schedule, isByMesh)) out.line(note);
    },
  });
  return exit.done;
}

function byMesh(schedule: ScheduleDetailView, count: number): Answer["next"] {
  const next = upcomingOf(schedule).slice(0, count);
  return next.map(({ at, local, note }) => ({ at, local, ...(note === undefined ? {} : { note }) }));
}

/** What comes between an instant and its job. */
function notesOn({ state, jitter, calendars, upcoming }: ScheduleDetailView, isByMesh: boolean): string[] {
  const [first] = upcoming;
  const later = first?.due === undefined ? undefined : parseInstant(first.due)! - parseInstant(first.at)!;
  return [
    state === "paused" ? "it is paused: none of these makes a job until it is resumed" : undefined,
    state === "ended" ? "it has ended: none of these makes a job" : undefined,
    later === undefined ? undefined : `its jobs are made ${formatDuration(later)} later (jitter ${jitter})`,
    calendars === undefined || isByMesh ? undefined : `its calendars (${calendars.join(", ")}) are not counted here`,
  ].filter((note) => note !== undefined);
}
