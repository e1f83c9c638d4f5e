import { z } from "zod";
import { jobId, type JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, type Outcome, refuse } from "../../lib/outcome.ts";
import { parseRanges, type RangeList } from "../../lib/ranges.ts";
import { command } from "../command.ts";
import { addRetry } from "../retrying.ts";
import { insertIdempotency } from "../tables/idempotency.ts";
import { jobById, type StoredJob } from "../tables/job.ts";
import { type AddedJobs, earlierUnder } from "../under-key.ts";
import { jobIdShape } from "./shapes.ts";

/** Which tasks: all, those that ended badly, all that did not succeed, or those that are listed. */
export const retryChoices = ["all", "failed", "unreachable", "unfinished", "tasks"] as const;
type Choice = (typeof retryChoices)[number];

interface JobRetried {
  readonly id: JobId;
  readonly only: Choice;
  /**
   * Ranges of tasks, "" for none; null: all of them, or that the job was not finished when its tasks were looked at. A finished job changes no more, so
   * who asks looks them up (http/retry.ts), and apply has no rows to go through.
   */
  readonly tasks: string | null;
  readonly key: string | null;
  readonly digest: string;
}

const shape = z.strictObject({
  id: jobIdShape,
  only: z.enum(retryChoices),
  tasks: z
    .string()
    .max(limits.pickTextLength)
    .refine((text) => text === "" || typeof parseRanges(text) !== "string")
    .nullable(),
  key: z.string().min(1).max(limits.idempotencyKeyLength).nullable(),
  digest: z.string().max(128),
});

export const jobRetry = command<JobRetried>()({
  name: "job.retry",
  tag: 49,
  since: 3,
  right: "jobs:write",
  doc: "Runs tasks of a finished job again, as a new job of the same spec.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  adds: () => 1,
  apply(tx, { id, only, tasks, key, digest }, context): Outcome<AddedJobs> {
    if (key !== null) {
      const earlier = earlierUnder(tx, context.by.token, key, digest);
      if (earlier !== undefined) return earlier;
    }
    const job = jobById(tx, id);
    if (job === undefined)
      return refuse("not-found", `there is no job ${id}: finished ones are forgotten after their ttl`);
    if (job.finished_at === null || (only !== "all" && tasks === null)) {
      const state = job.finished_at === null ? job.state : "not finished for long enough";
      return refuse(
        "conflict",
        `job ${id} is ${state}: it can be retried once it has ended (wait for it, or cancel it)`,
      );
    }
    const chosen = tasks === null ? undefined : readChosen(job, only, tasks);
    if (chosen?.ok === false) return chosen;
    const added = addRetry(tx, context, job, chosen?.value);
    if (!added.ok) return added;
    const first = added.value;
    if (key !== null) insertIdempotency(tx, context.by.token, key, digest, first, 1, context.at);
    return accept({ first: jobId(first), count: 1, repeated: false });
  },
  audit: ({ id, only }, outcome) =>
    `${only === "all" ? "job" : `${only === "tasks" ? "tasks" : `${only} tasks`} of job`} ${id}${outcome.ok ? ` as job ${outcome.value.first}` : ""}`,
});

const none: { readonly [One in Choice]: string } = {
  all: "no tasks",
  failed: "no failed tasks",
  unreachable: "no host that could not be reached",
  unfinished: "no task that did not succeed",
  tasks: "no such tasks",
};

function readChosen(job: StoredJob, only: Choice, tasks: string): Outcome<RangeList> {
  const list = tasks === "" ? "" : parseRanges(tasks);
  if (typeof list === "string") {
    return refuse("conflict", `job ${job.id} has ${none[only]}: there is nothing to retry`);
  }
  const last = list.ranges.at(-1)!.last;
  if (last < job.tasks) return accept(list);
  const message = `job ${job.id} has no task ${last}: its tasks are 0 to ${job.tasks - 1}`;
  return refuse("invalid", message, { details: [{ path: "tasks", message }] });
}
