import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { NodeRow } from "../state/types.ts";

/** What the leader knows of leases, all times on its monotonic clock. */
export interface LostInput {
  readonly nodes: readonly NodeRow[];
  /** Since when each node has been silent under this leader: its last grant or announcement since the election. */
  readonly quietSince: ReadonlyMap<NodeId, number>;
  readonly electedAt: number;
  readonly now: number;
}

/**
 * Nodes to declare lost (J3): no lease granted for lostAfterMs, counted by a new leader from its election at the earliest, since
 * its predecessor may have granted one just before.
 */
export function lostNodes(input: LostInput): { readonly node: NodeId; readonly incarnation: string }[] {
  return input.nodes
    .filter((row) => row.state !== "lost")
    .filter((row) => input.now - (input.quietSince.get(row.id) ?? input.electedAt) >= limits.lostAfterMs)
    .map((row) => ({ node: row.id, incarnation: row.incarnation }));
}
