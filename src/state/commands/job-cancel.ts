import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
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
  answer: z.object({ id: z.int(), state: z.string(), cancelling: z.boolean() }),
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
    if (row.cancelling !== 0) return accept(value(row.state, true));
    work.cancel(job, `cancelled by ${by}`);
    work.close();
    return accept(value(row.state, row.cancelling !== 0));
  },
});
