import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { accept, type Outcome, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import { shut } from "../tables/gate.ts";
import { jobIdInput, jobIdShape } from "./shapes.ts";

interface JobReleased {
  readonly id: JobId;
  /** This batch may begin; absent: whoever held the job lets it go. */
  readonly batch?: number;
}

const batch = z.int("must be the number of a batch").positive("must be the number of a batch").exactOptional();

type Released = { readonly id: JobId; readonly held: false } | { readonly id: JobId; readonly batch: number };

export const jobRelease = command<JobReleased>()({
  name: "job.release",
  tag: 46,
  since: 3,
  right: "jobs:write",
  doc: "Lets a held job go on; or lets a batch of it begin that waits for approval. Both may be said again: a batch is called by its number.",
  input: z.strictObject({ id: jobIdInput, batch }),
  payload: z.strictObject({ id: jobIdShape, batch }),
  route: { method: "POST", path: "/v1/jobs/:id/release", status: 200 },
  answer: z.union([
    z.object({ id: z.int(), held: z.literal(false) }),
    z.object({ id: z.int(), batch: z.int().describe("It is approved.") }),
  ]),
  prepare: (input) => input,
  audit: ({ id, batch }) => (batch === undefined ? `job ${id}` : `job ${id}, batch ${batch}`),
  apply(tx, { id, batch }, context): Outcome<Released> {
    const work = new Work(tx, context);
    const job = work.jobs.get(id);
    if (job === undefined) return refuse("not-found", `there is no job ${id}`);
    const { row } = job;
    if (row.finished_at !== null) return refuse("conflict", `job ${id} has ended already: ${row.state}`);
    if (batch !== undefined) {
      const why = work.gates.approve(job, batch);
      if (why !== undefined) return refuse("conflict", why);
      work.close();
      return accept({ id, batch });
    }
    if (((row.gate ?? 0) & shut.held) !== 0) work.gates.open(job, shut.held);
    work.close();
    return accept({ id, held: false as const });
  },
});
