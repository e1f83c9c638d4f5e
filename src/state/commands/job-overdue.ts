import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import { deadlinePassed, gateOf } from "../tables/gate.ts";
import { jobIdShape } from "./shapes.ts";

interface JobsOverdue {
  readonly jobs: readonly JobId[];
}

const shape = z.strictObject({ jobs: z.array(jobIdShape).min(1).max(limits.releasesPerCommand) });

export const jobOverdue = command<JobsOverdue>()({
  name: "job.overdue",
  tag: 38,
  since: 3,
  right: "internal",
  doc: "Jobs whose deadline has passed by the entry's time (J4): waiting tasks end as timeout, running ones are stopped and do so too.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { jobs }, context) {
    const work = new Work(tx, context);
    let ended = 0;
    for (const id of jobs) {
      const gate = gateOf(tx, id);
      const job = work.jobs.get(id);
      if (job === undefined || gate === undefined) continue;
      if (gate.deadline_at === null || gate.deadline_at > context.at) continue;
      deadlinePassed(tx, id);
      work.endOverdue(job);
      ended += 1;
    }
    work.close();
    return accept({ ended });
  },
});
