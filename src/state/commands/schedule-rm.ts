import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { definitionOf } from "../schedules.ts";
import { addTotal, leaveFires } from "../tables/schedule-fire.ts";
import { removeSchedule, scheduleByName, writeCalendarsOf } from "../tables/schedule.ts";
import { scheduleName } from "./schedule-schema.ts";

interface ScheduleRemove {
  readonly names: readonly string[];
}

const shape = z.strictObject({ names: z.array(scheduleName).min(1).max(limits.schedulesPerRequest) });

export const scheduleRm = command<ScheduleRemove>()({
  name: "schedule.rm",
  tag: 121,
  since: 3,
  right: "jobs:write",
  doc: "Forgets schedules and their history, all or none; jobs that they have made stay.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { names }, context) {
    const rows = new Map(names.map((name) => [name, scheduleByName(tx, name)]));
    const missing = [...rows].filter(([, row]) => row === undefined).map(([name]) => name);
    if (missing.length > 0) return refuse("not-found", `there is no schedule ${missing.join(", ")}`);
    for (const [name, row] of rows) {
      writeCalendarsOf(
        tx,
        row!.id,
        (definitionOf(row!).rules.calendars ?? []).map((one) => one.name),
        [],
      );
      leaveFires(tx, row!.id);
      removeSchedule(tx, row!.id);
      context.changed({ topic: "schedule", kind: "removed", name });
    }
    addTotal(tx, "schedules", -rows.size);
    return accept({ removed: rows.size });
  },
  audit: ({ names }) =>
    names.length === 1 ? `schedule ${names[0]}` : `${names.length} schedules, the first ${names[0]}`,
});
