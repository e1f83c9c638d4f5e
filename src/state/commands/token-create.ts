import { z } from "zod";
import type { NodeId } from "../../lib/ids.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { limits } from "../../lib/limits.ts";
import { command } from "../command.ts";
import { auditLevel } from "../levels.ts";
import { nodeById } from "../tables/node.ts";
import { countTokens, forgetDeadTokens, insertToken, tokenById } from "../tables/token.ts";
import type { Role } from "../types.ts";
import { endShape, newTokenShape, nodeIdShape, roleShape, type NewToken } from "./shapes.ts";

interface TokenCreated extends NewToken {
  readonly kind: "api" | "join";
  readonly role: Role;
  /** Epoch ms; null: never. */
  readonly expiresAt: number | null;
  /** How often a join token may be used; null: no limit. */
  readonly uses: number | null;
  /** Ends when this node is removed: it was its key that the token was made by. */
  readonly node?: NodeId | undefined;
}

const shape = newTokenShape.extend({
  kind: z.enum(["api", "join"]),
  role: roleShape,
  expiresAt: endShape,
  uses: z.number().int().positive().max(limits.joinTokenUses).nullable(),
  node: nodeIdShape.optional(),
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
    const { node = null } = token;
    if (node !== null && nodeById(tx, node) === undefined) return refuse("not-found", `there is no node ${node}`);
    insertToken(tx, { ...token, node });
    context.changed({ topic: "token", kind: "changed" });
    return accept({ id: token.id });
  },
});
