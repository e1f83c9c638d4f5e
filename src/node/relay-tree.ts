import type { Configuration } from "../lib/configuration.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Kept } from "../transport/types.ts";

/**
 * Who feeds whom: a forest of fan-out 8 below the voters, in which no two members need to agree on anything.
 *
 * All members stand in one order: the voters that do not lead, then the learners by id, and the k-th learner is fed by the member at place
 * k / 8 (rounded down). So each has at most 8, the depth is the logarithm, and one learner more or less at the end moves nobody. A feeder is a
 * voter or has the smaller id, whatever else happens: following feeders ends at a voter, so there are no loops. Who cannot be fed by the one
 * it should have asks others before it in the order, the nearest to the root first, and none further down than 8 places behind the one it should have:
 * room there is room in a chain, each hop of which comes only a little nearer to the root. Who finds none there insists, with anybody
 * before it: who is full sends away the largest id for a smaller one that insists (it belongs there by the order, or has found no room), and a
 * small id has the fewest to choose from. The k learners before it cannot fill the k / 8 + 1 members that come first, so a place is found at
 * most one level below the ideal one. Whose path gets longer tries the one it should have at once, everybody every now and then. The leader feeds only when there is no other voter.
 */
export interface RelayLimits {
  readonly directLearners: number;
  readonly fanOut: number;
  /** How often a learner tries the feeder that it should have. */
  readonly improveMs: number;
}

export const relayLimits: RelayLimits = {
  directLearners: limits.relayDirectLearners,
  fanOut: limits.relayFanOut,
  improveMs: limits.relayImproveMs,
};

/** Enough learners for a tree. */
export function isRelaying(configuration: Configuration, { directLearners }: RelayLimits): boolean {
  return configuration.learners.length > directLearners;
}

/** What `self` may ask to feed it, best first; all may be asked only by who insists. Without a known configuration: those that it was told of, as they were told. */
export function feedersOf(
  self: NodeId,
  configuration: Configuration,
  leader: NodeId,
  told: readonly NodeId[],
  insists: boolean,
  { fanOut }: RelayLimits,
): NodeId[] {
  if (configuration.voters.length === 0) return told.filter((node) => node !== self);
  const others = configuration.voters.filter((node) => node !== leader);
  const roots = others.length > 0 ? others : configuration.voters;
  const learners = configuration.learners.toSorted((a, b) => a - b);
  const place = learners.findIndex((node) => node >= self);
  const order = [...roots, ...(place < 0 ? learners : learners.slice(0, place))];
  const ideal = Math.floor((place < 0 ? learners.length : place) / fanOut);
  const asked = insists ? [...order, ...configuration.voters] : order.slice(0, ideal + fanOut);
  return [...new Set([order[ideal]!, ...asked])].filter((node) => node !== self);
}

/** Whether that member may feed `child` at all. */
export function mayFeed(feeder: NodeId, child: NodeId, { voters, outgoing }: Configuration): boolean {
  return voters.includes(feeder) || outgoing.includes(feeder) || feeder < child;
}

/** Room for `child` beside the present children: there is, or one is sent away for it, or there is none. */
export function makeRoom(
  children: readonly NodeId[],
  child: NodeId,
  insists: boolean,
  { fanOut }: RelayLimits,
): { readonly ok: boolean; readonly away?: NodeId } {
  if (children.includes(child) || children.length < fanOut) return { ok: true };
  const last = children.reduce((largest, node) => (node > largest ? node : largest));
  return insists && last > child ? { ok: true, away: last } : { ok: false };
}

/** The sockets that `self` keeps to another member: learners need none among themselves, and of a voter only what tells that it is there. */
export function keptTo(node: NodeId, self: NodeId, configuration: Configuration, relay: RelayLimits): Kept {
  const votes = (one: NodeId): boolean => configuration.voters.includes(one) || configuration.outgoing.includes(one);
  if (!isRelaying(configuration, relay)) return "all";
  if (votes(node) && votes(self)) return "all";
  return votes(node) || votes(self) ? "raft" : "none";
}

/** Whom of a large mesh a node meets that knows no configuration yet: not everybody, only to close most of those sockets a moment later. */
export function isFirstContact(node: NodeId, told: readonly NodeId[], { directLearners }: RelayLimits): boolean {
  return told.length <= directLearners || told.slice(0, limits.relayFirstContacts).includes(node);
}
