import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import { shut } from "../tables/gate.ts";
import { jobIdInput, jobIdShape } from "./shapes.ts";

interface JobReleased {
  readonly id: JobId;
}

export const jobRelease = command<JobReleased>()({
  name: "job.release",
  tag: 46,
  since: 3,
  right: "jobs:write",
  doc: "Lets a held job go on.",
  input: z.strictObject({ id: jobIdInput }),
  payload: z.strictObject({ id: jobIdShape }),
  route: { method: "POST", path: "/v1/jobs/:id/release", status: 200 },
  answer: z.object({ id: z.int(), held: z.literal(false) }),
  prepare: (input) => input,
  audit: ({ id }) => `job ${id}`,
  apply(tx, { id }, context) {
    const work = new Work(tx, context);
    const job = work.jobs.get(id);
    if (job === undefined) return refuse("not-found", `there is no job ${id}`);
    const { row } = job;
    if (row.finished_at !== null) return refuse("conflict", `job ${id} has ended already: ${row.state}`);
    if (((row.gate ?? 0) & shut.held) !== 0) work.gates.open(job, shut.held);
    work.close();
    return accept({ id, held: false as const });
  },
});
