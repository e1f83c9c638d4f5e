import { z } from "zod";
import type { PlanView } from "../state/answers.ts";
import { wholeOf } from "./jobs.ts";
import { type HttpParts, type Route, route } from "./route.ts";
import { aboutOne, readJobs } from "./submit.ts";

const reason = z.object({ code: z.string(), message: z.string(), until: z.string().optional() });
const nodeReason = z.object({
  node: z.int(),
  name: z.string(),
  state: z.enum(["never", "away", "full", "free"]),
  reasons: z.array(z.string()),
});
const nodes = { nodes: z.array(nodeReason), nodes_more: z.int().optional() };

const explainAnswer = z.object({
  job: z.int(),
  name: z.string(),
  state: z.string(),
  queued: z.int(),
  running: z.int(),
  reasons: z.array(reason),
  waiting: z.array(
    z.object({ tasks: z.int(), first: z.int(), pinned: z.int().optional(), reasons: z.array(reason), ...nodes }),
  ),
  waiting_more: z.int().optional(),
  ahead: z.int().nullable(),
});

const planAnswer = z.object({
  refusal: z
    .object({
      code: z.string(),
      message: z.string(),
      details: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    })
    .nullable(),
  jobs: z.array(
    z.object({
      name: z.string(),
      driver: z.string(),
      tasks: z.int(),
      slots: z.int(),
      first: z.array(z.record(z.string(), z.unknown())),
      batches: z.object({ of: z.int(), sizes: z.array(z.int()) }).optional(),
      placement: z.array(z.object({ node: z.int(), name: z.string(), tasks: z.int() })),
      waits: z.int(),
      reasons: z.array(reason),
      ...nodes,
    }),
  ),
});

/** What the leader's planner says of jobs that wait, and of specs that nobody has submitted. */
export function explainRoutes(parts: HttpParts): readonly Route[] {
  const { node, reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/jobs/:id/explain",
      right: "read",
      doc: "Why a job waits: what holds it up, and how every node stands to its tasks, constraint by constraint.",
      answer: explainAnswer,
      async handle({ exchange }) {
        const id = wholeOf(exchange, "id", 1);
        if (!id.ok) return reply.refusal(id.why);
        const outcome = await node.explain(id.value);
        return outcome.ok ? reply.json(outcome.value.value, outcome.value.index) : reply.refusal(outcome.why);
      },
    }),
    {
      method: "POST",
      path: "/v1/plan",
      right: "jobs:write",
      doc: "What a spec, or many, would become if it were submitted now: tasks, placement, refusals. Nothing is stored. A spec that is none is refused as by a submit.",
      status: 200,
      answer: planAnswer,
      async serve(exchange, by) {
        const read = await readJobs(parts, exchange);
        if (!read.ok) return reply.refusal(read.why);
        const { shape, input } = read.value;
        const outcome = await node.plan(input, by);
        if (!outcome.ok) return reply.refusal(outcome.why);
        const { value, index } = outcome.value;
        return reply.json(shape === "one" ? ofOne(value) : value, index);
      },
    },
  ];
}

/** Who wrote one spec reads paths of that spec. */
function ofOne(plan: PlanView): PlanView {
  return plan.refusal === null ? plan : { ...plan, refusal: aboutOne(plan.refusal) };
}
