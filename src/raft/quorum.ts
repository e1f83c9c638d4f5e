import type { NodeId } from "../lib/ids.ts";
import type { Configuration } from "./types.ts";

/**
 * Arithmetic of majorities, plain and joint: no protocol here. A joint configuration needs a majority of both halves;
 * an empty half agrees to everything, so that a plain configuration is the joint one with an empty half.
 */

/** How far each node got in something that only grows: entries acknowledged, read rounds answered. */
export interface Reached {
  reached(node: NodeId): number;
}

/** What an empty half has reached. */
export const everything = Number.MAX_SAFE_INTEGER;

/** Kept between calls: this runs for every acknowledgement. */
const sorted: number[] = [];

/** The highest value that a majority of `voters` has reached. */
export function majorityReached(voters: readonly NodeId[], source: Reached): number {
  const count = voters.length;
  if (count === 0) return everything;
  for (let place = 0; place < count; place++) {
    const value = source.reached(voters[place]!);
    let at = place;
    for (; at > 0 && sorted[at - 1]! < value; at--) sorted[at] = sorted[at - 1]!;
    sorted[at] = value;
  }
  return sorted[Math.floor(count / 2)]!;
}

/** The highest value that a quorum of the configuration has reached. */
export function quorumReached(configuration: Configuration, source: Reached): number {
  const incoming = majorityReached(configuration.voters, source);
  return Math.min(incoming, majorityReached(configuration.outgoing, source));
}

export type VoteResult = "pending" | "won" | "lost";

/** Of one majority. `absent` voters that have not answered are taken for a no: nothing more is to be expected of them. */
export function majorityVote(
  voters: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
  absent: ReadonlySet<NodeId>,
): VoteResult {
  let granted = 0;
  let open = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === undefined && !absent.has(voter)) open++;
  }
  const majority = Math.floor(voters.length / 2) + 1;
  if (voters.length === 0 || granted >= majority) return "won";
  return granted + open < majority ? "lost" : "pending";
}

/** Of the configuration: won in both halves, lost in either. */
export function quorumVote(
  configuration: Configuration,
  votes: ReadonlyMap<NodeId, boolean>,
  absent: ReadonlySet<NodeId>,
): VoteResult {
  const incoming = majorityVote(configuration.voters, votes, absent);
  const outgoing = majorityVote(configuration.outgoing, votes, absent);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}
