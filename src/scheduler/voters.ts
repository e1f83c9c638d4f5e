import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { NodeState } from "../state/types.ts";

/** The part of raft's configuration that this plan looks at (same shape as in raft/types.ts). */
export interface Voters {
  readonly voters: readonly NodeId[];
  /** Not empty: a change is under way, and nothing is planned before it is over. */
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** The members as they should be: one change of the configuration, joint where raft needs it (raft/types.ts, "replace"). */
export interface VoterChange {
  readonly kind: "replace";
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** Voters are spread over the values of this label. */
export const zoneLabel = "zone";

/** A member as the leader sees it. */
export interface Member {
  readonly node: NodeId;
  readonly state: NodeState;
  /** Without a renewed lease for this long (ms); 0 for one that is alive, and for the leader itself. */
  readonly quietMs: number;
  /** The leader has a connection to it and hears it, now; the leader itself is here. */
  readonly isHere: boolean;
  /** A learner: close to the leader's log, and alive, without a break for this long (ms); undefined: not now. */
  readonly closeMs: number | undefined;
  /** It was started with --learner: it is never promoted. */
  readonly staysLearner: boolean;
  /** What a person asked for with promote or demote. */
  readonly wish: "voter" | "learner" | undefined;
  /** Where it stands; members without one count as of one place. */
  readonly zone: string | undefined;
}

export interface VotersInput {
  readonly configuration: Voters;
  readonly members: readonly Member[];
  /** The number of voters that is wished for; an even one counts as the odd one below it. */
  readonly wanted: number;
  readonly self: NodeId;
}

/**
 * The members as they should be, in one change, or undefined when they are. Everybody who is a member replicates, who is none any more
 * goes. The number of voters is odd, since an even number tolerates no more failures than the odd one below it, and of the odd numbers
 * that can be filled the one that bears most further failures:
 *
 *   failures borne = min(voters that live, n) - majority of n
 *
 * So a dead voter is replaced when a learner is ready, keeps its place when none is, and five voters of which two are dead become three.
 * Those that serve and learners that are ready are chosen for a spread over zones first, then so that as little as possible changes; after
 * them those that are to go, since they were demoted or drain, which lose their place only to a better one, and last the dead.
 *
 * Dead is who has been quiet for limits.replaceVoterMs: never on one observation. Until then a voter that is not here keeps its place, but where some have
 * to go it goes before one that is here, and no voters are planned of whom a majority is not here: such a change would wait for them, for good if they
 * never return. Ready is a learner that has been close for limits.promoteStableMs. A leader that drains is replaced like others, and steps down once
 * that is committed.
 */
export function planVoters(input: VotersInput): VoterChange | undefined {
  const { configuration, members, self } = input;
  if (configuration.outgoing.length > 0) return undefined;
  const present = new Map(members.map((member) => [member.node, member]));
  const voters = configuration.voters.map((node) => present.get(node)).filter((member) => member !== undefined);
  const dead = voters.filter(isDead).sort((a, b) => reluctance(a) - reluctance(b));
  const living = voters.filter((member) => !isDead(member));
  const reluctant = living
    .filter((member) => reluctance(member) > 0)
    .sort((a, b) => Number(b.isHere) - Number(a.isHere) || reluctance(a) - reluctance(b));
  const serving = living.filter((member) => reluctance(member) === 0);
  const ready = configuration.learners.map((node) => present.get(node)).filter(isReady);
  const size = bestSize(living.length + ready.length, dead.length, input.wanted);
  const asTheyAre = (): VoterChange | undefined => withVoters(configuration, configuration.voters, members);
  // Nobody may vote instead: those that are asked to go stay until somebody can.
  if (size === 0) return asTheyAre();

  const leader = serving.find((member) => member.node === self);
  const candidates = [
    ...serving.filter((member) => member !== leader).map((member) => ({ member, rank: rankOf(member, 1) })),
    ...ready.map((member) => ({ member, rank: rankOf(member, 2) })),
  ];
  const choose = (): Spread => {
    const chosen = new Spread();
    const left = [...candidates];
    if (leader !== undefined) chosen.take(leader);
    while (chosen.size < size && left.length > 0) chosen.take(takeBest(left, chosen));
    for (const member of [...reluctant, ...dead]) if (chosen.size < size) chosen.take(member);
    return chosen;
  };
  let chosen = choose();
  if (sameNodes(chosen.nodes, configuration.voters)) return asTheyAre();
  for (;;) {
    const away = candidates.findLastIndex(({ member }) => !member.isHere && chosen.members.includes(member));
    const isHereLeftOut = serving.some((member) => member.isHere && !chosen.members.includes(member));
    if (away < 0 || !isHereLeftOut) break;
    candidates.splice(away, 1);
    chosen = choose();
  }
  const here = chosen.members.filter((member) => member.isHere).length;
  return here * 2 > chosen.size ? withVoters(configuration, chosen.nodes, members) : asTheyAre();
}

/** The odd number, at most `wanted`, that bears most further failures; of several the largest. 0: nobody lives that may vote. */
function bestSize(living: number, dead: number, wanted: number): number {
  if (living === 0) return 0;
  let best = 0;
  let borneBest = -Infinity;
  for (let size = 1; size <= Math.max(1, wanted) && size <= living + dead; size += 2) {
    const borne = Math.min(living, size) - (Math.floor(size / 2) + 1);
    if (borne >= borneBest) {
      best = size;
      borneBest = borne;
    }
  }
  return best;
}

/** A member that a person wants to vote comes first, then those that vote, then those that could. */
function rankOf(member: Member, otherwise: number): number {
  return member.wish === "voter" ? 0 : otherwise;
}

interface Candidate {
  readonly member: Member;
  readonly rank: number;
}

function takeBest(candidates: Candidate[], chosen: Spread): Member {
  let best = 0;
  for (let at = 1; at < candidates.length; at++) if (isBetter(candidates[at]!, candidates[best]!, chosen)) best = at;
  return candidates.splice(best, 1)[0]!.member;
}

function isBetter(a: Candidate, b: Candidate, chosen: Spread): boolean {
  const [wishA, wishB] = [a.rank === 0, b.rank === 0];
  if (wishA !== wishB) return wishA;
  const [inZoneA, inZoneB] = [chosen.inZone(a.member), chosen.inZone(b.member)];
  if (inZoneA !== inZoneB) return inZoneA < inZoneB;
  return a.rank === b.rank ? a.member.node < b.member.node : a.rank < b.rank;
}

/** Members chosen so far, and how many of them stand where. */
class Spread {
  readonly members: Member[] = [];
  readonly #zones = new Map<string, number>();

  get nodes(): NodeId[] {
    return this.members.map((member) => member.node);
  }

  get size(): number {
    return this.members.length;
  }

  inZone(member: Member): number {
    return this.#zones.get(member.zone ?? "") ?? 0;
  }

  take(member: Member): void {
    this.#zones.set(member.zone ?? "", this.inZone(member) + 1);
    this.members.push(member);
  }
}

/** These voters, and every other member as a learner; undefined when that is the configuration already. */
function withVoters(
  configuration: Voters,
  chosen: readonly NodeId[],
  members: readonly Member[],
): VoterChange | undefined {
  const voters = chosen.toSorted(ascending);
  const learners = members.map((member) => member.node).filter((node) => !voters.includes(node));
  if (sameNodes(voters, configuration.voters) && sameNodes(learners, configuration.learners)) return undefined;
  return { kind: "replace", voters, learners: learners.sort(ascending) };
}

const ascending = (a: number, b: number): number => a - b;

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** Neither its own host nor a person wants it to be no voter. */
function mayVote(member: Member): boolean {
  return !member.staysLearner && member.wish !== "learner";
}

/** 0: it serves. Others vote until another can in their place; of them those that are to stay as learners before those that drain. */
function reluctance(member: Member): number {
  return Number(!mayVote(member)) + 2 * Number(member.state === "draining");
}

function isDead(member: Member): boolean {
  return member.quietMs >= limits.replaceVoterMs;
}

function isReady(member: Member | undefined): member is Member {
  return (
    member !== undefined &&
    mayVote(member) &&
    member.isHere &&
    member.state === "up" &&
    member.quietMs === 0 &&
    member.closeMs !== undefined &&
    member.closeMs >= limits.promoteStableMs
  );
}
