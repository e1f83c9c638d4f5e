import type { NodeId } from "../lib/ids.ts";
import { RollingHash } from "../lib/hash.ts";
import type { NodeRow } from "../state/types.ts";

/**
 * Who keeps the copies of a node's packs (N1): of the members that are up the one that ranks highest for this node (rendezvous hashing), one in another zone
 * before those in its own. Every node has one partner, so that few have to be asked when it is gone, and members together have about as many each; when one goes,
 * only those move that it was partner of. `isFit`: it has not just failed to take a copy.
 */
export function packPartner(
  self: NodeId,
  nodes: readonly NodeRow[],
  isFit: (node: NodeId) => boolean,
): NodeId | undefined {
  const zone = nodes.find(({ id }) => id === self)?.labels["zone"];
  let best: { readonly node: NodeId; readonly isElsewhere: boolean; readonly rank: string } | undefined;
  for (const node of nodes) {
    if (node.id === self || !canHold(node) || !isFit(node.id)) continue;
    const one = { node: node.id, isElsewhere: node.labels["zone"] !== zone, rank: rankOf(self, node.id) };
    const isBetter =
      best === undefined || (one.isElsewhere === best.isElsewhere ? one.rank > best.rank : one.isElsewhere);
    if (isBetter) best = one;
  }
  return best?.node;
}

/** It is there to take and to give, as far as the log knows. */
export function canHold(node: NodeRow): boolean {
  return node.state !== "lost" && node.peer !== "";
}

function rankOf(self: NodeId, node: NodeId): string {
  return new RollingHash("").number(self).number(node).number(self).digest();
}
