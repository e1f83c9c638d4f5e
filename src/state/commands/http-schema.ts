import { z } from "zod";
import { limits } from "../../lib/limits.ts";
import { fillText, placesIn } from "../../lib/placeholders.ts";
import type { Spec, SpecSecrets } from "../types.ts";
import { partSecrets, secretReference, wordOrSecret } from "./secret-schema.ts";
import { asWrittenForm, isAsWritten, secretName } from "./shapes.ts";

/** The key `http` of a spec: the request that a task of driver http makes. */

const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
const methodForm = `must be one of ${methods.join(", ")}`;

const url = z
  .string({ error: "must be the URL to ask, as text" })
  .max(limits.httpUrlLength, `must be at most ${limits.httpUrlLength} characters`)
  .superRefine((text, context) => {
    const refuse = (message: string): void => context.addIssue({ code: "custom", message });
    // What a task fills in may stand anywhere in it, in the place of a port as well.
    const sample = text.includes("{{") ? fillText(text, sampleOf(text)) : text;
    if (!URL.canParse(sample)) return refuse(`"${text}" is not a URL: write https://host/path`);
    const { protocol, username, password } = new URL(sample);
    if (protocol !== "http:" && protocol !== "https:") return refuse("must begin with http:// or https://");
    // It stands in the spec, in lists and in logs.
    if (username !== "" || password !== "")
      return refuse("must not hold a password: write headers: {Authorization: {secret: name}}");
    return undefined;
  });

function sampleOf(text: string): ReadonlyMap<string, string> {
  return new Map(Array.from(placesIn(text), ({ name }) => [name, "1"]));
}

/** What is the transport's to say. */
const ownHeaders = ["connection", "content-length", "host", "transfer-encoding", "upgrade", "expect", "te", "trailer"];
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

const headers = z
  .record(z.string(), wordOrSecret, { error: "must be a map of names to text" })
  .superRefine((given, context) => {
    const entries = Object.entries(given);
    const refuse = (name: string, message: string): void => context.addIssue({ code: "custom", path: [name], message });
    if (entries.length > limits.httpHeaders)
      context.addIssue({ code: "custom", message: `at most ${limits.httpHeaders} headers` });
    const seen = new Set<string>();
    for (const [name, value] of entries) {
      const lower = name.toLowerCase();
      if (!headerName.test(name)) refuse(name, "not a header's name");
      else if (ownHeaders.includes(lower)) refuse(name, "is set by the request itself: leave it out");
      else if (seen.has(lower)) refuse(name, "is there twice, in other letters");
      if (typeof value === "string" && /[\r\n\0]/.test(value)) refuse(name, "must be one line");
      if (typeof value === "string" && value.length > limits.httpHeaderLength)
        refuse(name, `must be at most ${limits.httpHeaderLength} characters`);
      seen.add(lower);
    }
  });

const bodyForm = "must be text, {secret: name}, or a map or list that is sent as JSON";
const body = z.unknown().superRefine((value, context) => {
  const refuse = (message: string): void => context.addIssue({ code: "custom", message });
  if (typeof value === "string" ? value.length > limits.stdinBytes : JSON.stringify(value).length > limits.stdinBytes)
    return refuse(`must be at most ${limits.stdinBytes} characters`);
  if (typeof value !== "string" && (typeof value !== "object" || value === null)) return refuse(bodyForm);
  for (const path of roundedIn(value)) context.addIssue({ code: "custom", path: [...path], message: asWrittenForm });
  if (isReference(value) && !secretReference.safeParse(value).success) return refuse(bodyForm);
  return undefined;
});

/** Where numbers stand that are not those that were written. */
function* roundedIn(node: unknown, path: readonly (string | number)[] = []): Generator<readonly (string | number)[]> {
  if (typeof node === "number" && !isAsWritten(node)) yield path;
  if (Array.isArray(node)) for (const [at, item] of node.entries()) yield* roundedIn(item, [...path, at]);
  else if (typeof node === "object" && node !== null)
    for (const [key, value] of Object.entries(node)) yield* roundedIn(value, [...path, key]);
}

/** Only that key: a body of JSON that is such a map is written as text. */
function isReference(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).join(",") === "secret";
}

const statusForm = `must be a status from 100 to 599, a class like "2xx", or a list of them`;
const status = z.union(
  [z.number().int(statusForm).min(100, statusForm).max(599, statusForm), z.string().regex(/^[1-5]xx$/, statusForm)],
  { error: statusForm },
);

/** As people write it. */
export const httpField = z
  .strictObject(
    {
      method: z
        .string({ error: methodForm })
        .transform((text) => text.toUpperCase())
        .pipe(z.enum(methods, { error: methodForm }))
        .optional(),
      url,
      headers: headers.optional(),
      body: body.optional(),
      expect: z.union([status, z.array(status).min(1, statusForm).max(64)], { error: statusForm }).optional(),
    },
    {
      error: (issue) =>
        issue.code === "invalid_type" ? "must be a map like {method: POST, url: https://…}" : undefined,
    },
  )
  .superRefine(({ method, body: sent }, context) => {
    if ((method === "GET" || method === "HEAD") && sent !== undefined)
      context.addIssue({ code: "custom", path: ["body"], message: `a ${method} has no body: leave one of them out` });
  });

/** Of every task. */
const ofAll = ["SKEIN_JOB", "SKEIN_TASK", "SKEIN_ATTEMPT", "SKEIN_FENCE", "SKEIN_NODE"];

/**
 * `{{name}}` in the URL, headers and body of a request, which each of the job's tasks fills in with what tells it from the others. `raw`: the spec as it was
 * written. A name that no task has is refused: it would be empty.
 */
export function checkPlaceholders(
  raw: Readonly<Record<string, unknown>>,
  refuse: (path: readonly PropertyKey[], message: string) => void,
): void {
  const { http } = raw;
  if (!isMap(http)) return;
  const { url: asked, headers: sent, body: content } = http;
  const places = [...placesIn({ url: asked, headers: sent, body: content })];
  if (places.length === 0) return;
  const names = namesOfTask(raw);
  for (const { path, name, isKey } of places) {
    if (!names.has(name)) {
      const message = `{{${name}}} is nothing that a task has: ${[...names.keys()].join(", ")}; the text itself is \\{{${name}}}`;
      refuse(["http", ...path], message);
    } else if (isKey) refuse(["http", ...path], `{{${name}}} stands in a key: only values are filled in`);
  }
  const longest = Math.max(...names.values());
  if (places.length * longest > limits.bodyBytes)
    refuse(["http"], `could become longer than ${limits.bodyBytes} characters when its placeholders are filled in`);
}

/** What a task of the spec has, and how long it can be. */
function namesOfTask({ count, array, matrix, include, targets, each_node }: Readonly<Record<string, unknown>>) {
  const names = new Map<string, number>(ofAll.map((name) => [name, 20]));
  if (count !== undefined || array !== undefined || matrix !== undefined) names.set("SKEIN_INDEX", 20);
  if (targets !== undefined || each_node === true)
    names.set("SKEIN_TARGET", Math.max(limits.targetLength, limits.nameLength));
  const note = (key: string, value: unknown): void => {
    names.set(key, Math.max(names.get(key) ?? 0, String(value).length));
  };
  if (!isMap(matrix)) return names;
  for (const [key, values] of Object.entries(matrix))
    if (key !== "exclude" && key !== "include" && Array.isArray(values)) for (const value of values) note(key, value);
  const rules = matrix["include"] ?? include;
  for (const rule of Array.isArray(rules) ? rules : [])
    if (isMap(rule)) for (const [key, value] of Object.entries(rule)) note(key, value);
  return names;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As it stands in the log. */
export const normalisedHttp = z.strictObject({
  method: z.enum(methods),
  url: z.string(),
  headers: z.record(z.string(), z.string()).exactOptional(),
  body: z.string().exactOptional(),
  json: z.boolean().exactOptional(),
  expect: z.array(z.union([z.number(), z.string()])).exactOptional(),
});

/** Names of secrets, as they stand in the log. */
export const normalisedSecrets = z.strictObject({
  env: z.record(z.string(), secretName).exactOptional(),
  headers: z.record(z.string(), secretName).exactOptional(),
  body: secretName.exactOptional(),
  sshKey: secretName.exactOptional(),
  becomePassword: secretName.exactOptional(),
  vault: secretName.exactOptional(),
});

/** What a task of driver http asks, and which of it are secrets. */
export function normaliseHttp(fields: z.output<typeof httpField>): {
  readonly http: NonNullable<Spec["http"]>;
  readonly secrets: SpecSecrets;
} {
  const { plain, secret } = partSecrets(fields.headers ?? {});
  const isSecret = isReference(fields.body);
  const text = typeof fields.body === "string" ? fields.body : JSON.stringify(fields.body);
  return {
    http: {
      method: fields.method ?? (fields.body === undefined ? "GET" : "POST"),
      url: fields.url,
      ...(plain === undefined || Object.keys(plain).length === 0 ? {} : { headers: plain }),
      ...(fields.body === undefined || isSecret ? {} : { body: text }),
      ...(fields.body === undefined || isSecret || typeof fields.body === "string" ? {} : { json: true }),
      ...(fields.expect === undefined
        ? {}
        : { expect: Array.isArray(fields.expect) ? fields.expect : [fields.expect] }),
    },
    secrets: {
      ...(secret === undefined ? {} : { headers: secret }),
      ...(isSecret ? { body: (fields.body as { secret: string }).secret } : {}),
    },
  };
}
