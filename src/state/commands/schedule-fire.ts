import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, type Outcome, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { fireNow, type MadeJob, type Totals, writeTotals } from "../firing.ts";
import { definitionOf, isPlain, scheduleDefaults } from "../schedules.ts";
import { insertIdempotency } from "../tables/idempotency.ts";
import { openJobsOf } from "../tables/schedule-fire.ts";
import { scheduleByName } from "../tables/schedule.ts";
import { earlierUnder } from "../under-key.ts";
import { scheduleName } from "./schedule-schema.ts";
import { madeJobShape } from "./schedule-step.ts";

/** The job that it was to make. */
interface FiredSchedule {
  readonly name: string;
  readonly job: number;
  /** The key was known: it is the first request's. */
  readonly repeated: boolean;
}

interface ScheduleFire {
  readonly schedule: string;
  /** Whatever `overlap` says. */
  readonly force: boolean;
  /** Its job, where the schedule alone does not say it. */
  readonly made?: MadeJob;
  /** Under which a repetition gives the first job again, and what tells it from another request. */
  readonly key: string | null;
  readonly digest: string;
}

const key = z.string().min(1).max(limits.idempotencyKeyLength);
const digest = z.string().max(128);

export const scheduleFire = command<ScheduleFire>()({
  name: "schedule.fire",
  tag: 123,
  since: 3,
  right: "jobs:write",
  doc: "Makes a job of a schedule now, whatever the time, also while it is paused or has ended.",
  input: z.strictObject({
    schedule: scheduleName,
    force: z.boolean({ error: "must be true or false" }).optional(),
    /** Nothing that a person sends: see node/schedule-jobs.ts. */
    made: madeJobShape.optional(),
    key: key.optional(),
    digest: digest.optional(),
  }),
  payload: z.strictObject({
    schedule: scheduleName,
    force: z.boolean(),
    made: madeJobShape.exactOptional(),
    key: key.nullable(),
    digest,
  }),
  answer: z.object({ name: z.string(), job: z.int() }),
  prepare: ({ schedule, force, made, key, digest }) => ({
    schedule,
    force: force === true,
    ...(made === undefined ? {} : { made }),
    key: key ?? null,
    digest: digest ?? "",
  }),
  adds: () => 1,
  addsFor: ({ schedule }, tx) => {
    const row = scheduleByName(tx, schedule);
    return row === undefined ? new Map() : new Map([[row.set_by, 1]]);
  },
  apply(tx, { schedule: name, force, made, key, digest }, context): Outcome<FiredSchedule> {
    if (key !== null) {
      const earlier = earlierUnder(tx, context.by.token, key, digest);
      if (earlier?.ok === false) return earlier;
      // Whatever became of the schedule meanwhile.
      if (earlier !== undefined) return accept({ name, job: earlier.value.first, repeated: true });
    }
    const row = scheduleByName(tx, name);
    if (row === undefined) return refuse("not-found", `there is no schedule ${name}`);
    const definition = definitionOf(row);
    if (made === undefined && !isPlain(definition))
      return refuse("conflict", `schedule ${name} was changed meanwhile: fire it again`);
    const { overlap = scheduleDefaults.overlap } = definition;
    const [open] = overlap === "skip" && !force ? openJobsOf(tx, row.id, 1) : [];
    if (open !== undefined)
      return refuse("conflict", `job ${open} of it has not ended, and overlap is skip: wait for it, or use --force`);
    const totals: Totals = new Map();
    const fired = fireNow(tx, row, made, totals, context);
    if (!fired.ok) return fired;
    writeTotals(tx, totals);
    if (key !== null) insertIdempotency(tx, context.by.token, key, digest, fired.value, 1, context.at);
    return accept({ name, job: fired.value, repeated: false });
  },
  audit: ({ schedule }, outcome) => `schedule ${schedule}${outcome.ok ? `: job ${outcome.value.job}` : ""}`,
});
