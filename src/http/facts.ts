import { z } from "zod";
import { formatInstant } from "../lib/calendar.ts";
import { factsScript } from "../lib/facts.ts";
import { limits } from "../lib/limits.ts";
import { refuse } from "../lib/outcome.ts";
import type { FactsView } from "../state/answers.ts";
import { jobSubmit } from "../state/commands/job-submit.ts";
import { findJob } from "../state/queries.ts";
import { factsAfter, factsOfTarget, isGathering, type StoredFacts } from "../state/tables/fact.ts";
import { factChanges } from "./job-answers.ts";
import { check } from "./problems.ts";
import { type HttpParts, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";
import { aboutOne, ofOnly } from "./submit.ts";
import { proposeSubmit, withTargets } from "./targets.ts";

const factsAnswer = z.object({
  target: z.string(),
  at: z.string().describe("RFC 3339, UTC"),
  job: z.int().describe("That has asked it."),
  facts: z.record(z.string(), z.string()),
  changed: factChanges.describe("What was other the time before: what it was and what it is."),
});

const gatherBody = z.strictObject({
  driver: z.enum(["ssh", "ansible", "shell"], { error: `must be "ssh", "ansible" or "shell"` }).optional(),
  targets: z.unknown().optional(),
  ssh: z.unknown().optional(),
  on: z.unknown().optional(),
  timeout: z.unknown().optional(),
  each_node: z.literal(true, { error: "must be true" }).optional(),
});

/** What is known of targets: gathered by jobs, kept by the leader (node/facts-duty.ts). */
export function factsRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/facts",
      right: "read",
      doc: "What is known of targets, by name, and what was other the time before.",
      query: z.strictObject({ limit: pageLimit, next: next, consistency }),
      answer: z.object({ facts: z.array(factsAnswer), next: z.string().optional() }),
      async handle({ exchange, query }) {
        const rows = query.limit ?? limits.listDefault;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          factsAfter(tx, query.next ?? "", rows + 1),
        );
        if (!read.ok) return reply.refusal(read.why);
        const items = read.value.value.slice(0, rows).map(factsView);
        const more = read.value.value.length > rows ? items.at(-1)?.target : undefined;
        return reply.json({ facts: items, next: more }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/facts/:target",
      right: "read",
      doc: "What is known of one target.",
      query: z.strictObject({ consistency }),
      answer: factsAnswer,
      async handle({ exchange, query }) {
        const target = exchange.req.param("target") ?? "";
        const read = await readState(parts, exchange, query.consistency, (tx) => factsOfTarget(tx, target));
        if (!read.ok) return reply.refusal(read.why);
        const row = read.value.value;
        if (row === undefined)
          return reply.refusal(refuse("not-found", `nothing is known of ${target}: 'skein facts gather' asks it`).why);
        return reply.json(factsView(row), read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/facts/gather/:job",
      right: "read",
      doc: "Whether all that a job has gathered is kept: then it is known, and terms like os=debian find it.",
      query: z.strictObject({ consistency }),
      answer: z.object({ job: z.int(), kept: z.boolean() }),
      async handle({ exchange, query }) {
        const text = exchange.req.param("job") ?? "";
        const job = /^\d{1,15}$/.test(text) ? Number(text) : 0;
        const read = await readState(parts, exchange, query.consistency, (tx) => ({
          isThere: findJob(tx, job) !== undefined,
          kept: !isGathering(tx, job),
        }));
        if (!read.ok) return reply.refusal(read.why);
        const { isThere, kept } = read.value.value;
        if (!isThere && kept) return reply.refusal(refuse("not-found", `there is no job ${text}`).why);
        return reply.json({ job, kept }, read.value.index);
      },
    }),
    route(parts, {
      method: "POST",
      path: "/v1/facts/gather",
      right: "jobs:write",
      doc: "Submits a job that asks targets what they are, by driver ssh (or ansible, which needs no Python there), or each node of the mesh; what they say is kept when it has ended.",
      status: 201,
      body: gatherBody,
      answer: z.object({ id: z.int() }),
      async handle({ exchange, by, body }) {
        const { driver = body.each_node === true ? "shell" : "ssh", ...rest } = body;
        const spec = {
          name: "gather facts",
          timeout: "1m",
          ...rest,
          driver,
          ...(driver === "ansible" ? { ansible: { module: "raw", args: factsScript } } : { run: factsScript }),
          output: { tail: "4KiB" },
          labels: { facts: "gather" },
        };
        const checked = check(jobSubmit.input, { jobs: [spec], gathers: true }, "the request", (path) =>
          path[0] === "jobs" ? path.slice(2) : path,
        );
        if (!checked.ok) return reply.refusal(checked.why);
        const input = await withTargets(parts, exchange, checked.value, "the request", (path) =>
          path.replace(ofOnly, ""),
        );
        if (!input.ok) return reply.refusal(input.why);
        const outcome = await proposeSubmit(parts, input.value, by);
        if (!outcome.ok) return reply.refusal(aboutOne(outcome.why));
        return reply.json({ id: outcome.value.value.first }, outcome.value.index, 201);
      },
    }),
  ];
}

function factsView({ target, at, job, facts, changed }: StoredFacts): FactsView {
  return {
    target,
    at: formatInstant(at),
    job,
    facts: JSON.parse(facts) as FactsView["facts"],
    changed: JSON.parse(changed) as FactsView["changed"],
  };
}
