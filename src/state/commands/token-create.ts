import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { limits } from "../../lib/limits.ts";
import { command } from "../command.ts";
import { auditLevel } from "../levels.ts";
import { countTokens, forgetDeadTokens, insertToken, tokenById } from "../tables/token.ts";
import type { Role } from "../types.ts";
import { newTokenShape, roleShape, type NewToken } from "./shapes.ts";

interface TokenCreated extends NewToken {
  readonly kind: "api" | "join";
  readonly role: Role;
  /** Epoch ms; null: never. */
  readonly expiresAt: number | null;
  /** How often a join token may be used; null: no limit. */
  readonly uses: number | null;
}

const shape = newTokenShape.extend({
  kind: z.enum(["api", "join"]),
  role: roleShape,
  expiresAt: z.number().int().nonnegative().nullable(),
  uses: z.number().int().positive().nullable(),
});

export const tokenCreate = command<TokenCreated>()({
  name: "token.create",
  tag: 8,
  since: 1,
  right: "tokens:write",
  doc: "Remembers the hash of a new token; the secret was made and shown before (K1).",
  input: shape,
  payload: shape,
  prepare: (input) => input,
  audit: ({ id, kind, name, role }) => (kind === "join" ? `join token ${id}` : `token ${id} (${name}, ${role})`),
  apply(tx, token, context) {
    if (tokenById(tx, token.id) !== undefined) return refuse("conflict", `a token ${token.id} exists already`);
    if (context.level >= auditLevel && countTokens(tx) >= limits.tokens / 2) {
      forgetDeadTokens(tx, context.at);
      if (countTokens(tx) >= limits.tokens)
        return refuse(
          "conflict",
          `the cluster has ${limits.tokens} tokens: revoke some with 'skein token revoke' first`,
        );
    }
    insertToken(tx, { ...token, node: null });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ id: token.id });
  },
});
