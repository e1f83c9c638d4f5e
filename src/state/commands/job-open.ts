import { z } from "zod";
import type { JobId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";
import { jobIdShape } from "./shapes.ts";

interface JobsOpened {
  readonly jobs: readonly JobId[];
}

const shape = z.strictObject({ jobs: z.array(jobIdShape).min(1).max(limits.releasesPerCommand) });

export const jobOpen = command<JobsOpened>()({
  name: "job.open",
  tag: 47,
  since: 3,
  right: "internal",
  doc: "Jobs whose start_at, or the end of the pause before their next batch, has come may go on. One whose instant is after the entry's time waits on (J4).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { jobs }, context) {
    const work = new Work(tx, context);
    let opened = 0;
    for (const id of jobs) if (work.gates.timeReached(id)) opened += 1;
    work.close();
    return accept({ opened });
  },
});
