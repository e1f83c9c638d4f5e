import type { CommandClient } from "../client/command-client.ts";
import { ApiError } from "../client/errors.ts";
import type { ScheduleSpec } from "../client/skein-client.ts";
import { limits } from "../lib/limits.ts";
import type { Problem } from "../lib/outcome.ts";
import type { DeclaredSchedule } from "./cron-apply-files.ts";
import { CliError, exitOfRefusal } from "./exit.ts";
import { keysOf } from "./specs-file.ts";

/** Well below what a request may have. */
const batchCharacters = limits.bodyBytes / 4;

/** Sets schedules, all or none of each batch. What the mesh finds wrong is told with its place in the files. */
export async function setInBatches(
  client: Pick<CommandClient, "setSchedules">,
  schedules: readonly DeclaredSchedule[],
): Promise<void> {
  let done = 0;
  for (const batch of batchesOf(schedules)) {
    try {
      await client.setSchedules(batch.map(({ written }) => written as ScheduleSpec));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const what = done === 0 ? "nothing was set" : `${done} of ${schedules.length} were set before it went wrong`;
      throw new CliError(exitOfRefusal(error.code), `${what}: ${error.message}`, placed(error.problems, batch));
    }
    done += batch.length;
  }
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

/** "schedules[3].job.env" of a request, where it stands in the files. */
function placed(problems: readonly Problem[], batch: readonly DeclaredSchedule[]): readonly Problem[] {
  return problems.map((problem) => {
    const [, at, rest] = /^schedules\[(\d+)\]\.?(.*)$/.exec(problem.path) ?? [];
    const one = at === undefined ? undefined : batch[Number(at)];
    return one === undefined ? problem : { path: one.where(keysOf(rest!)), message: problem.message };
  });
}
