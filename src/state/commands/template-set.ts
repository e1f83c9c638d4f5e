import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { countTemplates, firstRevision, templateByName, writeTemplate } from "../tables/template.ts";
import { templateInput, templateName } from "./template-schema.ts";

interface TemplateSet {
  readonly name: string;
  readonly description: string | null;
  /** As JSON, as it was written. */
  readonly parameters: string;
  readonly spec: string;
}

const isJson = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
};
const json = z.string().max(limits.templateBytes).refine(isJson);

export const templateSet = command<TemplateSet>()({
  name: "template.set",
  tag: 53,
  since: 3,
  right: "jobs:write",
  doc: "Keeps a job spec with parameters under a name, or a new revision of it; the same again changes nothing.",
  input: templateInput,
  payload: z.strictObject({
    name: templateName,
    description: z.string().max(1000).nullable(),
    parameters: json,
    spec: json,
  }),
  route: { method: "POST", path: "/v1/templates", status: 201 },
  answer: z.object({ name: z.string(), revision: z.int() }),
  prepare: ({ name, description, parameters, spec }) => ({
    name,
    description: description ?? null,
    parameters: JSON.stringify(parameters ?? {}),
    spec: JSON.stringify(spec),
  }),
  apply(tx, { name, description, parameters, spec }, context) {
    const before = templateByName(tx, name);
    const isSame = before?.description === description && before.parameters === parameters && before.spec === spec;
    if (before !== undefined && isSame) return accept({ name, revision: before.revision });
    if (before === undefined && countTemplates(tx) >= limits.templates)
      return refuse("conflict", `there are ${limits.templates} templates already: remove some first`);
    const revision = before === undefined ? firstRevision(tx) : before.revision + 1;
    const [at, by] = [context.at, context.by.name];
    writeTemplate(tx, { name, revision, description, parameters, spec, set_at: at, set_by: by });
    return accept({ name, revision });
  },
  audit: ({ name }, outcome) => `template ${name}${outcome.ok ? `@${outcome.value.revision}` : ""}`,
});
