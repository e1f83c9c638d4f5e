import { RollingHash } from "../lib/hash.ts";
import type { Assignment, Report, Spec } from "../state/types.ts";

/**
 * Which task it is that an attempt was begun for, beside its name. A node whose state had gone wrong (S1) may have known another job under the number of the one that it
 * was given, and have begun that one's command. With the right state again the two have one name, and what runs, or has ended, must not be taken
 * for what was asked for. Entry and spec tell them apart.
 *
 * It outlives the node's process in the guard, so the text of a spec must be read the same way by all releases: one that writes the specs of running jobs anew
 * has to carry this over.
 */
export function identityOf({ fence, spec }: Pick<Assignment, "fence" | "spec">): string {
  let digest = digests.get(spec);
  if (digest === undefined) digests.set(spec, (digest = new RollingHash("").text(JSON.stringify(spec)).digest()));
  return `${fence}.${digest}`;
}

/** Tasks of a job share their spec. */
const digests = new WeakMap<Spec, string>();

/** Why an attempt that was begun for another task is told as lost. */
export const disownedReason =
  "the state of its node was wrong and had another job under this number: that one's command was run, and ended when the right state was there";

/** What became of an attempt that was begun for another task: nothing is known of its own. */
export function disowned(report: Report): Report {
  return { ...report, state: "lost", exitCode: null, signal: null, reason: disownedReason };
}
