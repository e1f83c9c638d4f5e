import type { Problem } from "../lib/outcome.ts";
import type { Timing } from "../lib/schedule-timing.ts";
import { secretPlaces } from "./secrets.ts";
import { calendarByName } from "./tables/calendar.ts";
import { hasSecret } from "./tables/secret.ts";
import { templateByName } from "./tables/template.ts";
import type { ReadTx } from "./tx.ts";
import type { Spec } from "./types.ts";

/** What a schedule names of the state. */
export interface ScheduleNeeds {
  /** undefined: what stands in that place is no name. */
  readonly calendars: readonly (string | undefined)[];
  readonly template: string | undefined;
  readonly job: Spec | undefined;
}

/** What it names and the state does not have: its fires would be refused one by one, when nobody looks any more. */
export function missingNeeds(tx: ReadTx, { calendars, template, job }: ScheduleNeeds): Problem[] {
  const problems: Problem[] = [];
  for (const [at, name] of calendars.entries())
    if (name !== undefined && calendarByName(tx, name) === undefined)
      problems.push({
        path: `calendars[${at}]`,
        message: `there is no calendar ${name}: set it first ('skein cron calendar')`,
      });
  if (template !== undefined && templateByName(tx, template) === undefined)
    problems.push({
      path: "template",
      message: `there is no template ${template}: set it first ('skein jobs template add')`,
    });
  return [...problems, ...(job === undefined ? [] : missingSecrets(tx, job, "job."))];
}

/** Secrets of a job that are not there; `root` is put before each path. */
export function missingSecrets(tx: ReadTx, job: Spec, root: string): Problem[] {
  return secretPlaces(job).flatMap(({ path, secret }) =>
    hasSecret(tx, secret)
      ? []
      : [{ path: `${root}${path}`, message: `there is no secret ${secret}: set it first ('skein secret set')` }],
  );
}

/** By then (epoch ms) it has no instants any more, as it says itself. */
export function passedOf({ at, end }: Timing, now: number): Problem[] {
  const problems: Problem[] = [];
  if (at !== undefined && at <= now) problems.push({ path: "at", message: "has passed: it would never fire" });
  if (end !== undefined && end <= now) problems.push({ path: "end", message: "has passed: it would never fire" });
  return problems;
}
