import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { revokeToken, tokenById } from "../tables/token.ts";

interface TokenRevoked {
  readonly id: string;
}

const shape = z.strictObject({ id: z.string().min(1).max(64) });

export const tokenRevoke = command<TokenRevoked>()({
  name: "token.revoke",
  tag: 9,
  since: 1,
  right: "tokens:write",
  doc: "Ends an API or join token at once.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/tokens/:id", status: 200 },
  answer: z.object({ id: z.string() }),
  prepare: (input) => input,
  audit: ({ id }) => `token ${id}`,
  apply(tx, { id }, context) {
    if (tokenById(tx, id) === undefined) return refuse("not-found", `there is no token ${id}`);
    revokeToken(tx, id);
    context.changed({ topic: "token", kind: "changed" });
    return accept({ id });
  },
});
