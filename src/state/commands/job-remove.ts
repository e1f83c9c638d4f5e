import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Forgetting } from "../forgetting.ts";
import { jobById } from "../tables/job.ts";
import { jobIdInput, jobIdShape } from "./shapes.ts";

interface JobRemoved {
  readonly id: JobId;
}

export const jobRemove = command<JobRemoved>()({
  name: "job.remove",
  tag: 48,
  since: 3,
  right: "jobs:write",
  doc: "Forgets a finished job at once, with its results and its output.",
  input: z.strictObject({ id: jobIdInput }),
  payload: z.strictObject({ id: jobIdShape }),
  route: { method: "DELETE", path: "/v1/jobs/:id", status: 200 },
  answer: z.object({ id: z.int() }),
  prepare: (input) => input,
  audit: ({ id }) => `job ${id}`,
  apply(tx, { id }, context) {
    const job = jobById(tx, id);
    if (job === undefined) return refuse("not-found", `there is no job ${id}`);
    if (job.finished_at === null)
      return refuse("conflict", `job ${id} is ${job.state}, and only finished jobs can be removed: cancel it first`);
    const forgetting = new Forgetting(tx, context);
    forgetting.forget(job);
    forgetting.close();
    return accept({ id });
  },
});
