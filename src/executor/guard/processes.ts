import { readdirSync, readFileSync } from "node:fs";
import { monotonicMs } from "../../lib/clock.ts";

/** What /proc says of processes. On a system without it every question is answered with "unknown". */

/** The fields of /proc/PID/stat from the third (the state) on; undefined: gone or unknown. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the command in parentheses and may hold anything: count from its end.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

/** When the process started, in the kernel's ticks since boot: with the pid it names a process for good. undefined: gone or unknown. */
export function processStartTime(pid: number): number | undefined {
  const startTime = Number(statFields(pid)?.[19]); // field 22
  return Number.isFinite(startTime) ? startTime : undefined;
}

/** A process by pid and start time, which together are nobody else's. */
export interface ProcessName {
  readonly pid: number;
  readonly startTime: number;
}

/** True when it runs no more: gone, or a zombie that its parent has not asked for yet. */
function isOver({ pid, startTime }: ProcessName): boolean {
  const fields = statFields(pid);
  return fields === undefined || Number(fields[19]) !== startTime || fields[0] === "Z" || fields[0] === "X";
}

/** A killed process still runs for a moment: its task has ended only when it is over (J1). */
export async function waitOver(processes: readonly ProcessName[]): Promise<void> {
  const deadline = monotonicMs() + overMs;
  while (processes.some((one) => !isOver(one)) && monotonicMs() < deadline) await Bun.sleep(2);
}

/** One that hangs in the kernel, on a disk that is gone say, cannot be waited for. */
const overMs = 5000;

let groupsSeen: ReadonlySet<number> = new Set();
let groupsSeenAt = -Infinity;
const groupsFreshMs = 40;

/**
 * Whether the group has a member that is not a zombie; true where that is unknown. Zombies wait for init, which in a container may never
 * come: a signal still finds them. One look at all processes serves everybody who asks within groupsFreshMs after `since`.
 */
export function groupHasLiveMember(group: number, since: number): boolean {
  if (groupsSeenAt < since || monotonicMs() - groupsSeenAt > groupsFreshMs) {
    groupsSeenAt = monotonicMs();
    const ids = processIds();
    if (ids.length === 0) return true;
    const seen = new Set<number>();
    for (const pid of ids) {
      const fields = statFields(pid);
      if (fields !== undefined && fields[0] !== "Z" && fields[0] !== "X") seen.add(Number(fields[2]));
    }
    groupsSeen = seen;
  }
  return groupsSeen.has(group);
}

/** Milliseconds since the machine started, those of its sleep included, which monotonicMs() leaves out; undefined where that is unknown. */
export function sinceBootMs(): number | undefined {
  try {
    const seconds = Number.parseFloat(readFileSync("/proc/uptime", "latin1"));
    return Number.isFinite(seconds) ? 1000 * seconds : undefined;
  } catch {
    return undefined;
  }
}

/** The same in the kernel's ticks, of which start times are counted; both of them come from one clock and are rounded down. undefined: unknown. */
export function bootTicks(): number | undefined {
  const ms = sinceBootMs();
  return ms === undefined ? undefined : Math.round(ms / tickMs);
}

/** Of all that Linux tells programs, whatever its own clock does. */
const tickMs = 10;

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
