import type { Problem } from "../lib/outcome.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { scheduleInput } from "../state/commands/schedule-schema.ts";
import type { ImportedSchedule } from "./cron-import-types.ts";

/** What the API would say of schedules that were read, with the places where they were read: so nothing is set of a file of which not all can be. */
export function checkImport(schedules: readonly ImportedSchedule[]): Problem[] {
  return schedules.flatMap(({ spec, where }) => {
    const read = scheduleInput.safeParse(spec);
    if (read.success) return [];
    return problemsOf(read.error).map(({ path, message }) => ({ path: `${where}: ${path}`, message }));
  });
}
