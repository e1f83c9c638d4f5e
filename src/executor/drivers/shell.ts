import { limits } from "../../lib/limits.ts";
import type { NodeId } from "../../lib/ids.ts";
import type { Assignment } from "../../state/types.ts";
import type { Start } from "../guard/frames.ts";

/** Driver shell: a process under the guard. The contract's variables win over the job's own `env`. */
export function shellStart(assignment: Assignment, node: NodeId): Start {
  const { job, task, attempt, fence, spec, target } = assignment;
  return {
    job,
    task,
    attempt,
    fence,
    run: spec.run ?? "",
    env: {
      ...spec.env,
      SKEIN_JOB: String(job),
      SKEIN_TASK: String(task),
      SKEIN_ATTEMPT: String(attempt),
      SKEIN_FENCE: String(fence),
      SKEIN_NODE: String(node),
      ...(spec.count === undefined ? {} : { SKEIN_INDEX: String(task) }),
      ...(target === undefined ? {} : { SKEIN_TARGET: target }),
    },
    ...(spec.dir === undefined ? {} : { dir: spec.dir }),
    ...(spec.stdin === undefined ? {} : { stdin: spec.stdin }),
    ...(spec.timeoutMs === undefined ? {} : { timeoutMs: spec.timeoutMs }),
    graceMs: spec.graceMs ?? limits.graceDefaultMs,
    tailBytes: Math.min(spec.output?.tailBytes ?? limits.tailDefaultBytes, limits.tailMaxBytes),
    keepBytes: spec.output?.keepBytes ?? limits.logKeepBytes,
  };
}
