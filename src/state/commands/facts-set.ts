import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { boundFacts, moveFactJob, writeFacts } from "../tables/fact.ts";
import { jobById } from "../tables/job.ts";
import { count, factsShape, jobIdShape } from "./shapes.ts";

interface FactsSet {
  readonly job: number;
  /** Tasks before this one are done with; null: all of the job. */
  readonly next: number | null;
  readonly facts: readonly (readonly [target: string, facts: Readonly<Record<string, string>>])[];
}

const shape = z.strictObject({
  job: jobIdShape,
  next: count.nullable(),
  facts: z.array(z.tuple([z.string().min(1).max(limits.targetLength), factsShape])).max(limits.factsPerCommand),
});

export const factsSet = command<FactsSet>()({
  name: "facts.set",
  tag: 106,
  since: 3,
  right: "internal",
  doc: "Keeps what a job that gathers facts has found out about its targets.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { job, next, facts }, { at }) {
    const asked = { job, at, isGone: jobById(tx, job) === undefined };
    for (const [target, found] of facts) writeFacts(tx, target, found, asked);
    if (facts.length > 0) boundFacts(tx);
    moveFactJob(tx, job, next);
    return accept({ targets: facts.length });
  },
});
