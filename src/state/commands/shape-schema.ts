import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { formatRanges, parseRanges } from "../../lib/ranges.ts";
import { asWrittenForm, isAsWritten } from "./shapes.ts";
import { combinationsOf } from "../matrix.ts";
import { tasksIn } from "../shape.ts";
import type { Matrix, MatrixPoint, MatrixValue, Spec } from "../types.ts";

/** Reads `array` and `matrix` as people write them. What would be too many points is refused before one of them is made. */

const arrayForm = `must be text like "0-99:2" or "1,3,5-8"`;

/** Ranges of indices -> the same in ascending order. */
export const arrayField: z.ZodType<string, string> = z
  .string({
    error: (issue) =>
      typeof issue.input === "number"
        ? `${arrayForm}; for tasks 0 to ${issue.input - 1} write count: ${issue.input}`
        : arrayForm,
  })
  .max(limits.arrayTextLength, `must not be longer than ${limits.arrayTextLength} characters`)
  .transform((text, context) => {
    const list = parseRanges(text);
    const problem =
      typeof list !== "string"
        ? list.count > limits.arrayTasks && `lists ${list.count} tasks: at most ${limits.arrayTasks}`
        : text.includes("%")
          ? "knows no %: write how many run at once as parallel"
          : list;
    if (typeof list !== "string" && problem === false) return formatRanges(list.ranges);
    context.addIssue({ code: "custom", message: String(problem) });
    return z.NEVER;
  });

/** For documents of the API alone: {@link readMatrix} checks all of it at once. */
const valueJson = { type: ["string", "number", "boolean"] };
const rulesJson = {
  type: "array",
  maxItems: limits.matrixRules,
  items: { type: "object", additionalProperties: valueJson },
};
export const matrixField = z.unknown().meta({
  type: "object",
  description: "The first key is the slowest; exclude and include as in GitHub Actions.",
  properties: { exclude: rulesJson, include: rulesJson },
  additionalProperties: { type: "array", items: valueJson, minItems: 1 },
});
export const rulesField = z.unknown().meta(rulesJson);

type Refuse = (path: readonly PropertyKey[], message: string) => void;

/**
 * The matrix of a spec as it was written, with `exclude` and `include` in it or beside it; undefined: there is none, or it is refused. Tells every
 * problem.
 */
export function readMatrix(raw: Readonly<Record<string, unknown>>, refuse: Refuse): Matrix | undefined {
  let isFine = true;
  const wrong: Refuse = (path, message) => {
    isFine = false;
    refuse(path, message);
  };
  const { matrix } = raw;
  if (matrix === undefined) {
    for (const key of ruleKeys) if (raw[key] !== undefined) wrong([key], "is for a matrix only");
    return undefined;
  }
  if (!isMap(matrix)) {
    wrong(["matrix"], `must be a map of names to lists, like {mode: [a, b], threads: [1, 8]}`);
    return undefined;
  }
  const keys: Record<string, readonly MatrixValue[]> = {};
  for (const [key, values] of Object.entries(matrix)) {
    if (key === "exclude" || key === "include") continue;
    checkName(key, ["matrix", key], wrong);
    checkValues(values, ["matrix", key], wrong);
    keys[key] = values as readonly MatrixValue[];
  }
  const rules = (name: "exclude" | "include"): readonly MatrixPoint[] | undefined => {
    const [inside, beside] = [matrix[name], raw[name]];
    if (inside !== undefined && beside !== undefined)
      wrong([name], `is in the matrix already: write it once, as matrix.${name} or as ${name}`);
    const path = inside === undefined ? [name] : ["matrix", name];
    const entries = inside ?? beside;
    return entries === undefined ? undefined : readRules(name, entries, path, keys, wrong);
  };
  const exclude = rules("exclude");
  const include = rules("include");
  if (Object.keys(keys).length > limits.matrixKeys) wrong(["matrix"], `must have at most ${limits.matrixKeys} keys`);
  if (Object.keys(keys).length === 0 && include === undefined)
    wrong(["matrix"], "is empty: give it a key with a list of values");
  if (!isFine) return undefined;
  const read: Matrix = {
    keys,
    ...(exclude === undefined ? {} : { exclude }),
    ...(include === undefined ? {} : { include }),
  };
  const problem = sizeProblem(read);
  if (problem === undefined) return read;
  refuse(["matrix"], problem);
  return undefined;
}

const ruleKeys = ["exclude", "include"] as const;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isValue(value: unknown): value is MatrixValue {
  return (
    typeof value === "string" || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))
  );
}

/** It becomes a variable of the task's environment. */
function checkName(name: string, path: readonly PropertyKey[], refuse: Refuse): void {
  if (name === "__proto__" || !variableName.test(name))
    refuse(path, "not a variable's name: letters, digits and _ only");
  else if (name.toUpperCase().startsWith("SKEIN_")) refuse(path, "names that begin with SKEIN_ are taken");
}

function checkValue(value: unknown, path: readonly PropertyKey[], refuse: Refuse): void {
  if (!isValue(value)) refuse(path, "must be text, a number, true or false");
  else if (typeof value === "number" && !isAsWritten(value)) refuse(path, asWrittenForm);
  else if (typeof value === "string" && value.includes("\0")) refuse(path, "must not contain a NUL character");
}

function checkValues(values: unknown, path: readonly PropertyKey[], refuse: Refuse): void {
  if (!Array.isArray(values) || values.length === 0) return refuse(path, "must be a list of at least one value");
  const seen = new Set<string>();
  for (const [at, value] of values.entries()) {
    checkValue(value, [...path, at], refuse);
    const text = String(value);
    if (isValue(value) && seen.has(text)) refuse([...path, at], `${text} is listed twice`);
    seen.add(text);
  }
}

function readRules(
  name: "exclude" | "include",
  entries: unknown,
  path: readonly PropertyKey[],
  keys: Matrix["keys"],
  refuse: Refuse,
): readonly MatrixPoint[] | undefined {
  if (!Array.isArray(entries)) {
    refuse(path, `must be a list of maps, like [{mode: a, threads: 8}]`);
    return undefined;
  }
  if (entries.length > limits.matrixRules) refuse(path, `at most ${limits.matrixRules} entries`);
  for (const [at, entry] of entries.slice(0, limits.matrixRules).entries()) {
    if (!isMap(entry) || Object.keys(entry).length === 0) {
      refuse([...path, at], "must be a map of names to values, like {mode: a, threads: 8}");
      continue;
    }
    for (const [key, value] of Object.entries(entry)) {
      const here = [...path, at, key];
      if (name === "exclude" && !Object.hasOwn(keys, key)) refuse(here, "no such key in the matrix");
      else if (name === "include") checkName(key, here, refuse);
      checkValue(value, here, refuse);
    }
  }
  // An empty list says nothing, as if it was not there.
  return entries.length === 0 ? undefined : (entries as readonly MatrixPoint[]);
}

/** Decided from the sizes alone: a matrix of 10^9 points costs no more than one of ten. */
function sizeProblem(matrix: Matrix): string | undefined {
  const combinations = combinationsOf(matrix.keys);
  if (combinations > limits.matrixPoints) {
    const many = Number.isSafeInteger(combinations) ? String(combinations) : "far too many";
    return `has ${many} points: at most ${limits.matrixPoints}`;
  }
  if (JSON.stringify(matrix).length > limits.matrixBytes)
    return `must not be longer than ${limits.matrixBytes} characters`;
  const points = tasksIn({ matrix });
  if (points === 0) return "has no point left: exclude takes all of them";
  return points > limits.matrixPoints ? `has ${points} points: at most ${limits.matrixPoints}` : undefined;
}

const valueShape = z.custom<MatrixValue>(isValue);
const pointShape = z.record(z.string(), valueShape);

/** Of a normalised spec, as another node forwards it: what cannot be read, or would be too much, is not looked into. */
export const normalisedShapeFields = {
  array: z
    .string()
    .max(limits.arrayTextLength)
    .refine((text) => typeof parseRanges(text) !== "string")
    .exactOptional(),
  matrix: z
    .strictObject({
      keys: z.record(z.string(), z.array(valueShape).min(1)),
      exclude: z.array(pointShape).min(1).max(limits.matrixRules).exactOptional(),
      include: z.array(pointShape).min(1).max(limits.matrixRules).exactOptional(),
    })
    .refine((matrix) => isReadable(matrix as Matrix))
    .exactOptional(),
};

function isReadable({ keys, ...rules }: Matrix): boolean {
  if (ruleKeys.some((key) => Object.hasOwn(keys, key))) return false;
  let isFine = true;
  readMatrix({ matrix: { ...keys, ...rules } }, () => {
    isFine = false;
  });
  return isFine;
}

/** What makes the tasks of a job; at most one of them. */
const makers = ["count", "array", "matrix", "targets", "each_node"] as const;
const severalMakers = ["count", "array", "matrix", "targets"] as const;
const madeBy = {
  count: "count",
  array: "array",
  matrix: "matrix",
  targets: "targets, which make one task per name",
  each_node: "each_node, which makes one task per node",
} as const satisfies Record<(typeof makers)[number], string>;

/** It says how many tasks there are, be it one. */
export function makesSeveral(raw: Readonly<Record<string, unknown>>): boolean {
  return makers.some((key) => raw[key] !== undefined && raw[key] !== false);
}

/** Each of them says how many tasks there are, so that two of them contradict each other. */
export function checkMakers(raw: Readonly<Record<string, unknown>>, refuse: Refuse): void {
  const given = makers.filter((key) => raw[key] !== undefined && raw[key] !== false);
  const last = given.pop();
  for (const key of given) refuse([key], `cannot be combined with ${madeBy[last!]}`);
  // Each of these tasks goes to a node of its own: nothing is left to be handed out together.
  if (raw["each_node"] === true && raw["unit"] !== undefined)
    refuse(["unit"], `cannot be combined with ${madeBy.each_node}`);
  checkBatch(raw, refuse);
}

/**
 * A batch has ended when as many tasks have as it ends at: those after it must not. Tasks of each_node do when their node leaves, and each
 * waits for a node of its own, which may be away for long.
 */
function checkBatch(raw: Readonly<Record<string, unknown>>, refuse: Refuse): void {
  if (raw["batch"] === undefined) return;
  if (raw["each_node"] === true) refuse(["batch"], `cannot be combined with ${madeBy.each_node}`);
  else if (!severalMakers.some((key) => raw[key] !== undefined))
    refuse(["batch"], "is of jobs with several tasks: give count, array, matrix or targets");
}

/** The same of a normalised spec; gives its tasks (0: each_node), or undefined: it contradicts itself. */
export function tasksOfNormalised(spec: Spec): number | undefined {
  const given = [spec.count, spec.array, spec.matrix, spec.targets, spec.eachNode].filter((one) => one !== undefined);
  if (given.length > 1) return undefined;
  if (spec.batch !== undefined && (given.length === 0 || spec.eachNode === true)) return undefined;
  return tasksIn(spec);
}
