import { assert } from "../../lib/assert.ts";
import { limits } from "../../lib/limits.ts";
import type { Assignment } from "../../state/types.ts";
import type { HttpRequest, Start } from "../guard/frames.ts";
import { identityOf } from "../identity.ts";
import { redacting, type SecretValues, valuesOf } from "../secrets.ts";

/**
 * Driver http: a request that the guard makes, so that it outlives the node's process as a shell's does (J3). At least once is all that can be promised of
 * it: when the connection breaks after the request was sent, nobody here can know whether it was done. The other side can: the same
 * `Idempotency-Key` comes with every attempt of a task, retries and those after a lost node too, and `Skein-Fence` only grows.
 */
export function httpStart(assignment: Assignment, cluster: string, secrets: SecretValues): Start {
  const { job, task, attempt, fence, spec } = assignment;
  const { http } = spec;
  assert(http !== undefined, "driver http has a request");
  const secretHeaders = valuesOf(spec.secrets?.headers, secrets);
  const given = [
    ...Object.entries(http.headers ?? {}).map(([name, value]) => [name, value, false] as const),
    ...Object.entries(secretHeaders).map(([name, value]) => [name, value, true] as const),
  ];
  const secretBody = spec.secrets?.body;
  const body = secretBody === undefined ? http.body : valuesOf({ body: secretBody }, secrets)["body"];
  const isGiven = (name: string): boolean => given.some(([one]) => one.toLowerCase() === name.toLowerCase());
  const defaults: Record<string, string> = {
    "User-Agent": "skein",
    "Idempotency-Key": `skein-${cluster}-${job}-${task}`,
    ...(http.json === true ? { "Content-Type": "application/json" } : {}),
  };
  const request: HttpRequest = {
    method: http.method,
    url: http.url,
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
