import { z } from "zod";
import { nodeId, type NodeId } from "../../lib/ids.ts";
import { accept } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { addAuthorityHolder, authorities } from "../tables/authority.ts";
import { fingerprintShape } from "./shapes.ts";

interface AuthorityHeld {
  readonly node: NodeId;
  readonly authorities: readonly string[];
}

const shape = z.strictObject({
  node: z.number().int().positive().transform(nodeId),
  authorities: z.array(fingerprintShape).min(1).max(8),
});

export const authorityHeld = command<AuthorityHeld>()({
  name: "authority.held",
  tag: 44,
  since: 3,
  right: "internal",
  doc: "A voter is about to be given the keys of these authorities. Logged before, so that who knows a key is known (K1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ node, authorities: given }) => `node ${node}: authority ${given.join(", ")}`,
  apply(tx, { node, authorities: given }, context) {
    const present = new Set(authorities(tx).map((row) => row.fingerprint));
    const news = given.filter((one) => present.has(one)).filter((one) => addAuthorityHolder(tx, one, node));
    if (news.length > 0) context.changed({ topic: "cluster", kind: "changed" });
    return accept({ node });
  },
});
