import { monotonicMs } from "../../lib/clock.ts";
import { groupHasLiveMember } from "./processes.ts";

/**
 * Sends a signal to a process group. False when there is none left. A group's number is not given to another process while the
 * group has members, and nobody asks again after the first false.
 */
export function signalGroup(group: number, signal: "SIGTERM" | "SIGKILL" | "SIGCONT" | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    // EPERM: members that took another user's identity; they are there, and not ours to signal.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * TERM to the group, KILL to what is left of it after graceMs. Resolves when the group is empty, or could not be emptied by KILL. The grace is the
 * group's, not the main process's: a shell dies of TERM at once while the program it runs still cleans up.
 */
export async function terminateGroup(group: number, graceMs: number): Promise<void> {
  if (!signalGroup(group, "SIGTERM")) return;
  signalGroup(group, "SIGCONT"); // a stopped process takes no TERM
  await groupEnds(group, graceMs);
  // Also when only zombies were seen: a process that forked during the look has its end too.
  if (!signalGroup(group, "SIGKILL")) return;
  await groupEnds(group, killedMs);
}

/** Waits until nothing of the group runs, or waitMs. */
async function groupEnds(group: number, waitMs: number): Promise<void> {
  const since = monotonicMs();
  for (let stepMs = 5; ; stepMs = Math.min(2 * stepMs, 100)) {
    const left = since + waitMs - monotonicMs();
    if (left <= 0) return;
    await Bun.sleep(Math.min(stepMs, left));
    if (!signalGroup(group, 0)) return;
    // A look at all processes costs more than a signal: not in the first steps, when most groups end.
    if (stepMs > 10 && !groupHasLiveMember(group, since)) return;
  }
}

/** How long the kernel may take over a KILL before nobody waits for it any more. */
const killedMs = 500;
