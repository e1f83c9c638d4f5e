import { Hono } from "hono";
import { limits } from "../lib/limits.ts";
import { type Refusal, refuse } from "../lib/outcome.ts";
import type { NodeApi } from "../node/api.ts";
import { may } from "../state/rights.ts";
import type { Principal } from "../state/types.ts";
import { authorityRoutes } from "./authority.ts";
import { auditRoutes } from "./audit.ts";
import { backupRoutes } from "./backup.ts";
import { bundleSourceRoutes } from "./bundle-sources.ts";
import { bundleWebhookRoutes } from "./bundle-webhook.ts";
import { bundleRoutes } from "./bundles.ts";
import { calendarRoutes } from "./calendars.ts";
import { clusterRoutes } from "./cluster.ts";
import { deadLetterRoutes } from "./dead-letters.ts";
import { base, notThere } from "./distribute.ts";
import { distributeRoutes } from "./distribute-routes.ts";
import { eventRoutes } from "./events.ts";
import { explainRoutes } from "./explain.ts";
import { factsRoutes } from "./facts.ts";
import { healthRoutes } from "./health.ts";
import { inventoryRoutes } from "./inventories.ts";
import { jobRoutes } from "./jobs.ts";
import { logRoutes } from "./logs.ts";
import { metricsRoutes } from "./metrics.ts";
import { nodeRoutes } from "./nodes.ts";
import { openApiRoutes } from "./openapi.ts";
import { recoveryRoutes } from "./recovery.ts";
import { Reply } from "./reply.ts";
import { resultRoutes } from "./results.ts";
import { retryRoutes } from "./retry.ts";
import {
  anyone,
  type DistributeSettings,
  type Environment,
  type Exchange,
  type HttpParts,
  isHead,
  type Route,
} from "./route.ts";
import { commandRoutes, forbidden } from "./routes.ts";
import { scheduleOwnerRoutes } from "./schedule-owners.ts";
import { scheduleRoutes } from "./schedules.ts";
import { secretRoutes } from "./secrets.ts";
import { submitterRoutes } from "./submitters.ts";
import { templateRoutes } from "./templates.ts";
import { tokenRoutes } from "./tokens.ts";
import { Watchers } from "./watchers.ts";

export interface AppOptions {
  /** Fires when the node stops serving: waits and streams end. */
  readonly closing?: AbortSignal;
  /** TLS shows a certificate of the user's own, which none of the cluster's authorities issued. */
  readonly hasOwnCertificate?: boolean;
  /** How long a reader of a backup may take nothing of it; default: limits.backupStallMs. */
  readonly backupStallMs?: number;
  /** Distribute's API is answered, too (http/distribute.ts). */
  readonly distribute?: DistributeSettings | undefined;
  /** Told of errors that no route expects; the client gets a 500. */
  readonly onBug?: (error: unknown) => void;
}

export type App = Hono<Environment>;

/**
 * The HTTP API of a node, step 3 of the walk: who asks, may they, then their route. Every route is in a list, from which the app, the
 * errors 404 and 405 and the documents are made.
 */
export function createApp(node: NodeApi, options: AppOptions = {}): App {
  const reply = new Reply(node);
  const watchers = new Watchers(options.closing ?? new AbortController().signal);
  const { hasOwnCertificate = false, backupStallMs = limits.backupStallMs, distribute } = options;
  const parts: HttpParts = { node, reply, watchers, hasOwnCertificate, backupStallMs, distribute };
  const routes = allRoutes(parts);
  const app = new Hono<Environment>();
  for (const route of routes) {
    const refuse = route.refusal ?? ((why: Refusal) => reply.refusal(why));
    const paths = route.refusal === undefined ? [route.path] : [route.path, `${route.path}/`];
    const answer = (exchange: Exchange): Response | Promise<Response> => {
      if (route.right === undefined) return route.serve(exchange, anyone);
      const by = bearer(node, exchange);
      if (by === undefined) return refuse(exchange.req.raw.headers.has("authorization") ? unknownToken : noToken);
      if (!may(by.role, route.right)) return refuse(forbidden(by, route.right));
      return route.serve(exchange, by);
    };
    app.on(route.method, paths, (exchange) => (isHead(exchange) ? headOf(answer(exchange)) : answer(exchange)));
  }
  app.notFound((exchange) => notFound(parts, routes, exchange));
  app.onError((error) => {
    options.onBug?.(error);
    return reply.refusal(refuse("bug", `this node failed at the request: ${error.message}`).why);
  });
  return app;
}

/**
 * hono runs the route of GET for HEAD and drops the body unread. A stream must hear that nobody will take it: what it holds (a
 * watcher's place, a copy of the state) is given back then (L1). The length is GET's, or is left out: without a word the runtime would say 0.
 */
async function headOf(answer: Response | Promise<Response>): Promise<Response> {
  const response = await answer;
  const headers = new Headers(response.headers);
  if (headers.get("content-type") === "application/json") {
    headers.set("content-length", String((await response.arrayBuffer()).byteLength));
  } else {
    await response.body?.cancel();
    headers.set("transfer-encoding", "chunked");
  }
  return new Response(null, { status: response.status, headers });
}

/** Every route of the API, in the order of registration. */
export function allRoutes(parts: HttpParts): readonly Route[] {
  const routes = [
    ...commandRoutes(parts),
    ...jobRoutes(parts),
    ...retryRoutes(parts),
    ...resultRoutes(parts),
    ...deadLetterRoutes(parts),
    ...templateRoutes(parts),
    ...calendarRoutes(parts),
    ...inventoryRoutes(parts),
    ...factsRoutes(parts),
    ...logRoutes(parts),
    ...nodeRoutes(parts),
    ...clusterRoutes(parts),
    ...authorityRoutes(parts),
    ...submitterRoutes(parts),
    ...scheduleRoutes(parts),
    ...scheduleOwnerRoutes(parts),
    ...tokenRoutes(parts),
    ...explainRoutes(parts),
    ...secretRoutes(parts),
    ...bundleRoutes(parts),
    ...bundleSourceRoutes(parts),
    ...bundleWebhookRoutes(parts),
    ...auditRoutes(parts),
    ...eventRoutes(parts),
    ...backupRoutes(parts),
    ...recoveryRoutes(parts),
    ...healthRoutes(parts),
    ...metricsRoutes(parts),
    ...(parts.distribute === undefined ? [] : distributeRoutes(parts, parts.distribute)),
  ];
  return [...routes, ...openApiRoutes(parts, routes)];
}

/** Who asks, by the bearer token; undefined when there is none, or none that is known. */
function bearer(node: NodeApi, exchange: Exchange): Principal | undefined {
  const header = exchange.req.raw.headers.get("authorization");
  if (header === null || header.length < 8 || header.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  return node.authenticate(header.slice(7).trim());
}

const howToGetOne =
  "`skein up` leaves one in context.json of its data directory; on the command line it is --token or SKEIN_TOKEN, over HTTP the header Authorization: Bearer TOKEN";
const noToken = refuse("unauthorized", `this needs a token: ${howToGetOne}`).why;
const unknownToken = refuse(
  "unauthorized",
  `the token is not known here: wrong, expired or revoked. Take a valid one: ${howToGetOne}`,
).why;

/** Not a path of ours: 404. One of ours with another method: 405 and which ones there are. Off the hot path. */
function notFound(parts: HttpParts, routes: readonly Route[], exchange: Exchange): Response {
  const { path, method } = exchange.req;
  const allowed = [...new Set(routes.filter((route) => isAt(route, path)).map((route) => route.method))];
  if (parts.distribute !== undefined && path.startsWith(`${base}/`)) return notThere(parts, path, method, allowed);
  const { reply } = parts;
  if (allowed.length === 0) {
    return reply.refusal(refuse("not-found", `there is no ${path}: see /v1/openapi.json for what there is`).why);
  }
  const allow = allowed.join(", ");
  return reply.refusal(refuse("not-found", `${path} does not know ${method}: use ${allow}`).why, {
    status: 405,
    headers: { allow },
  });
}

function isAt(route: Route, path: string): boolean {
  return matches(route.path, route.refusal === undefined ? path : path.replace(/\/$/, ""));
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return wanted.length === given.length && wanted.every((part, at) => part.startsWith(":") || part === given[at]);
}
