import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { countNext } from "../tables/load.ts";

interface SubmittersCounted {
  /** At most so many jobs. */
  readonly jobs: number;
}

const shape = z.strictObject({ jobs: z.number().int().positive().max(limits.countedJobs) });

export const submitterCount = command<SubmittersCounted>()({
  name: "submitter.count",
  tag: 73,
  since: 3,
  right: "internal",
  doc: "Counts the next unfinished jobs by submitter, after the first limit was set.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply: (tx, { jobs }) => accept({ counted: countNext(tx, jobs) }),
});
