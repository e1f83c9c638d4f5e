import { z } from "zod";
import { listSubmitters } from "../state/queries.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency } from "./shapes.ts";

/** Who has a share of their own. Setting one is a command (state/commands/submitter-set.ts). */
export function submitterRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/submitters",
      right: "read",
      doc: "Who has a share of their own, by the name under which they submit; * is everybody else.",
      query: z.strictObject({ consistency }),
      answer: z.object({ submitters: z.array(z.object({ name: z.string(), weight: z.int() })) }),
      async handle({ exchange, query }) {
        const read = await readState(parts, exchange, query.consistency, listSubmitters);
        if (!read.ok) return reply.refusal(read.why);
        return reply.json({ submitters: read.value.value }, read.value.index);
      },
    }),
  ];
}
