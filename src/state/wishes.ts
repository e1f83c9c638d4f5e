import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { NodeId } from "../lib/ids.ts";
import type { ApplyContext } from "./command.ts";
import { noNode } from "./no-node.ts";
import { allNodes, nodeByReference, setWish } from "./tables/node.ts";
import type { Tx } from "./tx.ts";
import type { Wish } from "./types.ts";

/** What promote and demote answer. */
export interface Wished {
  readonly node: NodeId;
  readonly wish: Wish | null;
  /** The node votes: nothing was logged (node/votes-already.ts). */
  readonly already?: true;
}

/** Promote and demote: the state keeps the wish, the leader changes the voters by it. */
export function wishFor(
  tx: Tx,
  context: ApplyContext,
  reference: string | number,
  wish: Wish | undefined,
): Outcome<Wished> {
  const node = nodeByReference(tx, reference);
  if (node === undefined) return noNode(reference);
  // Somebody must be left who may vote, as far as the state knows: the leader keeps the last voter in any case.
  const others = allNodes(tx).filter((other) => other.id !== node.id && other.wish !== "learner");
  if (wish === "learner" && others.length === 0) {
    return refuse("conflict", `node ${node.name} is the last that may vote: promote another one first`);
  }
  if (node.wish !== wish) {
    setWish(tx, node.id, wish);
    context.changed({ topic: "node", kind: "changed", node: node.id });
  }
  return accept({ node: node.id, wish: wish ?? null });
}
