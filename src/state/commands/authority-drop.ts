import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { addFormerAuthority, authorities, certificates, removeAuthority } from "../tables/authority.ts";
import { allNodes } from "../tables/node.ts";
import { fingerprintShape } from "./shapes.ts";

interface AuthorityDropped {
  readonly fingerprint: string;
}

const shape = z.strictObject({ fingerprint: fingerprintShape });

export const authorityDrop = command<AuthorityDropped>()({
  name: "authority.drop",
  tag: 43,
  since: 3,
  right: "internal",
  doc: "The former authority is believed no more: every member shows a certificate of the new one.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ fingerprint }) => `authority ${fingerprint}`,
  apply(tx, { fingerprint }, context) {
    const leaving = authorities(tx).find((row) => row.fingerprint === fingerprint && row.phase === "leaving");
    if (leaving === undefined) return refuse("conflict", `authority ${fingerprint} is not about to go`);
    const moved = new Set(certificates(tx).flatMap((row) => (row.authority === fingerprint ? [] : [row.node])));
    const waiting = allNodes(tx).find((node) => !moved.has(node.id));
    if (waiting !== undefined)
      return refuse("conflict", `node ${waiting.id} has no certificate of the new authority yet`);
    removeAuthority(tx, fingerprint);
    addFormerAuthority(tx, leaving);
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ fingerprint });
  },
});
