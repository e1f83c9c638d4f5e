import { assert } from "../../lib/assert.ts";
import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import { fillIn, fillText } from "../../lib/placeholders.ts";
import type { Assignment, Spec } from "../../state/types.ts";
import type { HttpRequest, Start } from "../guard/frames.ts";
import { identityOf } from "../identity.ts";
import { redacting, type SecretValues, valuesOf } from "../secrets.ts";

/**
 * Driver http: a request that the guard makes, so that it outlives the node's process as a shell's does (J3). At least once is all that can be promised of
 * it: when the connection breaks after the request was sent, nobody here can know whether it was done. The other side can: the same
 * `Idempotency-Key` comes with every attempt of a task, retries and those after a lost node too, and `Skein-Fence` only grows.
 */
export function httpStart(
  assignment: Assignment,
  { node, cluster }: { readonly node: NodeId; readonly cluster: string },
  secrets: SecretValues,
): Start {
  const { job, task, attempt, fence, spec } = assignment;
  const { http } = spec;
  assert(http !== undefined, "driver http has a request");
  const secretHeaders = valuesOf(spec.secrets?.headers, secrets);
  const own = ownValues(assignment, node);
  const given = [
    ...Object.entries(http.headers ?? {}).map(([name, value]) => [name, fillText(value, own), false] as const),
    ...Object.entries(secretHeaders).map(([name, value]) => [name, value, true] as const),
  ];
  const secretBody = spec.secrets?.body;
  const body = secretBody === undefined ? fillBody(http, own) : valuesOf({ body: secretBody }, secrets)["body"];
  const isGiven = (name: string): boolean => given.some(([one]) => one.toLowerCase() === name.toLowerCase());
  const defaults: Record<string, string> = {
    "User-Agent": "skein",
    "Idempotency-Key": `skein-${cluster}-${job}-${task}`,
    ...(http.json === true ? { "Content-Type": "application/json" } : {}),
  };
  const request: HttpRequest = {
    method: http.method,
    url: fillUrl(http.url, own),
    headers: [
      ...Object.entries(defaults).flatMap(([name, value]) => (isGiven(name) ? [] : [[name, value, false] as const])),
      ...given,
      ["Skein-Job", String(job), false],
      ["Skein-Task", String(task), false],
      ["Skein-Attempt", String(attempt), false],
      ["Skein-Fence", String(fence), false],
    ],
    ...(body === undefined ? {} : { body }),
    isSecretBody: secretBody !== undefined,
    expect: http.expect ?? ["2xx"],
  };
  return {
    job,
    task,
    attempt,
    fence,
    identity: identityOf(assignment),
    run: ["skein-driver-http"],
    env: {},
    ...(spec.timeoutMs === undefined ? {} : { timeoutMs: spec.timeoutMs }),
    graceMs: 0,
    tailBytes: Math.min(spec.output?.tailBytes ?? limits.tailDefaultBytes, limits.tailMaxBytes),
    keepBytes: spec.output?.keepBytes ?? limits.logKeepBytes,
    ...redacting(spec, secrets),
    http: request,
  };
}

type Values = ReadonlyMap<string, string | number | boolean>;

/** What tells this attempt from others, by the names that a process finds it under. */
function ownValues({ job, task, attempt, fence, point, target }: Assignment, node: NodeId): Values {
  const values = new Map<string, string | number | boolean>(Object.entries(point?.matrix ?? {}));
  const own = { JOB: job, TASK: task, ATTEMPT: attempt, FENCE: fence, NODE: node, INDEX: point?.index, TARGET: target };
  for (const [name, value] of Object.entries(own)) if (value !== undefined) values.set(`SKEIN_${name}`, value);
  return values;
}

/** The host as it stands there, what follows as part of a URL: a value of it stays one value, whatever it holds. */
function fillUrl(url: string, values: Values): string {
  if (!url.includes("{{")) return url;
  const encoded = (others: RegExp): Values =>
    new Map(Array.from(values, ([name, value]) => [name, String(value).replaceAll(others, encodeURIComponent)]));
  const host = /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0] ?? "";
  return fillText(host, encoded(/[^A-Za-z0-9.:_[\]-]+/gu)) + fillText(url.slice(host.length), encoded(/[^]+/gu));
}

/** In JSON a text that is a placeholder and nothing else becomes the value with its type. */
function fillBody({ body, json }: NonNullable<Spec["http"]>, values: Values): string | undefined {
  if (body === undefined || !body.includes("{{")) return body;
  return json === true ? JSON.stringify(fillIn(JSON.parse(body), values)) : fillText(body, values);
}
