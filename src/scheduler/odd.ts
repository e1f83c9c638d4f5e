import type { NodeId } from "../lib/ids.ts";

/**
 * Who is odd (S1). All hashes given in are of one and the same entry, which the caller sees to: a hash of another entry says nothing.
 */
export interface HashesAtOneEntry {
  /** Both halves while a change of the members is joint; "outgoing" is empty otherwise. */
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  /** Of voters and learners; who did not answer is absent. */
  readonly hashes: ReadonlyMap<NodeId, string>;
}

export type Judgement =
  /** All that answered have the same one. */
  | { readonly kind: "agreed" }
  /** A quorum of the voters has `hash`, these nodes have others. */
  | { readonly kind: "odd"; readonly hash: string; readonly nodes: readonly NodeId[] }
  /** They differ, and no hash is a quorum's: nobody can say who is right. */
  | { readonly kind: "undecided"; readonly groups: readonly (readonly NodeId[])[] };

/** Judges by the hashes of a quorum: more than half of all voters, whoever is silent, in each half of a joint configuration. */
export function judgeHashes({ voters, outgoing, hashes }: HashesAtOneEntry): Judgement {
  const groups = new Map<string, NodeId[]>();
  for (const [node, hash] of hashes) groups.set(hash, [...(groups.get(hash) ?? []), node]);
  if (groups.size < 2) return { kind: "agreed" };
  for (const [hash, nodes] of groups) {
    if (!isQuorum(nodes, voters, outgoing)) continue;
    return { kind: "odd", hash, nodes: [...hashes.keys()].filter((node) => hashes.get(node) !== hash).sort(byId) };
  }
  return { kind: "undecided", groups: [...groups.values()].map((nodes) => nodes.sort(byId)) };
}

/** Whether it is known already that a quorum has this one. */
export function isQuorumsHash({ voters, outgoing, hashes }: HashesAtOneEntry, hash: string): boolean {
  const nodes = [...hashes].filter(([, other]) => other === hash).map(([node]) => node);
  return isQuorum(nodes, voters, outgoing);
}

function isQuorum(nodes: readonly NodeId[], voters: readonly NodeId[], outgoing: readonly NodeId[]): boolean {
  return isMajority(nodes, voters) && (outgoing.length === 0 || isMajority(nodes, outgoing));
}

function isMajority(nodes: readonly NodeId[], of: readonly NodeId[]): boolean {
  return of.filter((voter) => nodes.includes(voter)).length * 2 > of.length;
}

const byId = (a: NodeId, b: NodeId): number => a - b;
