import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { countExpired, readCounter } from "../tables/counter.ts";
import { releaseIdempotency, sweepIdempotency } from "../tables/idempotency.ts";
import { jobById } from "../tables/job.ts";
import { hasOnlyTask } from "../tables/only-task.ts";
import { change } from "../tx.ts";
import { jobIdShape } from "./shapes.ts";

interface JobsExpired {
  readonly jobs: readonly JobId[];
}

const shape = z.strictObject({ jobs: z.array(jobIdShape).min(1).max(limits.expirePerEntry) });

const deleteJob = change("job.remove", "delete from job where id = ?");
const deleteTasks = change("task.remove-of-job", "delete from task where job = ?");
const deleteAttempts = change("attempt.remove-of-job", "delete from attempt where job = ?");

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
    let kept = readCounter(tx).jobs_finished;
    let removed = 0;
    for (const id of jobs) {
      const job = jobById(tx, id);
      if (job === undefined || job.expires_at === null) continue;
      if (job.expires_at > context.at && kept <= limits.finishedJobs) continue;
      tx.run(deleteJob, id);
      if (!hasOnlyTask(job)) {
        tx.run(deleteTasks, id);
        tx.run(deleteAttempts, id);
      }
      releaseIdempotency(tx, id);
      context.changed({ topic: "job", kind: "removed", job: id });
      kept -= 1;
      removed += 1;
    }
    if (removed > 0) countExpired(tx, removed);
    sweepIdempotency(tx, context.at);
    return accept({ removed });
  },
});
