import type { CommandClient } from "../client/command-client.ts";
import { ApiError } from "../client/errors.ts";
import type { ScheduleSpec } from "../client/skein-client.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import type { SetScheduleView } from "../state/answers.ts";
import type { DeclaredSchedule } from "./cron-apply-files.ts";
import { CliError, exitOfRefusal } from "./exit.ts";
import { keysOf } from "./specs-file.ts";

/** Well below what a request may have. */
const batchCharacters = limits.bodyBytes / 4;

/** Sets schedules of files, all or none of each batch. What the mesh finds wrong is told with its place in the files. */
export async function setInBatches(
  client: Pick<CommandClient, "setSchedules">,
  schedules: readonly DeclaredSchedule[],
  options: { readonly onlyNew?: boolean } = {},
): Promise<readonly SetScheduleView[]> {
  const set: SetScheduleView[] = [];
  for (const batch of batchesOf(schedules)) {
    try {
      const specs = batch.map(({ written }) => written as ScheduleSpec);
      set.push(...(await client.setSchedules(specs, options)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const what =
        set.length === 0 ? "nothing was set" : `${set.length} of ${schedules.length} were set before it went wrong`;
      throw new CliError(exitOfRefusal(error.code), `${what}: ${error.message}`, placed(error.details, batch));
    }
  }
  return set;
}

function batchesOf(schedules: readonly DeclaredSchedule[]): readonly (readonly DeclaredSchedule[])[] {
  const batches: DeclaredSchedule[][] = [];
  let characters = 0;
  for (const one of schedules) {
    const size = JSON.stringify(one.written).length;
    characters += size;
    const isFull = batches.at(-1)?.length === limits.schedulesPerRequest || characters > batchCharacters;
    if (isFull || batches.length === 0) {
      batches.push([]);
      characters = size;
    }
    batches.at(-1)!.push(one);
  }
  return batches;
}

/** "schedules[3].job.env" of what was refused, names that are taken as well, where it stands in the files. */
function placed(details: unknown, batch: readonly DeclaredSchedule[]): readonly Problem[] {
  const problems = Array.isArray(details) ? (details as readonly Problem[]) : [];
  return problems.map((problem) => {
    const [, at, rest] = /^schedules\[(\d+)\]\.?(.*)$/.exec(problem.path) ?? [];
    const one = at === undefined ? undefined : batch[Number(at)];
    return one === undefined ? problem : { path: one.where(keysOf(rest!)), message: problem.message };
  });
}
