import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { boundsOf, setBounds } from "../tables/bounds.ts";

interface ClusterBounds {
  readonly unfinished_jobs?: number;
  readonly finished_jobs?: number;
}

const whole = (low: number, high: number) =>
  z
    .int("must be a whole number")
    .min(low, `must be at least ${low}`)
    .max(high, `must be at most ${high}`)
    .exactOptional();

const shape = z
  .strictObject({
    unfinished_jobs: whole(1, limits.unfinishedJobs),
    finished_jobs: whole(limits.finishedJobsMin, limits.finishedJobs),
  })
  .refine((input) => Object.keys(input).length > 0, { message: "names no bound: unfinished_jobs, finished_jobs" });

export const clusterBounds = command<ClusterBounds>()({
  name: "cluster.bounds",
  tag: 72,
  since: 3,
  right: "cluster:write",
  doc: "How many unfinished jobs the cluster takes, and how many finished ones it keeps. What is not given stays as it is.",
  input: shape,
  payload: shape,
  route: { method: "PATCH", path: "/v1/cluster/bounds", status: 200 },
  answer: z.object({ unfinished_jobs: z.int(), finished_jobs: z.int() }),
  prepare: (input) => input,
  audit: (input) =>
    Object.entries(input)
      .map(([name, value]) => `${name}=${value}`)
      .join(" "),
  apply(tx, input, context) {
    const present = boundsOf(tx);
    const { unfinished_jobs = present.unfinishedJobs, finished_jobs = present.finishedJobs } = input;
    setBounds(tx, { unfinishedJobs: unfinished_jobs, finishedJobs: finished_jobs });
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ unfinished_jobs, finished_jobs });
  },
});
