import { z } from "zod";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { putPiece } from "../tables/inventory.ts";
import { inventoryPieces } from "./inventory-schema.ts";

interface PiecesPut {
  readonly pieces: readonly (readonly [hash: string, text: string])[];
}

export const inventoryPut = command<PiecesPut>()({
  name: "inventory.put",
  tag: 100,
  since: 3,
  right: "jobs:write",
  doc: "Brings pieces of an inventory that is set next: a large one goes in several entries.",
  input: z.strictObject({ pieces: z.array(z.tuple([z.string(), z.string()])) }),
  payload: z.strictObject({ pieces: inventoryPieces }),
  prepare: ({ pieces }) => ({ pieces }),
  apply(tx, { pieces }, { at }) {
    for (const [hash, text] of pieces) putPiece(tx, hash, text, at);
    return accept({ pieces: pieces.length });
  },
});
