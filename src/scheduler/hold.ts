import type { NodeId } from "../lib/ids.ts";
import { freeOf, isLargeEnough, type Room, take } from "./choose.ts";
import { type Bucket, heldOf, type PlannedJob } from "./queues.ts";

/**
 * Room that is kept (J2: an accepted job must come to its end). A task that needs several slots would never start while smaller
 * ones take each slot as it comes free; so the first that finds no room has a node held for it, which then drains. The same goes for resources: what the task
 * takes is counted as taken, so that others get what is left beside it and no more of what it lacks.
 * Holds last for one plan and are worked out anew by the next. A task of one slot or an io task needs none: any room that comes free is enough.
 */

/**
 * Holds, for a bucket whose first job found no room, the node that lacks the least. One that can be served by a node held for an
 * older job of its priority waits behind that: otherwise jobs of many kinds would empty many nodes at once.
 */
export function holdNode(bucket: Bucket, matching: readonly Room[]): void {
  if (needsNoHold(bucket)) return;
  let best: Room | undefined;
  let least = Infinity;
  for (const room of matching) {
    if (!isLargeEnough(room, bucket)) continue;
    if (room.heldFor === bucket.priority && room.heldKind === bucket.kind) return;
    const lack = lackOf(room, bucket);
    if (room.heldFor === undefined && lack < least) [best, least] = [room, lack];
  }
  if (best !== undefined) hold(best, bucket);
}

/** Whether neither {@link holdNode} nor {@link holdPins} would hold anything for it, whatever its first job is. */
export function holdsNothing(bucket: Bucket, matching: readonly Room[]): boolean {
  if (needsNoHold(bucket)) return true;
  let isAnyLeft = false;
  for (const room of matching) {
    if (!isLargeEnough(room, bucket)) continue;
    if (room.heldFor === undefined) isAnyLeft = true;
    else if (!bucket.pinned && room.heldFor === bucket.priority && room.heldKind === bucket.kind) return true;
  }
  return !isAnyLeft;
}

/** One slot, or one io task, is enough: whatever comes free serves it. */
function needsNoHold({ need, resources }: Bucket): boolean {
  return need <= 1 && resources.length === 0;
}

/** How much of what the task takes is not free, each thing as its share. */
function lackOf(room: Room, { io, need, resources }: Bucket): number {
  const share = (free: number, wanted: number): number => Math.max(0, wanted - free) / wanted;
  const slots = io || need === 0 ? 0 : share(room.freeSlots, need);
  return resources.reduce((sum, [name, units]) => sum + share(freeOf(room, name), units), slots);
}

function hold(room: Room, bucket: Bucket): void {
  room.heldFor = bucket.priority;
  room.heldKind = bucket.kind;
  take(room, bucket);
}

/** Holds the nodes of pinned tasks that found no room there, as many as the job may have running. */
export function holdPins(bucket: Bucket, job: PlannedJob, matching: readonly Room[]): void {
  if (needsNoHold(bucket)) return;
  const rooms = new Map<NodeId, Room>(matching.map((room) => [room.node, room]));
  let left = job.parallel - heldOf(job);
  for (const { pin } of job.waiting) {
    if (left <= 0) return;
    const room = pin === undefined ? undefined : rooms.get(pin);
    if (room === undefined || !isLargeEnough(room, bucket)) continue;
    if (room.heldFor === undefined) hold(room, bucket);
    left -= 1;
  }
}
