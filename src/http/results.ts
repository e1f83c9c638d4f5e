import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Problem, refuse } from "../lib/outcome.ts";
import { atOnce } from "../lib/turns.ts";
import { findJob } from "../state/queries.ts";
import { isResultsPlace, listResults, type ResultFilter } from "../state/results.ts";
import { readGroups } from "../state/groups.ts";
import { expandTargets, groupsOf } from "../state/targets.ts";
import { resultsAnswer } from "./job-answers.ts";
import { check, invalid } from "./problems.ts";
import { type HttpParts, readState, type Route } from "./route.ts";
import { askedState, consistency, pageLimit, since, whole } from "./shapes.ts";

const query = z.strictObject({
  target: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe("A name, or several as in a spec's targets; may be given several times."),
  job: whole(1, Number.MAX_SAFE_INTEGER).optional(),
  state: askedState.optional(),
  since: since.optional(),
  until: since.optional(),
  limit: pageLimit,
  next: z.string().refine(isResultsPlace, "is no mark that a list of results gave: begin without one").optional(),
  consistency,
});

/** GET /v1/results: what was run on a target, over all jobs. */
export function resultRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    {
      method: "GET",
      path: "/v1/results",
      right: "read",
      doc: "What was run on targets, over all jobs that are kept, newest first: by target (a name or a node set, repeatable), by job, by the time of submission.",
      status: 200,
      query,
      answer: resultsAnswer,
      async serve(exchange) {
        const target = exchange.req.queries("target");
        const asked = check(query, { ...exchange.req.query(), ...(target && { target }) }, "the query");
        if (!asked.ok) return reply.refusal(asked.why);
        const { consistency, limit, ...filter } = asked.value;
        const read = await readState(parts, exchange, consistency, (tx): Outcome<ReturnType<typeof listResults>> => {
          const found: ResultFilter = { ...filter, limit: limit ?? limits.listDefault };
          if (filter.job !== undefined && findJob(tx, filter.job) === undefined)
            return refuse("not-found", `there is no job ${filter.job}: finished ones are forgotten after their ttl`);
          if (target === undefined) return accept(listResults(tx, found));
          const groups = readGroups(tx, groupsOf(target));
          const names = atOnce(expandTargets(target, groups, limits.resultTargets));
          if (!names.ok) return invalid(inQuery(names.problems), "the query");
          return accept(listResults(tx, { ...found, targets: names.names }));
        });
        if (!read.ok) return reply.refusal(read.why);
        const { value: page, index } = read.value;
        if (!page.ok) return reply.refusal(page.why);
        return reply.json({ results: page.value.items, next: page.value.next }, index);
      },
    },
  ];
}

function inQuery(problems: readonly Problem[]): Problem[] {
  return problems.map(({ path, message }) => ({ path: `target${path}`, message }));
}
