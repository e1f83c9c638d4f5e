import type { JobId, NodeId } from "../lib/ids.ts";
import { matchesSelector } from "../lib/selector.ts";
import { hasRoom, isLargeEnough, type Room, takeLanes, type Want } from "./choose.ts";
import type { Bucket, HeldUnit, PlannedJob } from "./queues.ts";

/**
 * What waits at a node behind others of its unit, and should not. No lease keeps it from beginning, so its node alone can give it back (J1): the leader asks for that,
 * and whatever becomes of its question, nothing is begun twice. Two things are looked for:
 *
 *   idle    another node has room for such a task at this moment: it gets its part of what waits, so that both end at about the same time
 *   urgent  a job of a higher priority waits for room on the node: all that waits there is given back, since a unit that has more tasks than it is wide gives no room away
 */

/** A unit that has more tasks than run at once. */
export interface WaitingUnit {
  readonly job: PlannedJob;
  readonly unit: HeldUnit;
}

/** So many tasks of a unit are wanted back, at most. */
export interface Wanted {
  readonly job: JobId;
  readonly first: number;
  readonly most: number;
}

/** More of those that wait are not looked at: each is compared with every node. */
const urgentLookedAt = 256;

/** `waiting`: units of which something waits for a while; `buckets`: whose jobs do; `rooms`: of nodes that take work, which this uses up. */
export function relief(
  waiting: readonly WaitingUnit[],
  buckets: readonly Bucket[],
  rooms: readonly Room[],
): Map<NodeId, Wanted[]> {
  const urgent = urgentOn(waiting, buckets, rooms);
  const wanted = new Map<NodeId, Wanted[]>();
  for (const { job, unit } of waiting) {
    const { first, node, left, width } = unit;
    const waits = left - width;
    const most =
      job.priority < (urgent.get(node) ?? -Infinity) ? waits : partOf(waits, width, lanesFor(job, unit, rooms));
    if (most === 0) continue;
    const own = wanted.get(node);
    if (own === undefined) wanted.set(node, [{ job: job.id, first, most }]);
    else own.push({ job: job.id, first, most });
  }
  return wanted;
}

/** By node: the highest priority of those that wait for room there, and have none anywhere. */
function urgentOn(
  waiting: readonly WaitingUnit[],
  buckets: readonly Bucket[],
  rooms: readonly Room[],
): Map<NodeId, number> {
  const lowest = waiting.reduce((least, { job }) => Math.min(least, job.priority), Infinity);
  const higher = buckets.filter(({ priority }) => priority > lowest).sort((a, b) => b.priority - a.priority);
  const urgent = new Map<NodeId, number>();
  for (const bucket of higher.slice(0, urgentLookedAt)) {
    const able = rooms.filter((room) => isAble(room, bucket));
    if (able.some((room) => hasRoom(room, bucket))) continue; // it is about to start
    for (const { node } of able) urgent.set(node, Math.max(bucket.priority, urgent.get(node) ?? -Infinity));
  }
  return urgent;
}

function isAble(room: Room, bucket: Bucket): boolean {
  if (bucket.pinned && bucket.first()?.waiting.some(({ pin }) => pin === room.node) !== true) return false;
  return isLargeEnough(room, bucket) && matchesSelector(bucket.terms, room.labels);
}

/** How many of the unit's waiting tasks other nodes have room for. Takes it. */
function lanesFor({ io, slots, resources, terms }: PlannedJob, unit: HeldUnit, rooms: readonly Room[]): number {
  const want: Want = { io, need: io ? 1 : slots, resources };
  let left = unit.left - unit.width;
  for (const room of rooms)
    if (room.node !== unit.node && matchesSelector(terms, room.labels)) left -= takeLanes(room, want, left);
  return unit.left - unit.width - left;
}

/** Of so many that wait: what those lanes run while the unit's own run the rest. */
function partOf(waits: number, width: number, lanes: number): number {
  return lanes === 0 ? 0 : Math.max(lanes, Math.ceil((waits * lanes) / (lanes + width)));
}
