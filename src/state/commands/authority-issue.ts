import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { authorities, certificates, setAuthorityPhase } from "../tables/authority.ts";
import { allNodes } from "../tables/node.ts";
import { revokeJoinTokens } from "../tables/token.ts";
import { fingerprintShape } from "./shapes.ts";

interface AuthorityIssues {
  readonly fingerprint: string;
}

const shape = z.strictObject({ fingerprint: fingerprintShape });

export const authorityIssue = command<AuthorityIssues>()({
  name: "authority.issue",
  tag: 42,
  since: 3,
  right: "internal",
  doc: "The new authority issues certificates from now on: every member has said that it believes it.",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ fingerprint }) => `authority ${fingerprint}`,
  apply(tx, { fingerprint }, context) {
    const rows = authorities(tx);
    const coming = rows.find((row) => row.fingerprint === fingerprint && row.phase === "coming");
    if (coming === undefined) return refuse("conflict", `authority ${fingerprint} is not about to issue`);
    const believing = new Set(
      certificates(tx).flatMap(({ node, trusted }) => (trusted.includes(fingerprint) ? [node] : [])),
    );
    const waiting = allNodes(tx).find((node) => !believing.has(node.id));
    if (waiting !== undefined)
      return refuse("conflict", `node ${waiting.id} has not said that it believes the authority`);
    for (const row of rows) if (row.phase === "issuing") setAuthorityPhase(tx, row.fingerprint, "leaving");
    setAuthorityPhase(tx, fingerprint, "issuing");
    // Nothing leads to it from the authority that they name.
    if (coming.crossed === null) revokeJoinTokens(tx);
    context.changed({ topic: "cluster", kind: "changed" });
    if (coming.crossed === null) context.changed({ topic: "token", kind: "changed" });
    return accept({ fingerprint });
  },
});
