import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { allNodes, lostSince } from "./tables/node.ts";
import { waitingPinnedTo } from "./tables/task.ts";
import type { ReadTx } from "./tx.ts";

/** A node that was lost so long ago that tasks which only it may run wait for it no longer, and that still has some. `now` is wall time. */
export function forsakenNode(tx: ReadTx, now: number): NodeId | undefined {
  for (const { id, state } of allNodes(tx)) {
    const since = state === "lost" ? lostSince(tx, id) : undefined;
    if (since !== undefined && now - since >= limits.pinnedWaitMs && waitingPinnedTo(tx, id, 1).length > 0) return id;
  }
  return undefined;
}
