import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { Work } from "../ending.ts";

type JobsSettled = Readonly<Record<string, never>>;

const shape = z.strictObject({});

export const jobSettle = command<JobsSettled>()({
  name: "job.settle",
  tag: 39,
  since: 3,
  right: "internal",
  doc: "Goes on with what ended jobs lead to and one command was too short for: their children are told, jobs that were replaced are cancelled, what waits of jobs that were stopped ends.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, _, context) {
    const work = new Work(tx, context);
    work.goOnStopping();
    const more = work.gates.goOn();
    work.close();
    return accept({ more });
  },
});
