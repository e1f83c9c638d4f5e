import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, type RefusalCode } from "../../lib/outcome.ts";
import { parseRanges } from "../../lib/ranges.ts";
import { command } from "../command.ts";
import { isDead } from "../dead.ts";
import { addRetry } from "../retrying.ts";
import { jobById } from "../tables/job.ts";
import { readSpec } from "../spec.ts";
import { jobIdShape } from "./shapes.ts";

interface JobsReplayed {
  /** With ranges of tasks, as whoever asks has found them (http/dead-letters.ts); null: all of them. */
  readonly jobs: readonly { readonly id: JobId; readonly tasks: string | null }[];
}

const shape = z.strictObject({
  jobs: z
    .array(
      z.strictObject({
        id: jobIdShape,
        tasks: z
          .string()
          .max(limits.pickTextLength)
          .refine((text) => typeof parseRanges(text) !== "string")
          .nullable(),
      }),
    )
    .min(1)
    .max(limits.replayedPerCommand),
});

export const jobReplay = command<JobsReplayed>()({
  name: "job.replay",
  tag: 74,
  since: 3,
  right: "jobs:write",
  doc: "Runs dead letters again, each as a new job of the same spec; one that is none any more is left out, so that it is done once however often it is asked for.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  adds: ({ jobs }) => jobs.length,
  apply(tx, { jobs }, context) {
    const replayed: [id: number, as: number][] = [];
    const refused: [id: number, code: RefusalCode][] = [];
    /** Pinned tasks have rows from the beginning: of too many the rest is left to another command. */
    let rows = 0;
    let left = 0;
    for (const { id, tasks } of jobs) {
      const job = jobById(tx, id);
      if (job === undefined) refused.push([id, "not-found"]);
      else if (!isDead(job)) refused.push([id, "gone"]);
      else if (rows > limits.replayedRows) left += 1;
      else {
        const list = tasks === null ? undefined : parseRanges(tasks);
        const isListed = list !== undefined && typeof list !== "string";
        if (isListed && list.ranges.at(-1)!.last >= job.tasks) {
          refused.push([id, "invalid"]);
          continue;
        }
        const added = addRetry(tx, context, job, isListed ? list : undefined);
        if (!added.ok) refused.push([id, added.why.code]);
        else {
          replayed.push([id, added.value]);
          if (readSpec(job.spec).eachNode === true) rows += job.tasks;
        }
      }
    }
    return accept({ replayed, refused, left });
  },
  audit: ({ jobs }) => (jobs.length === 1 ? `dead letter ${jobs[0]!.id}` : `${jobs.length} dead letters`),
});
