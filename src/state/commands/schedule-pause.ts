import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { changedTooOften, changesAt, formerAt } from "../rescheduling.ts";
import { scheduleByName, writeSchedule } from "../tables/schedule.ts";
import { scheduleName } from "./schedule-schema.ts";

interface SchedulePause {
  readonly names: readonly string[];
  readonly paused: boolean;
}

const shape = z.strictObject({
  names: z.array(scheduleName).min(1).max(limits.schedulesPerRequest),
  paused: z.boolean(),
});

export const schedulePause = command<SchedulePause>()({
  name: "schedule.pause",
  tag: 122,
  since: 3,
  right: "jobs:write",
  doc: "Pauses schedules, or has them go on, all or none. Their instants meanwhile are recorded as paused, and not made up.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { names, paused }, context) {
    const now = changesAt(tx, context);
    const rows = names.map((name) => scheduleByName(tx, name));
    const missing = names.filter((_, at) => rows[at] === undefined);
    if (missing.length > 0) return refuse("not-found", `there is no schedule ${missing.join(", ")}`);
    const changed = rows.flatMap((row) => (row === undefined || row.paused === Number(paused) ? [] : [row]));
    const formers = changed.map((row) => formerAt(row, now, undefined));
    const often = formers.indexOf(undefined);
    if (often !== -1) return { ok: false, why: changedTooOften(changed[often]!) };
    for (const [at, row] of changed.entries()) {
      const hasEnded = row.check_at === null;
      const checkAt = hasEnded ? null : now;
      const former = formers[at] ?? null;
      writeSchedule(tx, { ...row, revision: context.index, paused: Number(paused), former, check_at: checkAt });
      context.changed({ topic: "schedule", kind: paused ? "paused" : "resumed", name: row.name });
    }
    return accept({ changed: changed.length });
  },
  audit: ({ names, paused }) =>
    `${paused ? "pause" : "resume"} ${names.length === 1 ? `schedule ${names[0]}` : `${names.length} schedules, the first ${names[0]}`}`,
});
