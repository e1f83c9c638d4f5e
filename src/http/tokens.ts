import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { limits } from "../lib/limits.ts";
import type { NewTokenView, TokenView } from "../state/answers.ts";
import { nameShape } from "../state/commands/shapes.ts";
import { listTokens, type TokenRow, tokenState } from "../state/queries.ts";
import { type HttpParts, readJson, readState, type Route, route } from "./route.ts";
import { consistency, duration, flag, next, pageLimit } from "./shapes.ts";

const roles = ["viewer", "operator", "admin"] as const;

const tokenAnswer = z.object({
  id: z.string(),
  kind: z.enum(["api", "join"]),
  name: z.string(),
  role: z.enum(roles).optional(),
  state: z.enum(["active", "revoked", "expired", "used"]),
  expires_at: z.string().nullable(),
  uses: z.int().nullable(),
  node: z.int().nullable(),
});

/** API tokens, and the lists of all tokens; revoking is a command (state/commands/token-revoke.ts). */
export function tokenRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/tokens",
      right: "tokens:write",
      doc: "API and join tokens that can be used, by id; with all, those that were revoked, expired or used up as well. Never their secrets.",
      query: z.strictObject({
        kind: z.enum(["api", "join"], { error: "must be api or join" }).optional(),
        all: flag.optional(),
        limit: pageLimit,
        next,
        consistency,
      }),
      answer: z.object({ tokens: z.array(tokenAnswer), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const now = Date.now();
        const { kind, all, limit } = query;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          listTokens(tx, { kind, all: all ?? false, now, limit: limit ?? limits.listDefault, next: query.next }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        return reply.json({ tokens: items.map((row) => tokenView(row, now)), next }, read.value.index);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/tokens",
      right: "tokens:write",
      doc: "Makes an API token of a role. Its text is in this answer and nowhere else: the cluster keeps a hash.",
      status: 201,
      body: z.strictObject({
        name: nameShape,
        role: z.enum(roles, { error: "must be viewer, operator or admin" }),
        ttl: duration(limits.tokenTtlMaxMs, limits.tokenTtlMinMs).optional(),
      }),
      answer: z.object({
        id: z.string(),
        token: z.string(),
        name: z.string(),
        role: z.enum(roles),
        expires_at: z.string().nullable(),
      }),
      async handle({ body, by }) {
        const { name, role, ttl } = body;
        const outcome = await node.createToken({ name, role, ttlMs: ttl }, by);
        if (!outcome.ok) return reply.refusal(outcome.why);
        const { id, token, expiresAt } = outcome.value;
        const view: NewTokenView = { id, token, name, role, expires_at: instantOf(expiresAt) };
        return reply.json(view, undefined, 201);
      },
    }),
    {
      method: "POST",
      path: "/v1/tokens/recover",
      right: undefined,
      doc: "What `skein token create --recover` sends: a token for who can read a member's certificate.json, proven with the key in it.",
      status: 201,
      answer: z.object({ id: z.string() }),
      async serve(exchange) {
        const body = await readJson(exchange.req.raw, limits.joinBodyBytes);
        if (!body.ok) return reply.refusal(body.why);
        const outcome = await node.recoverToken(body.value);
        return outcome.ok ? reply.json(outcome.value, undefined, 201) : reply.refusal(outcome.why);
      },
    },
  ];
}

function tokenView(row: TokenRow, now: number): TokenView {
  const { id, kind, name, role, uses, node } = row;
  return {
    id,
    kind,
    name,
    ...(kind === "api" ? { role } : {}),
    state: tokenState(row, now),
    expires_at: instantOf(row.expiresAt),
    uses,
    node,
  };
}

function instantOf(epochMs: number | null): string | null {
  return epochMs === null ? null : formatInstant(epochMs);
}
