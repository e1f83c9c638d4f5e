import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { SecretView } from "../state/answers.ts";
import { secretName } from "../state/commands/shapes.ts";
import { listSecrets } from "../state/queries.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";

const secretAnswer = z.object({
  name: z.string(),
  revision: z.int(),
  set_at: z.string(),
  set_by: z.string(),
  state: z.enum(["usable", "lost"]),
});

/** Secrets are set and listed here; no call gives a value (K1). Removing is a command (state/commands/secret-rm.ts). */
export function secretRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/secrets",
      right: "jobs:write",
      doc: "Secrets by name: which there are, and who set them when. Never their values.",
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      answer: z.object({ secrets: z.array(secretAnswer), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          listSecrets(tx, { limit: query.limit ?? limits.listDefault, next: query.next }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        const secrets = items.map(({ name, revision, setAt, setBy, isLost }): SecretView => ({
          name,
          revision,
          set_at: formatInstant(setAt),
          set_by: setBy,
          state: isLost ? "lost" : "usable",
        }));
        return reply.json({ secrets, next }, read.value.index);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/secrets",
      right: "secrets:write",
      doc: "Keeps a secret, or a new value of one. It is encrypted before it is logged; tasks that name it are given it, and nobody else.",
      status: 201,
      body: z.strictObject({ name: secretName, value: z.string({ error: "must be text" }) }),
      answer: z.object({ name: z.string(), revision: z.int() }),
      async handle({ body, by }) {
        const outcome = await node.setSecret(body.name, body.value, by);
        if (!outcome.ok) return reply.refusal(outcome.why);
        const { name, revision, index } = outcome.value;
        return reply.json({ name, revision }, index, 201);
      },
    }),
  ];
}
