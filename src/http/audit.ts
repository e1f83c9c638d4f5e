import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { AuditView } from "../state/answers.ts";
import { listAudit } from "../state/queries.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit, since } from "./shapes.ts";

const auditAnswer = z.object({
  id: z.int(),
  index: z.int(),
  at: z.string(),
  by: z.object({ token: z.string(), name: z.string(), role: z.enum(["viewer", "operator", "admin", "node"]) }),
  node: z.int(),
  command: z.string(),
  what: z.string(),
  outcome: z.string(),
  times: z.int(),
});

/** Who asked for what. */
export function auditRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/audit",
      right: "audit:read",
      doc: "Changes that people and nodes asked for, newest first: since, by (a token's id or name, a node's name), what (a command, or its first word).",
      query: z.strictObject({
        since: since.optional(),
        by: z.string().max(limits.nameLength).optional(),
        what: z.string().max(limits.nameLength).optional(),
        limit: pageLimit,
        next,
        consistency,
      }),
      answer: z.object({ audit: z.array(auditAnswer), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const { consistency, limit, ...filter } = query;
        const read = await readState(parts, exchange, consistency, (tx) =>
          listAudit(tx, { ...filter, limit: limit ?? limits.listDefault }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        const audit = items.map(
          ({ seq, entry, at, token, name, role, origin, command, what, outcome, times }): AuditView => ({
            id: seq,
            index: entry,
            at: formatInstant(at),
            by: { token, name, role },
            node: origin,
            command,
            what,
            outcome,
            times,
          }),
        );
        return reply.json({ audit, next }, read.value.index);
      },
    }),
  ];
}
