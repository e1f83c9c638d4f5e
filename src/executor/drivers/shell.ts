import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { Assignment, MatrixPoint } from "../../state/types.ts";
import { identityOf } from "../identity.ts";
import { redacting, type SecretValues, valuesOf } from "../secrets.ts";
import type { Start } from "../guard/frames.ts";

/** A point's keys go before the job's own `env`, which is what a point that lacks a key falls back to. */
function matrixVariables(point: MatrixPoint | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(point ?? {}).map(([key, value]) => [key, String(value)]));
}

/** Driver shell: a process under the guard. The contract's variables win over the job's own `env`. */
export function shellStart(assignment: Assignment, node: NodeId, secrets: SecretValues, cgroupRoot?: string): Start {
  const { job, task, attempt, fence, spec, point, target } = assignment;
  return {
    job,
    task,
    attempt,
    fence,
    identity: identityOf(assignment),
    run: spec.run ?? "",
    env: {
      ...spec.env,
      ...valuesOf(spec.secrets?.env, secrets),
      ...matrixVariables(point?.matrix),
      SKEIN_JOB: String(job),
      SKEIN_TASK: String(task),
      SKEIN_ATTEMPT: String(attempt),
      SKEIN_FENCE: String(fence),
      SKEIN_NODE: String(node),
      ...(point?.index === undefined ? {} : { SKEIN_INDEX: String(point.index) }),
      ...(target === undefined ? {} : { SKEIN_TARGET: target }),
    },
    ...(spec.dir === undefined ? {} : { dir: spec.dir }),
    ...(spec.stdin === undefined ? {} : { stdin: spec.stdin }),
    ...(spec.timeoutMs === undefined ? {} : { timeoutMs: spec.timeoutMs }),
    graceMs: spec.graceMs ?? limits.graceDefaultMs,
    tailBytes: Math.min(spec.output?.tailBytes ?? limits.tailDefaultBytes, limits.tailMaxBytes),
    keepBytes: spec.output?.keepBytes ?? limits.logKeepBytes,
    ...(spec.user === undefined ? {} : { user: spec.user }),
    ...(spec.limits === undefined ? {} : { limits: spec.limits }),
    ...(spec.limits === undefined || cgroupRoot === undefined ? {} : { cgroupRoot }),
    ...redacting(spec, secrets),
  };
}
