import { z } from "zod";
import { digestLength, digestOfText } from "../../lib/digest.ts";
import { limits } from "../../lib/limits.ts";

/** `targets` as people write it, as a spec of the log names it, and the lists beside such specs (state/targets.ts). */

const targetsForm = `must be text like "web[01-30]", or a list of such texts`;
const expression = z.string({ error: targetsForm }).min(1, "must not be empty");

/** One expression, or several. What they stand for is not looked at here: that may depend on the state. */
export const targetsField = z.union(
  [
    expression.transform((text) => [text]),
    z
      .array(expression)
      .min(1, "must name a target")
      .max(limits.targetsPerJob, `at most ${limits.targetsPerJob} expressions`),
  ],
  { error: (issue) => (Array.isArray(issue.input) && issue.input.length === 0 ? "must name a target" : targetsForm) },
);

/** Of a spec in the log. */
export const normalisedTargets = z.strictObject({
  from: z.array(z.string().min(1)).min(1).exactOptional(),
  list: z.string().length(digestLength),
  count: z.number().int().min(1).max(limits.targetsPerJob),
  inventories: z.array(z.string().length(digestLength)).min(1).max(limits.inventoriesPerJob).exactOptional(),
});

/** A list and its digest: apply, which has no time to look, trusts that the one names the other (S3). What they are together is bounded by their entry. */
export const targetLists = z
  .array(
    z.tuple([z.string(), z.string()]).refine(([hash, names]) => isListOfNames(names) && digestOfText(names) === hash),
  )
  .max(limits.specsPerRequest);

function isListOfNames(names: string): boolean {
  let count = 0;
  for (let at = 0; at <= names.length; count++) {
    const next = names.indexOf("\n", at);
    const end = next === -1 ? names.length : next;
    if (end === at || end - at > limits.targetLength) return false;
    at = end + 1;
  }
  return count <= limits.targetsPerJob;
}
