import { z } from "zod";
import { listSubmitters } from "../state/queries.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency } from "./shapes.ts";

const submitter = z.object({
  name: z.string(),
  weight: z.int(),
  jobs_max: z.int().nullable(),
  jobs: z.int().nullable(),
});

/** Who has a share of their own. Setting one is a command (state/commands/submitter-set.ts). */
export function submitterRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/submitters",
      right: "read",
      doc: "Who has a share or a limit of their own, by the name under which they submit, and who has most unfinished jobs; * is everybody else.",
      query: z.strictObject({ consistency }),
      answer: z.object({ submitters: z.array(submitter) }),
      async handle({ exchange, query }) {
        const read = await readState(parts, exchange, query.consistency, listSubmitters);
        if (!read.ok) return reply.refusal(read.why);
        return reply.json({ submitters: read.value.value }, read.value.index);
      },
    }),
  ];
}
