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

/** `up --learner` is this label with the value "true". */
export const learnerLabel = "learner";

/** A member as the leader sees it. */
export interface Member {
  readonly node: NodeId;
  readonly state: NodeState;
  /** Entries it lacks; undefined: no connection. */
  readonly lag: number | undefined;
  /** It renews its lease. */
  readonly alive: boolean;
  /** It was started with --learner: it is never promoted. */
  readonly staysLearner: boolean;
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
 * only when a third can follow at once, since two tolerate no more failures than one. A voter that is lost or drains gives its place to a
 * learner that is ready. A leader that drains keeps its vote until another one leads: it makes sure that there is a voter to hand over
 * to, be it one more than wanted, and is demoted by that one. undefined: all is as it should be.
 */
export function planVoters(input: VotersInput): VoterChange | undefined {
  const { configuration, members, self } = input;
  const { voters, learners } = configuration;
  const wanted = oddOf(input.wanted);
  const present = new Map(members.map((member) => [member.node, member]));

  const gone = [...learners, ...voters].find((node) => !present.has(node) && node !== self);
  if (gone !== undefined) return { kind: "remove", node: gone };

  const missing = members.find((member) => !voters.includes(member.node) && !learners.includes(member.node));
  if (missing !== undefined) return { kind: "add-learner", node: missing.node };

  const others = voters.filter((node) => node !== self);
  const even = voters.length % 2 === 0;
  const ready = learners.filter((node) => isReady(present.get(node)));
  const leaving =
    others.find((node) => present.get(node)?.state === "lost") ?? others.find((node) => isLeaving(present.get(node)));
  if (leaving !== undefined && ready.length > 0 && !even) return { kind: "demote", node: leaving };

  if (voters.length < wanted && (ready.length >= 2 || (even && ready.length > 0)))
    return { kind: "promote", node: ready[0]! };

  const successors = others.filter((node) => isServing(present.get(node)));
  const handsOver = isLeaving(present.get(self));
  if (handsOver && successors.length === 0 && ready.length > 0) return { kind: "promote", node: ready[0]! };

  if (voters.length > wanted || even) {
    // No learner can make it odd: a voter that leaves or is absent, or else the youngest that is not this node, stops counting.
    const absent = leaving ?? others.find((node) => present.get(node)?.alive !== true);
    const youngest = handsOver && successors.length === 1 ? undefined : successors.toSorted((a, b) => b - a)[0];
    const node = absent ?? youngest;
    if (node !== undefined) return { kind: "demote", node };
  }
  return undefined;
}

/** An even number of voters tolerates no more failures than the odd one below it. */
function oddOf(wanted: number): number {
  return wanted % 2 === 0 ? Math.max(1, wanted - 1) : wanted;
}

/** Lost or draining: it is to be no voter while another can. */
function isLeaving(member: Member | undefined): boolean {
  return member !== undefined && member.state !== "up";
}

/** A voter that may be relied on, and be handed the leadership. */
function isServing(member: Member | undefined): boolean {
  return member !== undefined && member.state === "up" && member.alive;
}

function isReady(member: Member | undefined): boolean {
  return (
    member !== undefined &&
    member.state === "up" &&
    member.alive &&
    !member.staysLearner &&
    member.lag !== undefined &&
    member.lag <= promoteLagEntries
  );
}
