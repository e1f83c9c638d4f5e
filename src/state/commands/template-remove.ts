import { z } from "zod";
import { accept, refuse } from "../../lib/outcome.ts";
import { command } from "../command.ts";
import { removeTemplate, templateByName } from "../tables/template.ts";
import { templateName } from "./template-schema.ts";

interface TemplateRemoved {
  readonly template: string;
}

const shape = z.strictObject({ template: templateName });

export const templateRemove = command<TemplateRemoved>()({
  name: "template.remove",
  tag: 54,
  since: 3,
  right: "jobs:write",
  doc: "Forgets a template; jobs that were made of it stay what they are.",
  input: shape,
  payload: shape,
  route: { method: "DELETE", path: "/v1/templates/:template", status: 200 },
  answer: z.object({ name: z.string() }),
  prepare: (input) => input,
  audit: ({ template }) => `template ${template}`,
  apply(tx, { template }) {
    const row = templateByName(tx, template);
    if (row === undefined) return refuse("not-found", `there is no template ${template}`);
    removeTemplate(tx, row);
    return accept({ name: template });
  },
});
