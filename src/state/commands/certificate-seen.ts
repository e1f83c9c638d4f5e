import { z } from "zod";
import { nodeId, type NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { setCertificate } from "../tables/authority.ts";
import { nodeById } from "../tables/node.ts";
import { fingerprintShape } from "./shapes.ts";

interface CertificateSeen {
  readonly node: NodeId;
  readonly fingerprint: string;
  readonly authority: string;
  readonly expiresAt: number;
  readonly trusted: readonly string[];
}

const shape = z.strictObject({
  node: z.number().int().positive().transform(nodeId),
  fingerprint: fingerprintShape,
  authority: fingerprintShape,
  expiresAt: z.int().nonnegative(),
  trusted: z.array(fingerprintShape).max(8),
});

export const certificateSeen = command<CertificateSeen>()({
  name: "certificate.seen",
  tag: 41,
  since: 3,
  right: "internal",
  doc: "What a node shows from now on, and which authorities it believes, as it says itself.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ node, fingerprint, authority }) => `node ${node}: certificate ${fingerprint} of authority ${authority}`,
  apply(tx, { node, fingerprint, authority, expiresAt, trusted }, context) {
    if (nodeById(tx, node) === undefined) return refuse("not-found", `there is no node ${node}`);
    if (context.origin !== node) return refuse("conflict", `node ${context.origin} cannot speak for node ${node}`);
    setCertificate(tx, { node, fingerprint, authority, expiresAt, trusted: trusted.toSorted() });
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ node });
  },
});
