import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { limits } from "../../lib/limits.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { packCopy, removePackCopy } from "../tables/pack-copy.ts";
import { nodeIdShape, packShape } from "./shapes.ts";

interface PacksGone {
  readonly node: NodeId;
  readonly packs: readonly (readonly [of: NodeId, pack: string])[];
}

const shape = z.strictObject({
  node: nodeIdShape,
  packs: z
    .array(z.tuple([nodeIdShape, packShape]))
    .min(1)
    .max(limits.packsPerEntry),
});

export const packGone = command<PacksGone>()({
  name: "pack.gone",
  tag: 63,
  since: 3,
  right: "internal",
  doc: "A node tells that packs of logs, its own or copies that it held, are no more.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  apply(tx, { node, packs }) {
    let gone = 0;
    for (const [of, pack] of packs) {
      const copy = packCopy(tx, of, pack);
      // A copy that is said to be elsewhere by now is not the one that went.
      if (copy === undefined || (of !== node && copy.holder !== node)) continue;
      removePackCopy(tx, of, pack);
      gone += 1;
    }
    return accept({ gone });
  },
});
