import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { bundleSources } from "../state/bundle-source-views.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";

const source = z.object({
  name: z.string(),
  url: z.string(),
  ref: z.string().nullable(),
  subdir: z.string().nullable(),
  key: z.string().nullable(),
  webhook: z.string().nullable(),
  copies: z.int(),
  timeout: z.string(),
  every: z.string().nullable(),
  set_at: z.string(),
  set_by: z.string(),
  commit: z.string().nullable(),
  version: z.int().nullable(),
  next_at: z.string().nullable(),
  asked_by: z.string().nullable(),
  last_at: z.string().nullable(),
  last_by: z.string().nullable(),
  good_at: z.string().nullable(),
  failing: z.object({ since: z.string(), times: z.int(), reason: z.string() }).optional(),
});

/** What bundles are pinned from by themselves. Setting, removing and asking for a look are commands (state/commands/bundle-source-set.ts). */
export function bundleSourceRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/bundle-sources",
      right: "read",
      doc: "Repositories that bundles are pinned from by themselves, by the bundle's name: what was seen there last, and since when and why one cannot be had.",
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      answer: z.object({ sources: z.array(source), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const limit = query.limit ?? limits.listDefault;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          bundleSources(tx, query.next ?? "", limit + 1),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { value, index } = read.value;
        const sources = value.slice(0, limit);
        return reply.json({ sources, next: value.length > limit ? sources.at(-1)?.name : undefined }, index);
      },
    }),
  ];
}
