import type { Cgroup } from "./cgroup.ts";
import type { AttemptLimits } from "./frames.ts";
import type { User } from "./user.ts";

/** What stands between a process and the host: a control group, rlimits, and whom it runs as. */
export interface Confinement {
  /** Rlimits hold what it does not, and all where it is absent. */
  readonly cgroup?: Pick<Cgroup, "processes" | "holdsMemory" | "holdsProcesses"> | undefined;
  readonly limits?: AttemptLimits | undefined;
  readonly user?: User | undefined;
}

/**
 * The command in a shell that confines itself and then becomes the command, so that nothing of it ever runs unconfined and its number stays what the guard has
 * seen. What cannot be set ends the attempt with 126, as a command that cannot be executed does. Words of the spec are arguments, never text of the script.
 */
export function confined(command: readonly string[], { cgroup, limits, user }: Confinement): readonly string[] {
  const steps: string[] = [];
  const must = (what: string, step: string): number =>
    steps.push(`${step} || { echo "skein: cannot ${what} on this node" >&2; exit 126; }`);
  if (cgroup !== undefined) must("enter the control group", `echo $$ > "$1"`);
  steps.push("shift");
  if (limits?.files !== undefined) must(`limit open files to ${limits.files}`, `ulimit -n ${limits.files}`);
  if (limits !== undefined) {
    const memoryBytes = cgroup?.holdsMemory === true ? undefined : limits.memoryBytes;
    const processes = cgroup?.holdsProcesses === true ? undefined : limits.processes;
    const cpuMs = cgroup === undefined ? limits.cpuMs : undefined;
    if (memoryBytes !== undefined) must("limit memory", `ulimit -v ${Math.ceil(memoryBytes / 1024)}`);
    // bash and busybox say -u, dash -p.
    if (processes !== undefined)
      must("limit processes", `{ ulimit -u ${processes} 2>/dev/null || ulimit -p ${processes} 2>/dev/null; }`);
    // A second more before KILL: the first signal says what it was.
    const seconds = cpuMs === undefined ? 0 : Math.ceil(cpuMs / 1000);
    if (seconds > 0) must("limit CPU time", `{ ulimit -S -t ${seconds} && ulimit -H -t ${seconds + 1}; }`);
  }
  const become = user?.isOther === true ? `setpriv --reuid ${user.uid} --regid ${user.gid} --init-groups -- ` : "";
  steps.push(`exec ${become}"$@"`);
  return ["/bin/sh", "-c", steps.join("\n"), "skein", cgroup?.processes ?? "", ...command];
}
