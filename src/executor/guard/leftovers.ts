import { rmSync } from "node:fs";
import type { Restored, Running } from "./outbox.ts";
import type { Places } from "./places.ts";
import { bootId, type ProcessName, processStartTime, waitOver } from "./processes.ts";
import { killMarked } from "./sweep.ts";
import { signalGroup } from "./terminate.ts";

/**
 * Ends what a guard that was killed left behind: the groups that it had started, each known by the pid and start time of its
 * head, and every process that carries this data directory's marker. Nothing else is touched: a number alone says nothing, it may
 * be another's by now. What a killed guard wrote of their output is kept, for people to see.
 */
export async function clearLeftovers(restored: Restored, places: Places): Promise<void> {
  const heads = restored.boot === bootId() ? restored.running.flatMap((running) => headOf(running) ?? []) : [];
  for (const { pid } of heads) signalGroup(pid, "SIGKILL");
  await killMarked(places.marker, () => true);
  await waitOver(heads);
  rmSync(places.scratch, { recursive: true, force: true });
  rmSync(places.userScratch, { recursive: true, force: true });
}

/** The head of its group, if that is what has the number now. */
function headOf({ pid, startTimes }: Running): ProcessName | undefined {
  const startTime = processStartTime(pid);
  if (startTime === undefined || startTimes === undefined) return undefined;
  return startTime >= startTimes[0] && startTime <= startTimes[1] ? { pid, startTime } : undefined;
}
