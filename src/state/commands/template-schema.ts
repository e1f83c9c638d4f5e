import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { isOfTask, placesIn } from "../../lib/placeholders.ts";
import { type Parameter, readValue, render, sampleValues } from "../template.ts";
import { pathOf, problemsOf } from "./problems.ts";
import { asWrittenForm, isAsWritten } from "./shapes.ts";
import { specSchema } from "./spec-schema.ts";

/** Reads a template as people write it. What can be found out before it is run is found out here: every problem, each with its path. */

export const templateName = z
  .string()
  .max(limits.nameLength, `must not be longer than ${limits.nameLength} characters`)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, "must begin with a letter or digit, and hold only these and -_.");

const single = z.union([z.string(), z.number().refine(isAsWritten), z.boolean()], {
  error: ({ input }) => (typeof input === "number" ? asWrittenForm : "must be text, a number, true or false"),
});

const parameterShape = z.strictObject({
  type: z.enum(["text", "number", "boolean", "list"], { error: "must be text, number, boolean or list" }).optional(),
  description: z.string().max(1000, "must not be longer than 1000 characters").optional(),
  default: z.union([single, z.array(single)], { error: "must be text, a number, true, false, or a list" }).optional(),
  required: z.boolean({ error: "must be true or false" }).optional(),
  values: z.array(single).min(1, "must not be empty").max(1000, "at most 1000 values").optional(),
});

/** What a template is, without what its parts say of each other. */
export const templateFields = z.strictObject({
  name: templateName,
  description: z.string().max(1000, "must not be longer than 1000 characters").optional(),
  parameters: z.record(z.string(), parameterShape, { error: "must be a map of names to what they are" }).optional(),
  spec: z.record(z.string(), z.unknown(), { error: "must be a job spec: names and values" }),
});

const parameterName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Also where single fields are wrong already, so that all problems are told together. */
export const templateInput = templateFields.superRefine(
  (template, context) => {
    const refuse = (path: readonly PropertyKey[], message: string): void =>
      context.addIssue({ code: "custom", path: [...path], message });
    const { spec } = template as { readonly spec: unknown };
    const declared = isMap(template.parameters) ? template.parameters : {};
    const names = Object.keys(declared);
    if (names.length > limits.templateParameters)
      refuse(["parameters"], `at most ${limits.templateParameters} parameters`);
    let areFine = true;
    for (const [name, raw] of Object.entries(declared)) {
      const parameter = parameterShape.safeParse(raw);
      areFine &&= parameter.success;
      checkParameter(name, parameter.data, refuse);
    }
    if (!isMap(spec)) return;
    if (JSON.stringify([declared, spec]).length > limits.templateBytes)
      return refuse([], `must not be longer than ${limits.templateBytes} characters`);
    if ("idempotency_key" in spec)
      refuse(["spec", "idempotency_key"], "is of a request: give it when the template is run");
    const places = [...placesIn(spec)];
    for (const { path, name, isKey } of places) {
      if (isOfTask(name)) {
        if (path[0] !== "http") refuse(["spec", ...path], `{{${name}}} is filled in by driver http alone`);
      } else if (isKey) refuse(["spec", ...path], "stands in a key: parameters are for values");
      else if (!Object.hasOwn(declared, name)) refuse(["spec", ...path], `{{${name}}} is not among the parameters`);
    }
    if (!areFine) return;
    const filled = places.filter(({ name }) => !isOfTask(name)).map(({ path }) => pathOf(path));
    const parsed = specSchema.safeParse(render(spec, sampleValues(declared)));
    for (const { path, message } of parsed.success ? [] : problemsOf(parsed.error)) {
      // What a parameter has to do with is judged when there is a value.
      if (!filled.some((one) => isWithin(path, one) || isWithin(one, path)))
        refuse([`spec${path === "" ? "" : "."}${path}`], message);
    }
  },
  { when: ({ value }) => isMap(value) },
);

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isWithin(path: string, outer: string): boolean {
  return path === outer || outer === "" || path.startsWith(`${outer}.`) || path.startsWith(`${outer}[`);
}

type Refuse = (path: readonly PropertyKey[], message: string) => void;

function checkParameter(name: string, parameter: Parameter | undefined, refuse: Refuse): void {
  const path = ["parameters", name];
  if (name === "__proto__" || !parameterName.test(name))
    refuse(path, "not a parameter's name: letters, digits and _ only");
  else if (isOfTask(name)) refuse(path, "names that begin with SKEIN_ are taken");
  if (parameter === undefined) return;
  const { default: usual, required, type, values } = parameter;
  for (const [at, value] of (values ?? []).entries()) {
    const read = readValue({ type: type === "list" ? "text" : type }, value);
    if (typeof read === "string") refuse([...path, "values", at], read);
  }
  if (usual === undefined) return;
  if (required === true)
    refuse([...path, "required"], "goes not with a default, which stands in where nothing is given");
  const read = readValue(parameter, usual);
  if (typeof read === "string") refuse([...path, "default"], read);
}
