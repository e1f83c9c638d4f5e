import { createHash } from "node:crypto";
import { z } from "zod";
import { limits } from "../lib/limits.ts";
import { accept, type Outcome, type Refusal, refuse } from "../lib/outcome.ts";
import { jobSubmit } from "../state/commands/job-submit.ts";
import { findTemplate, jobsUnderKey, listTemplates } from "../state/queries.ts";
import { bind, render } from "../state/template.ts";
import type { TemplateView } from "../state/answers.ts";
import { templateAnswer, templatesAnswer } from "./job-answers.ts";
import { check, invalid } from "./problems.ts";
import { keyOf } from "./retry.ts";
import { type HttpParts, readJson, readState, type Route, route } from "./route.ts";
import { consistency, next, pageLimit } from "./shapes.ts";
import { aboutOne, ofOnly } from "./submit.ts";
import { proposeSubmit, withTargets } from "./targets.ts";

const runBody = z.strictObject({
  params: z.record(z.string(), z.unknown(), { error: "must be a map of names to values" }).optional(),
  revision: z.int({ error: "must be a whole number" }).positive().optional(),
});

/** Job specs with parameters; keeping and forgetting them are commands (state/commands/template-set.ts). */
export function templateRoutes(parts: HttpParts): readonly Route[] {
  const { reply } = parts;
  return [
    route(parts, {
      method: "GET",
      path: "/v1/templates",
      right: "read",
      doc: "Templates by name, without their specs.",
      answer: templatesAnswer,
      query: z.strictObject({ limit: pageLimit, next, consistency }),
      async handle({ exchange, query }) {
        const { limit, next: after } = query;
        const read = await readState(parts, exchange, query.consistency, (tx) =>
          listTemplates(tx, { limit: limit ?? limits.listDefault, next: after }),
        );
        if (!read.ok) return reply.refusal(read.why);
        const { items, next } = read.value.value;
        const templates = items.map((template) => ({ ...template, spec: undefined }));
        return reply.json({ templates, next }, read.value.index);
      },
    }),
    route(parts, {
      method: "GET",
      path: "/v1/templates/:template",
      right: "read",
      doc: "One template.",
      answer: templateAnswer,
      query: z.strictObject({ consistency }),
      async handle({ exchange, query }) {
        const name = exchange.req.param("template") ?? "";
        const read = await readState(parts, exchange, query.consistency, (tx) => findTemplate(tx, name));
        if (!read.ok) return reply.refusal(read.why);
        const template = read.value.value;
        return template === undefined ? reply.refusal(noTemplate(name)) : reply.json(template, read.value.index);
      },
    }),
    {
      method: "POST",
      path: "/v1/templates/:template/run",
      right: "jobs:write",
      doc: "Submits a job of the template's spec, with these values of its parameters (params; text does for any type).",
      status: 201,
      body: runBody,
      answer: z.object({ id: z.int(), template: z.string() }),
      async serve(exchange, by) {
        const name = exchange.req.param("template") ?? "";
        const body = await readJson(exchange.req.raw);
        if (!body.ok) return reply.refusal(body.why);
        const asked = check(runBody, body.value, "the body");
        if (!asked.ok) return reply.refusal(asked.why);
        const key = keyOf(exchange);
        if (!key.ok) return reply.refusal(key.why);
        const { params = {}, revision } = asked.value;
        const digest = createHash("sha256")
          .update(JSON.stringify(["template", name, params, revision ?? null]))
          .digest("base64url");
        const read = await readState(parts, exchange, "linearizable", (tx) => ({
          template: findTemplate(tx, name),
          earlier: key.value === null ? undefined : jobsUnderKey(tx, by.token, key.value),
        }));
        if (!read.ok) return reply.refusal(read.why);
        const { template, earlier } = read.value.value;
        // Whatever became of the template meanwhile.
        if (earlier?.digest === digest)
          return reply.json({ id: earlier.first, template: earlier.template ?? name }, read.value.index);
        if (template === undefined) return reply.refusal(noTemplate(name));
        const made = submission(template, params, revision, { key: key.value, digest });
        if (!made.ok) return reply.refusal(made.why);
        const pathOf = (path: string): string => `spec.${path.replace(ofOnly, "")}`;
        const input = await withTargets(parts, exchange, made.value, whatOf(template), pathOf);
        if (!input.ok) return reply.refusal(input.why);
        const outcome = await proposeSubmit(parts, input.value, by);
        if (!outcome.ok) return reply.refusal(inSpec(aboutOne(outcome.why)));
        const { value, index } = outcome.value;
        const answer = { id: value.first, template: `${template.name}@${template.revision}` };
        return reply.json(answer, index, value.repeated ? 200 : 201);
      },
    },
  ];
}

function noTemplate(name: string) {
  return refuse("not-found", `there is no template ${name}: list templates to see them`).why;
}

/** The submit that running it with these values is; every problem of the values, or of the spec that they make. */
function submission(
  template: TemplateView,
  params: Readonly<Record<string, unknown>>,
  revision: number | undefined,
  { key, digest }: { readonly key: string | null; readonly digest: string },
): Outcome<z.output<typeof jobSubmit.input>> {
  const name = `${template.name}@${template.revision}`;
  if (revision !== undefined && revision !== template.revision)
    return refuse("conflict", `the template is ${name} by now, and revision ${revision} was asked for`);
  const { values, problems } = bind(template.parameters, params);
  if (problems.length > 0) return invalid(problems, `the run of ${name}`);
  const spec = render(template.spec, values);
  if (spec === undefined)
    return refuse("too-large", `what ${name} makes of these values is longer than any spec may be`);
  const input = { jobs: [spec], digest, template: name, ...(key === null ? {} : { key }) };
  const checked = check(jobSubmit.input, input, whatOf(template), (path) =>
    path[0] === "jobs" ? ["spec", ...path.slice(2)] : path,
  );
  return checked.ok ? accept(checked.value) : checked;
}

function whatOf({ name, revision }: TemplateView): string {
  return `what ${name}@${revision} makes of these values`;
}

function inSpec(why: Refusal): Refusal {
  return { ...why, details: why.details?.map((one) => ({ ...one, path: `spec.${one.path}` })) };
}
