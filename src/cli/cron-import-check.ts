import type { Problem } from "../lib/outcome.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { specSchema } from "../state/commands/spec-schema.ts";
import type { ImportedSchedule } from "./cron-import-types.ts";

/** What the API would say of schedules that were read, with the places where they were read: so nothing is set of a file of which not all can be. */
export function checkImport(schedules: readonly ImportedSchedule[]): Problem[] {
  return schedules.flatMap(({ spec, where }) => {
    const read = specSchema.safeParse(spec.job);
    if (read.success) return [];
    return problemsOf(read.error, "job").map(({ path, message }) => ({ path: `${where}: ${path}`, message }));
  });
}
