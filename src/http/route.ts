import type { Context } from "hono";
import type { z } from "zod";
import { repeatedKey } from "../lib/json-keys.ts";
import { limits } from "../lib/limits.ts";
import type { Principal, Right } from "../state/types.ts";
import { accept, type Outcome, type Refusal, refuse } from "../lib/outcome.ts";
import { inTurns } from "../lib/turns.ts";
import type { NodeApi } from "../node/api.ts";
import type { ReadTx } from "../state/tx.ts";
import { parseJson, readText, refuseRepeated, repeated } from "./body.ts";
import { check } from "./problems.ts";
import type { Reply } from "./reply.ts";
import type { Watchers } from "./watchers.ts";

/** What the socket's side gives to a request; absent when a test calls the app without a socket. */
export interface Environment {
  Bindings: { readonly server?: { timeout(request: Request, seconds: number): void } };
}
export type Exchange = Context<Environment>;

/** Distribute's API: where its projects are (git@HOST:GROUP), and the secret whose key they are fetched with. */
export interface DistributeSettings {
  readonly git?: string | undefined;
  readonly gitKey?: string | undefined;
}

/** What routes are made from. */
export interface HttpParts {
  readonly node: NodeApi;
  readonly reply: Reply;
  readonly watchers: Watchers;
  /** TLS shows a certificate of the user's own. */
  readonly hasOwnCertificate?: boolean;
  /** Default: limits.backupStallMs. */
  readonly backupStallMs?: number;
  /** Distribute's API is answered (http/distribute.ts). */
  readonly distribute?: DistributeSettings | undefined;
}

/** One route as the app registers it and the documents describe it. */
export interface Route {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  /** hono's form: "/v1/jobs/:id". */
  readonly path: string;
  /** What the token must allow; undefined: no token is asked for. */
  readonly right: Right | undefined;
  /** One line for people. */
  readonly doc: string;
  readonly status: 200 | 201 | 202;
  readonly query?: z.ZodType | undefined;
  readonly body?: z.ZodType | undefined;
  /** Shape of the answer, for the documents. */
  readonly answer?: z.ZodType | undefined;
  /** Other than JSON. */
  readonly answers?: string | undefined;
  /** Whoever may not use it is answered so, where the route has answers of a form of its own; the path is then known with a slash at its end, too. */
  readonly refusal?: (why: Refusal) => Response;
  serve(exchange: Exchange, by: Principal): Response | Promise<Response>;
}

/** Who asks on routes without a token. */
export const anyone: Principal = { token: "", name: "anyone", role: "viewer" };

/**
 * Declares a route whose query string and body are checked before its handler runs. A body is JSON; an absent one counts as {}.
 */
export function route<Query extends z.ZodType = z.ZodUnknown, Body extends z.ZodType = z.ZodUnknown>(
  parts: HttpParts,
  definition: Omit<Route, "status" | "serve" | "query" | "body"> & {
    readonly status?: Route["status"];
    readonly query?: Query;
    readonly body?: Body;
    readonly handle: (input: {
      readonly exchange: Exchange;
      readonly by: Principal;
      readonly query: z.output<Query>;
      readonly body: z.output<Body>;
    }) => Response | Promise<Response>;
  },
): Route {
  const { handle, query: querySchema, body: bodySchema, ...rest } = definition;
  return {
    status: 200,
    ...rest,
    query: querySchema,
    body: bodySchema,
    async serve(exchange, by) {
      let query: unknown;
      let body: unknown;
      if (querySchema !== undefined) {
        const checked = check(querySchema, exchange.req.query(), "the query");
        if (!checked.ok) return parts.reply.refusal(checked.why);
        query = checked.value;
      }
      if (bodySchema !== undefined) {
        const read = await readJson(exchange.req.raw);
        if (!read.ok) return parts.reply.refusal(read.why);
        const checked = check(bodySchema, read.value, "the body");
        if (!checked.ok) return parts.reply.refusal(checked.why);
        body = checked.value;
      }
      return handle({ exchange, by, query: query as z.output<Query>, body: body as z.output<Body> });
    },
  };
}

/** The body as JSON; {} when there is none. */
export async function readJson(request: Request, maxBytes?: number): Promise<Outcome<unknown>> {
  const text = await readText(request, maxBytes);
  if (!text.ok) return text;
  if (text.value === "") return accept({});
  const parsed = parseJson(text.value);
  if (!parsed.ok) return parsed;
  if (text.value.length <= limits.atOnceBytes) return refuseRepeated(text.value, parsed.value) ?? parsed;
  const twice = await inTurns(repeatedKey(text.value));
  return twice === undefined ? parsed : repeated(twice);
}

/** Reads the state as the request wants it: ?consistency, and no older than Skein-Min-Index (R1). */
export function readState<Value>(
  parts: HttpParts,
  exchange: Exchange,
  consistency: "linearizable" | "stale",
  query: (tx: ReadTx) => Value,
): Promise<Outcome<{ readonly value: Value; readonly index: number }>> {
  const header = exchange.req.raw.headers.get("skein-min-index");
  if (header === null) return parts.node.read(query, { consistency });
  if (/^\d{1,15}$/.test(header)) return parts.node.read(query, { consistency, minIndex: Number(header) });
  return Promise.resolve(
    refuse("invalid", "Skein-Min-Index must be the Skein-Index of an earlier answer, a whole number"),
  );
}

/** Only the head of the answer is wanted; the route is the one of GET. */
export function isHead(exchange: Exchange): boolean {
  return exchange.req.raw.method === "HEAD";
}

/** This request may stay silent for long: no idle timeout of its socket. */
export function mayStaySilent(exchange: Exchange): void {
  exchange.env?.server?.timeout(exchange.req.raw, 0);
}
