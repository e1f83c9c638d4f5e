import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { sweepRemains } from "../forgetting.ts";

interface JobsSwept {
  /** At most so many rows. */
  readonly rows: number;
}

const shape = z.strictObject({ rows: z.number().int().positive().max(limits.sweepRows) });

export const jobSweep = command<JobsSwept>()({
  name: "job.sweep",
  tag: 52,
  since: 3,
  right: "internal",
  doc: "Removes the next rows of tasks and lists of targets whose jobs are forgotten, and of the history of schedules that are.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply: (tx, { rows }) => accept({ removed: sweepRemains(tx, rows) }),
});
