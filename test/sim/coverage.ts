import { oddKinds } from "./odd-kinds.ts";
import { faultKinds } from "./plan.ts";

/**
 * Paths that are seldom walked. A harness that does not reach them proves nothing about them: over the seeds that CI runs each must have been
 * met at least once.
 */
export const rarePaths: readonly string[] = [
  ...faultKinds.map((kind) => `fault:${kind}`),
  "elections",
  "crashedInStep",
  "joins",
  "snapshotsInstalled",
  "compactions",
  "overwrites",
  "repairs",
  "jointConfigurations",
  "removedTold",
  "sought",
  "comparedHashes",
  "framesLost",
  "framesDuplicated",
  "framesHeld",
  "framesRefused",
  "groupedAppends",
  "checkpoints",
  "attempts",
  "attemptsLost",
  "attemptsRetried",
  "attemptsRecalled",
  "attemptsReturned",
  "assignedAhead",
  "endedInUnits",
  "unknown",
  "refused",
  "repeats",
  "reads",
  "failedReads",
  "followerReads",
  "gatedJobs",
  "jobsHeld",
  "jobsSkipped",
  "jobsOverdue",
  "tasksWithResources",
  "weightsSet",
  "done:transfer",
  "done:promote",
  "done:demote",
  "done:resize",
  "done:drain",
  "done:remove",
  "done:node.remove",
  "removedBesideDead",
  "resizedBesideDead",
  "changesJudged",
  "stampsJudged",
  "nodesLost",
  "realFilesCut",
  "walCuts",
  ...oddKinds.map((kind) => `odd:${kind}`),
  "quarantined",
  "leaderWasOdd",
  "quarantinedAtStart",
  "reloaded",
  "leftQuarantine",
  "bugOnOneNode",
  "undecided",
  "vagueAnswers",
];

/** Those of them that the counters lack. */
export function notReached(counters: Readonly<Record<string, number>>): string[] {
  return rarePaths.filter((name) => (counters[name] ?? 0) === 0);
}
