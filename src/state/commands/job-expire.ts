import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Forgetting } from "../forgetting.ts";
import { boundsOf } from "../tables/bounds.ts";
import { readCounter } from "../tables/counter.ts";
import { sweepIdempotency } from "../tables/idempotency.ts";
import { jobById } from "../tables/job.ts";
import { jobIdShape } from "./shapes.ts";

interface JobsExpired {
  readonly jobs: readonly JobId[];
}

const shape = z.strictObject({ jobs: z.array(jobIdShape).min(1).max(limits.expirePerEntry) });

export const jobExpire = command<JobsExpired>()({
  name: "job.expire",
  tag: 15,
  since: 1,
  right: "internal",
  doc: "Forgets finished jobs whose time is over, or that are too many.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { jobs }, context) {
    const kept = readCounter(tx).jobs_finished;
    const { finishedJobs } = boundsOf(tx);
    const forgetting = new Forgetting(tx, context);
    for (const id of jobs) {
      const job = jobById(tx, id);
      if (job === undefined || job.expires_at === null) continue;
      if (job.expires_at > context.at && kept - forgetting.removed <= finishedJobs) continue;
      forgetting.forget(job);
    }
    forgetting.close();
    sweepIdempotency(tx, context.at);
    return accept({ removed: forgetting.removed });
  },
});
