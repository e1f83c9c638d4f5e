import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import { runningOf } from "../tables/task.ts";
import type { JobState } from "../types.ts";
import { jobIdInput, jobIdShape } from "./shapes.ts";

interface JobCancelled {
  readonly id: JobId;
  /** Who asked, for the job's reason. */
  readonly by: string;
}

export const jobCancel = command<JobCancelled>()({
  name: "job.cancel",
  tag: 11,
  since: 1,
  right: "jobs:write",
  doc: "Cancels a job: waiting tasks end at once, running ones are stopped.",
  input: z.strictObject({ id: jobIdInput }),
  payload: z.strictObject({ id: jobIdShape, by: z.string() }),
  route: { method: "POST", path: "/v1/jobs/:id/cancel", status: 202 },
  prepare: ({ id }, by) => ({ id, by: by.name }),
  audit: ({ id }) => `job ${id}`,
  apply(tx, { id, by }, context) {
    const work = new Work(tx, context);
    const job = work.jobs.get(id);
    if (job === undefined) return refuse("not-found", `there is no job ${id}`);
    const { row } = job;
    if (row.finished_at !== null) return refuse("conflict", `job ${id} has ended already: ${row.state}`);
    const value = (state: JobState, cancelling: boolean): { id: JobId; state: JobState; cancelling: boolean } => ({
      id,
      state,
      cancelling,
    });
    if (row.cancelling === 1) return accept(value(row.state, true));
    if (row.rest === "queued") work.stop(job, "cancelled", `cancelled by ${by}`);
    row.cancelling = 1;
    job.touched = "otherwise";
    if (!work.finishIfDone(job)) {
      context.changed({ topic: "job", kind: "state", job: job.id, state: row.state, cancelling: true });
      for (const { task, attempt, node } of runningOf(tx, id)) {
        if (node !== null) context.changed({ topic: "task", kind: "stop", job: job.id, task, attempt, node });
      }
    }
    work.close();
    return accept(value(row.state, row.cancelling === 1));
  },
});
