import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { anySubmitter, removeSubmitter, submitterByName, submitters, writeSubmitter } from "../tables/submitter.ts";
import { nameShape } from "./shapes.ts";

interface SubmitterSet {
  readonly name: string;
  readonly weight: number;
}

const weightForm = `must be a whole number from 1 to ${limits.shareWeight}`;
const shape = z.strictObject({
  name: nameShape,
  weight: z.number({ error: weightForm }).int(weightForm).min(1, weightForm).max(limits.shareWeight, weightForm),
});

export const submitterSet = command<SubmitterSet>()({
  name: "submitter.set",
  tag: 56,
  since: 3,
  right: "cluster:write",
  doc: "Sets the share of whoever submits jobs under this name; * is everybody without one of their own. 1 is what holds without it.",
  input: shape,
  payload: shape,
  route: { method: "POST", path: "/v1/submitters", status: 200 },
  answer: z.object({ name: z.string(), weight: z.int() }),
  prepare: (input) => input,
  audit: ({ name, weight }) => `submitter ${name}: weight ${weight}`,
  apply(tx, { name, weight }, context) {
    const before = submitterByName(tx, name);
    if (before === undefined && submitters(tx).length >= limits.tokens)
      return refuse("conflict", `${limits.tokens} submitters are set, and that is the limit`);
    // Everybody's default may be another one, and then 1 says something.
    const isDefault = weight === 1 && (name === anySubmitter || submitterByName(tx, anySubmitter) === undefined);
    if (!isDefault) writeSubmitter(tx, { name, weight });
    else if (before !== undefined) removeSubmitter(tx, name);
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ name, weight });
  },
});
