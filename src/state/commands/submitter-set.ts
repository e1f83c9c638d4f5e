import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { jobLimits, ownJobLimit, setJobLimit } from "../tables/load.ts";
import { anySubmitter, removeSubmitter, submitterByName, submitters, writeSubmitter } from "../tables/submitter.ts";
import type { Tx } from "../tx.ts";
import { nameShape } from "./shapes.ts";

interface SubmitterSet {
  readonly name: string;
  readonly weight?: number;
  /** null: no limit any more. */
  readonly jobs_max?: number | null;
}

const wholeUpTo = (high: number) => {
  const form = `must be a whole number from 1 to ${high}`;
  return z.number({ error: form }).int(form).min(1, form).max(high, form);
};
const shape = z
  .strictObject({
    name: nameShape,
    weight: wholeUpTo(limits.shareWeight).exactOptional(),
    jobs_max: wholeUpTo(limits.unfinishedJobs).nullable().exactOptional(),
  })
  .refine((input) => input.weight !== undefined || input.jobs_max !== undefined, {
    message: "sets nothing: give weight or jobs_max",
  });

export const submitterSet = command<SubmitterSet>()({
  name: "submitter.set",
  tag: 56,
  since: 3,
  right: "cluster:write",
  doc: "Sets the share of whoever submits jobs under this name (weight, 1 is what holds without it), and how many unfinished jobs they may have (jobs_max, null: any number); * is everybody without one of their own. What is not given stays as it is.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/submitters", status: 200 },
  answer: z.object({ name: z.string(), weight: z.int(), jobs_max: z.int().nullable() }),
  prepare: (input) => input,
  audit: ({ name, weight, jobs_max }) => {
    const share = weight === undefined ? [] : [`weight ${weight}`];
    const jobs = jobs_max === undefined ? [] : [`at most ${jobs_max ?? "any number of"} jobs`];
    return `submitter ${name}: ${[...share, ...jobs].join(", ")}`;
  },
  apply(tx, { name, weight, jobs_max }, context) {
    const isNew =
      (weight !== undefined && submitterByName(tx, name) === undefined && submitters(tx).length >= limits.tokens) ||
      (typeof jobs_max === "number" && ownJobLimit(tx, name) === undefined && jobLimits(tx).length >= limits.tokens);
    if (isNew) return refuse("conflict", `${limits.tokens} submitters are set, and that is the limit`);
    if (weight !== undefined) setWeight(tx, name, weight);
    if (jobs_max !== undefined) setJobLimit(tx, name, jobs_max ?? undefined);
    context.changed({ topic: "cluster", kind: "changed" });
    const row = submitterByName(tx, name) ?? submitterByName(tx, anySubmitter);
    return accept({ name, weight: row?.weight ?? 1, jobs_max: ownJobLimit(tx, name) ?? null });
  },
});

function setWeight(tx: Tx, name: string, weight: number): void {
  // Everybody's default may be another one, and then 1 says something.
  const isDefault = weight === 1 && (name === anySubmitter || submitterByName(tx, anySubmitter) === undefined);
  if (!isDefault) writeSubmitter(tx, { name, weight });
  else if (submitterByName(tx, name) !== undefined) removeSubmitter(tx, name);
}
