import { readdirSync, readFileSync } from "node:fs";

/** What /proc says of processes. On a system without it every question is answered with "unknown". */

/** When the process started, in the kernel's ticks since boot: with the pid it names a process for good. undefined: gone or unknown. */
export function processStartTime(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the command in parentheses and may hold anything: count from its end. Start time is field 22.
    const startTime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    return Number.isFinite(startTime) ? startTime : undefined;
  } catch {
    return undefined;
  }
}

/** Names this boot of the machine; "" when unknown. Start times of another boot say nothing. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
  } catch {
    return "";
  }
}

/** All processes but this one. */
export function processIds(): number[] {
  try {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && pid !== process.pid);
  } catch {
    return [];
  }
}

/** The value of a variable in the environment that the process was started with; undefined: not set, gone, or not ours to read. */
export function environmentValue(pid: number, name: string): string | undefined {
  let environment: Buffer;
  try {
    environment = readFileSync(`/proc/${pid}/environ`);
  } catch {
    return undefined;
  }
  const wanted = `${name}=`;
  let at = environment.indexOf(wanted);
  while (at > 0 && environment[at - 1] !== 0) at = environment.indexOf(wanted, at + 1);
  if (at < 0) return undefined;
  const end = environment.indexOf(0, at);
  return environment.toString("utf8", at + wanted.length, end < 0 ? environment.length : end);
}
