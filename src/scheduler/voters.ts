import type { NodeId } from "../lib/ids.ts";
import type { NodeState } from "../state/types.ts";

/** The part of raft's configuration that this plan looks at, and the changes it asks for (same shapes as raft/types.ts). */
export interface Voters {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}
export interface VoterChange {
  readonly kind: "add-learner" | "promote" | "demote" | "remove";
  readonly node: NodeId;
}

/** A member as the leader sees it. */
export interface Member {
  readonly node: NodeId;
  readonly state: NodeState;
  /** Entries it lacks; undefined: no connection. */
  readonly lag: number | undefined;
  /** It renews its lease. */
  readonly alive: boolean;
}

export interface VotersInput {
  readonly configuration: Voters;
  readonly members: readonly Member[];
  /** The odd number of voters that is wished for. */
  readonly wanted: number;
  readonly self: NodeId;
}

/** A learner this close may vote. */
const promoteLagEntries = 100;

/**
 * The next step towards the right voters, one at a time: everybody who is a member replicates, who is none any more goes, and
 * learners that are close are promoted while voters are wanted. The number of voters ends odd: a second voter is made
 * only when a third can follow at once, since two tolerate no more failures than one.
 */
export function planVoters(input: VotersInput): VoterChange | undefined {
  const { configuration, members, wanted, self } = input;
  const { voters, learners } = configuration;
  const present = new Map(members.map((member) => [member.node, member]));

  const gone = [...learners, ...voters].find((node) => !present.has(node) && node !== self);
  if (gone !== undefined) return { kind: "remove", node: gone };

  const missing = members.find((member) => !voters.includes(member.node) && !learners.includes(member.node));
  if (missing !== undefined) return { kind: "add-learner", node: missing.node };

  const ready = learners.filter((node) => isReady(present.get(node)));
  if (voters.length < wanted && ready.length > 0) {
    const even = voters.length % 2 === 0;
    if (even || (ready.length >= 2 && voters.length + 2 <= wanted)) return { kind: "promote", node: ready[0]! };
  }
  if (voters.length % 2 === 0 && voters.length > 0) {
    // No learner can make it odd: a voter that is absent, or else the youngest that is not this node, stops counting.
    const others = voters.filter((node) => node !== self);
    const absent = others.find((node) => present.get(node)?.alive !== true);
    const node = absent ?? others[others.length - 1];
    if (node !== undefined) return { kind: "demote", node };
  }
  return undefined;
}

function isReady(member: Member | undefined): boolean {
  return member !== undefined && member.state === "up" && member.alive && member.lag !== undefined && member.lag <= promoteLagEntries;
}
