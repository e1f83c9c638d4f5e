import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import type { PushTold } from "../node/api.ts";
import { parseJson, readBytes } from "./body.ts";
import type { Exchange, HttpParts, Route } from "./route.ts";

/** One answer for whatever is wrong, so that nobody learns by it which bundles there are. */
const notTheirs = refuse(
  "unauthorized",
  "the push is not told of with the secret of this bundle's webhook, or the bundle has none",
).why;

const tooManyAtOnce = refuse("busy", `${limits.webhooksAtOnce} pushes are told of at once: repeat`, {
  retryAfterMs: 1000,
  limit: "room",
}).why;

/** Where GitHub and GitLab tell of pushes to the repositories that bundles are pinned from. What shows that they may is checked by the node (node/bundle-webhook.ts). */
export function bundleWebhookRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  let reading = 0;
  return [
    {
      method: "POST",
      path: "/v1/bundles/:bundle/webhook",
      right: undefined,
      doc: "A push to the repository that a bundle is pinned from, as GitHub (X-Hub-Signature-256) or GitLab (X-Gitlab-Token) tells of it: no token, but the secret of its webhook. 202: it is looked at; 200: it is of no concern.",
      status: 202,
      answer: z.object({ name: z.string(), result: z.enum(["fetching", "ignored"]), why: z.string().optional() }),
      async serve(exchange) {
        const name = exchange.req.param("bundle") ?? "";
        const proof = proofIn(exchange);
        if (proof === undefined) return reply.refusal(notTheirs);
        if (reading >= limits.webhooksAtOnce) return reply.refusal(tooManyAtOnce);
        reading += 1;
        try {
          // Before it is known whether there is such a bundle: what is too large is so for all of them.
          const body = await readBytes(exchange.req.raw, limits.webhookBytes, limits.webhookReadMs);
          if (!body.ok) return reply.refusal(body.why);
          const told = await node.bundles.told({ name, ...proof, message: body.value });
          if (!told.ok) return reply.refusal(told.why);
          if (told.value === undefined) {
            // It keeps its place meanwhile: so a secret cannot be found out by trying many.
            await Bun.sleep(limits.webhookWrongMs);
            return reply.refusal(notTheirs);
          }
          const push = pushIn(exchange, body.value);
          if (!push.ok) return reply.refusal(push.why);
          const why = typeof push.value === "string" ? push.value : whyNot(push.value, told.value.ref);
          if (why !== undefined) return reply.json({ name, result: "ignored", why });
          const asked = await node.bundles.fetchSoon(name);
          if (!asked.ok) return reply.refusal(asked.why);
          return reply.json({ name, result: "fetching" }, undefined, 202);
        } finally {
          reading -= 1;
        }
      },
    },
  ];
}

/** What shows who tells of it; undefined: nothing does. */
function proofIn({ req }: Exchange): Pick<PushTold, "service" | "proof"> | undefined {
  const { headers } = req.raw;
  const [signature, token] = [headers.get("x-hub-signature-256"), headers.get("x-gitlab-token")];
  if (signature !== null && signature !== "") return { service: "github", proof: signature };
  return token === null || token === "" ? undefined : { service: "gitlab", proof: token };
}

interface Push {
  /** refs/heads/main, refs/tags/v1. */
  readonly ref: string;
  /** What the repository has as its own branch; undefined: it does not say. */
  readonly own: string | undefined;
}

/** Text: it is no push, but that. */
function pushIn(exchange: Exchange, body: Uint8Array): Outcome<Push | string> {
  const { headers } = exchange.req.raw;
  const text = new TextDecoder().decode(body);
  // GitHub's other form: a field of a form.
  const isForm = headers.get("content-type")?.startsWith("application/x-www-form-urlencoded") === true;
  const parsed = parseJson((isForm ? new URLSearchParams(text).get("payload") : null) ?? text);
  if (!parsed.ok) return parsed;
  const message = recordOf(parsed.value);
  const kind = headers.get("x-github-event") ?? message["object_kind"];
  if (kind !== "push" && kind !== "tag_push")
    return accept(`it is no push${typeof kind === "string" ? `, but ${kind.slice(0, 100)}` : ""}`);
  const { ref } = message;
  if (typeof ref !== "string") return accept("it does not say what was pushed to");
  const own = recordOf(message["repository"])["default_branch"] ?? recordOf(message["project"])["default_branch"];
  return accept({ ref, own: typeof own === "string" ? own : undefined });
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

/** Why a push is of no concern to a bundle of that ref ("": the repository's own branch); undefined: it is. */
function whyNot({ ref, own }: Push, wanted: string): string | undefined {
  const name = wanted === "" || wanted === "HEAD" ? own : wanted;
  // Which one that is only the repository knows.
  if (name === undefined) return undefined;
  const places = [name, `refs/${name}`, `refs/tags/${name}`, `refs/heads/${name}`];
  return places.includes(ref) ? undefined : `it is to ${ref.slice(0, 200)}, and the bundle is of ${name}`;
}
