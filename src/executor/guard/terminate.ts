import { monotonicMs } from "../monotonic.ts";

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
  if (await groupEnds(group, graceMs)) return;
  signalGroup(group, "SIGKILL");
  await groupEnds(group, killedMs);
}

/** True when the group was empty within waitMs. */
async function groupEnds(group: number, waitMs: number): Promise<boolean> {
  const deadline = monotonicMs() + waitMs;
  for (let stepMs = 5; ; stepMs = Math.min(2 * stepMs, 100)) {
    const left = deadline - monotonicMs();
    if (left <= 0) return false;
    await Bun.sleep(Math.min(stepMs, left));
    if (!signalGroup(group, 0)) return true;
  }
}

/** How long the kernel may take over a KILL before nobody waits for it any more. */
const killedMs = 500;
