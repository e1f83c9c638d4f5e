import type { JobId } from "../lib/ids.ts";
import { matchesSelector } from "../lib/selector.ts";
import type { Unbegun } from "../state/planning.ts";
import { hasRoom, isLargeEnough, type Room, take, type Want } from "./choose.ts";
import type { PlannedJob } from "./queues.ts";

/**
 * Which of the attempts that a node has not begun are better off elsewhere. Of a node that takes work all the same, what another node has room for at this moment; of one that takes none,
 * what another one could ever run: it is placed again before what waits. Tasks that belong to the node wait for it.
 */
export function betterElsewhere(
  unbegun: readonly Unbegun[],
  jobOf: (id: JobId) => PlannedJob | undefined,
  others: readonly Room[],
  isAway: boolean,
): Unbegun[] {
  return unbegun.filter(({ job: id }) => {
    const job = jobOf(id);
    if (job === undefined || job.pinned) return false;
    const want: Want = { io: job.io, need: job.io ? 1 : job.slots, resources: job.resources };
    const fitting = others.filter((room) => matchesSelector(job.terms, room.labels));
    if (isAway) return fitting.some((room) => isLargeEnough(room, want));
    const free = fitting.find((room) => hasRoom(room, want));
    if (free === undefined) return false;
    take(free, want);
    return true;
  });
}
