import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { nodeById } from "../tables/node.ts";
import { setPackCopy } from "../tables/pack-copy.ts";
import { nodeIdShape, packShape } from "./shapes.ts";

interface PacksPlaced {
  readonly node: NodeId;
  readonly packs: readonly (readonly [pack: string, holder: NodeId])[];
}

const shape = z.strictObject({
  node: nodeIdShape,
  packs: z
    .array(z.tuple([packShape, nodeIdShape]))
    .min(1)
    .max(limits.packsPerEntry),
});

export const packPlaced = command<PacksPlaced>()({
  name: "pack.placed",
  tag: 62,
  since: 3,
  right: "internal",
  doc: "A node tells where the copies of its packs of logs are: one entry for many packs, each of many tasks (N1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, packs }) {
    if (nodeById(tx, node) === undefined) return refuse("not-found", `there is no node ${node}`);
    // A holder that was removed meanwhile has no copy any more: the node finds another one.
    const members = packs.filter(([, holder]) => holder !== node && nodeById(tx, holder) !== undefined);
    for (const [pack, holder] of members) setPackCopy(tx, { node, pack, holder });
    return accept({ placed: members.length });
  },
});
