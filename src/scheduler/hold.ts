import type { NodeId } from "../lib/ids.ts";
import type { Room } from "./choose.ts";
import type { Bucket, PlannedJob } from "./queues.ts";

/**
 * Room that is kept (J2: an accepted job must come to its end). A task that needs several slots would never start while smaller
 * ones take each slot as it comes free; so the first that finds no room has a node held for it, which then drains.
 * Holds last for one plan and are worked out anew by the next. A task of one slot or an io task needs none: any room that comes free is enough.
 */

/**
 * Holds, for a bucket whose first job found no room, the node that lacks the least. One that can be served by a node held for an
 * older job of its priority waits behind that: otherwise jobs of many kinds would empty many nodes at once.
 */
export function holdNode(bucket: Bucket, matching: readonly Room[]): void {
  if (bucket.need <= 1) return;
  let best: Room | undefined;
  for (const room of matching) {
    if (room.slots < bucket.need) continue;
    if (room.heldFor === bucket.priority) return;
    if (room.heldFor === undefined && (best === undefined || room.freeSlots > best.freeSlots)) best = room;
  }
  if (best !== undefined) best.heldFor = bucket.priority;
}

/** Holds the nodes of pinned tasks that found no room there, as many as the job may have running. */
export function holdPins(bucket: Bucket, job: PlannedJob, matching: readonly Room[]): void {
  if (bucket.need <= 1) return;
  const rooms = new Map<NodeId, Room>(matching.map((room) => [room.node, room]));
  let left = job.parallel - job.held.size;
  for (const { pin } of job.waiting) {
    if (left <= 0) return;
    const room = pin === undefined ? undefined : rooms.get(pin);
    if (room === undefined || room.slots < bucket.need) continue;
    room.heldFor ??= bucket.priority;
    left -= 1;
  }
}
