import { limits } from "../lib/limits.ts";
import { type Filling, fillIn, isOfTask } from "../lib/placeholders.ts";
import type { Problem } from "../lib/outcome.ts";

/**
 * Job specs with parameters. A template's spec is a spec as people write it, in whose texts `{{name}}` stands for a parameter; running it fills them in and
 * submits what comes out. Pure, and it knows nothing of specs: whatever can be written in one can be a template's.
 *
 *   A text that is one placeholder and nothing else becomes the parameter's value, with its type: `count: "{{n}}"` is a number. In a list a parameter that is a
 *   list puts its items there. One without a value leaves the key, or the item, out.
 *   Within a longer text values are written as text, lists with commas, and one without a value is empty.
 *   `\{{name}}` is the text {{name}}. What is no name, as {{.Names}}, is left as it is, and so is what each task fills in: {{SKEIN_INDEX}} (http-schema.ts).
 */
export type ParameterType = "text" | "number" | "boolean" | "list";
type Single = string | number | boolean;
export type ParameterValue = Filling;

export interface Parameter {
  readonly type?: ParameterType | undefined;
  readonly description?: string | undefined;
  readonly default?: ParameterValue | undefined;
  /** A parameter without a default is required unless this says otherwise. */
  readonly required?: boolean | undefined;
  /** The only ones allowed; of a list, each item's. */
  readonly values?: readonly Single[] | undefined;
}
export type Parameters = Readonly<Record<string, Parameter>>;

/** A value as a parameter takes it, text for any type too; or what is wrong with it. */
export function readValue(parameter: Parameter, given: unknown): { readonly value: ParameterValue } | string {
  const read = readType(parameter.type ?? "text", given);
  if (typeof read === "string") return read;
  const { values } = parameter;
  const items = Array.isArray(read.value) ? (read.value as readonly Single[]) : [read.value as Single];
  const allowed = values?.map(String);
  const other = allowed === undefined ? undefined : items.find((item) => !allowed.includes(String(item)));
  return other === undefined ? read : `${JSON.stringify(other)} is none of ${allowed!.join(", ")}`;
}

function isSingle(value: unknown): value is Single {
  return (
    typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))
  );
}

const rounded = "is too large to be kept as a number: write it in quotes";

/** It would be another one than was written (commands/shapes.ts). */
function isRounded(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
}

function readType(type: ParameterType, given: unknown): { readonly value: ParameterValue } | string {
  if (isRounded(given) || (Array.isArray(given) && given.some(isRounded))) return rounded;
  switch (type) {
    case "text":
      return isSingle(given) ? { value: String(given) } : "must be text";
    case "number": {
      const isNumeric = typeof given === "string" && /^-?\d+(\.\d+)?$/.test(given.trim());
      const value = isNumeric ? Number(given) : given;
      if (isRounded(value)) return "is too large to be kept as a number: let the parameter be text";
      return typeof value === "number" && Number.isFinite(value) ? { value } : "must be a number";
    }
    case "boolean": {
      const value = given === "true" ? true : given === "false" ? false : given;
      return typeof value === "boolean" ? { value } : "must be true or false";
    }
    case "list": {
      const items: unknown =
        typeof given === "string" ? (given.trim() === "" ? [] : given.split(",").map((item) => item.trim())) : given;
      return Array.isArray(items) && items.every(isSingle) ? { value: items } : "must be a list, or text with commas";
    }
    default:
      return "is of no type that there is";
  }
}

/** Whether a value must be given. */
export function isRequired(parameter: Parameter): boolean {
  return parameter.required ?? parameter.default === undefined;
}

/** The values of all parameters: those that were given, else defaults; every problem with its path ("params.NAME"). */
export function bind(
  parameters: Parameters,
  given: Readonly<Record<string, unknown>>,
): { readonly values: ReadonlyMap<string, ParameterValue>; readonly problems: readonly Problem[] } {
  const values = new Map<string, ParameterValue>();
  const problems: Problem[] = [];
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(parameters, name))
      problems.push({ path: `params.${name}`, message: "the template has no such parameter" });
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    const raw = Object.hasOwn(given, name) && given[name] !== null ? given[name] : parameter.default;
    if (raw === undefined) {
      const what = parameter.description === undefined ? "" : `: ${parameter.description}`;
      if (isRequired(parameter)) problems.push({ path: `params.${name}`, message: `is required${what}` });
      continue;
    }
    const read = readValue(parameter, raw);
    if (typeof read === "string") problems.push({ path: `params.${name}`, message: read });
    else values.set(name, read.value);
  }
  return { values, problems };
}

/** The spec with values in the place of its parameters; undefined: it would be longer than any request. What a task fills in is left as it is. */
export function render(spec: unknown, values: ReadonlyMap<string, ParameterValue>): unknown {
  return fillIn(spec, values, { most: limits.bodyBytes, isLeft: isOfTask });
}

/** Values that fit the types, to see what a template would make: defaults and allowed ones where there are any. */
export function sampleValues(parameters: Parameters): ReadonlyMap<string, ParameterValue> {
  const samples = { text: "x", number: 1, boolean: true, list: ["x"] } as const;
  return new Map(
    Object.entries(parameters).map(([name, { type = "text", default: usual, values }]) => {
      const allowed = values?.[0];
      const first = allowed === undefined ? samples[type] : type === "list" ? [allowed] : allowed;
      return [name, usual ?? first];
    }),
  );
}
