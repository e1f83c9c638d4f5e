import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { addAuthority, addAuthorityHolder, authorities, removeAuthority } from "../tables/authority.ts";
import { certificateShape, fingerprintShape } from "./shapes.ts";

interface AuthorityBegun {
  readonly fingerprint: string;
  readonly certificate: string;
  /** null: nobody has the former one's key. */
  readonly crossed: string | null;
  /** Why, for the audit. */
  readonly reason: string;
}

const shape = z.strictObject({
  fingerprint: fingerprintShape,
  certificate: certificateShape,
  crossed: certificateShape.nullable(),
  reason: z.string().max(300),
});

export const authorityBegin = command<AuthorityBegun>()({
  name: "authority.begin",
  tag: 40,
  since: 3,
  right: "cluster:write",
  doc: "The cluster's first authority, or a new one that is to take its place once every member believes it. Holds its public certificate alone (K1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ fingerprint, reason }) => `authority ${fingerprint}: ${reason}`,
  apply(tx, { fingerprint, certificate, crossed }, context) {
    const rows = authorities(tx);
    if (rows.some((row) => row.fingerprint === fingerprint)) return accept({ fingerprint });
    const leaving = rows.find((row) => row.phase === "leaving");
    if (leaving !== undefined) {
      return refuse(
        "conflict",
        `authority ${leaving.fingerprint} is being replaced already: wait until 'skein cluster status' shows one authority, or remove the nodes that it waits for`,
      );
    }
    // One that nobody has a certificate of yet gives way: its key may be with a node that is to know none.
    for (const row of rows) if (row.phase === "coming") removeAuthority(tx, row.fingerprint);
    addAuthority(tx, { fingerprint, certificate, crossed, phase: rows.length === 0 ? "issuing" : "coming" });
    addAuthorityHolder(tx, fingerprint, context.origin);
    context.changed({ topic: "cluster", kind: "changed" });
    return accept({ fingerprint });
  },
});
