import type { NodeId } from "../lib/ids.ts";
import { type Need, type Resources, unitsOf } from "../lib/resources.ts";
import type { Labels } from "../lib/selector.ts";
import type { Placement } from "../lib/placement.ts";
import type { WaitingTask } from "../state/planning.ts";

/** A node that may be given work, while a plan is made: what is free shrinks as tasks are placed. */
export interface Room {
  readonly node: NodeId;
  readonly labels: Labels;
  /** All its slots, taken ones too. */
  readonly slots: number;
  freeSlots: number;
  freeIo: number;
  /** Something runs there, or is to. */
  isUsed: boolean;
  /** The fence of the newest attempt that it was given: of nodes that are equally free the one is next that was given something the longest ago. */
  readonly newestFence: number;
  /** How much may still be given to it that waits there, of what could at most (ahead.ts). */
  readonly ahead: Ahead;
  readonly aheadMost: Ahead;
  /** All it has beside; undefined: nothing. */
  readonly resources: Resources | undefined;
  /** What is free of that, as the planner counts; undefined: nobody asks. */
  readonly free: Map<string, number> | undefined;
  /** What a job of this priority and kind lacks here is kept for it, as it comes free: no other job of this plan gets that. */
  heldFor: number | undefined;
  heldKind: string;
}

/** Places for what waits at a node. */
export interface Ahead {
  io: number;
  slots: number;
}

/** What a task takes of its node: `need` slots, or io tasks, and resources. */
export interface Want {
  readonly io: boolean;
  readonly need: number;
  readonly resources: readonly Need[];
}

/** The task could start there now. */
export function hasRoom(room: Room, { io, need, resources }: Want): boolean {
  if ((io ? room.freeIo : room.freeSlots) < need) return false;
  for (let at = 0; at < resources.length; at++) {
    const [name, units] = resources[at]!;
    if (freeOf(room, name) < units) return false;
  }
  return true;
}

/** It could wait there. */
export function hasAhead({ ahead }: Room, { io, need, resources }: Want): boolean {
  return (io ? ahead.io : ahead.slots) >= need && resources.length === 0;
}

/** It could run there if nothing else did. */
export function isLargeEnough({ slots, resources }: Room, { io, need, resources: asked }: Want): boolean {
  if (!io && slots < need) return false;
  return asked.every(([name, units]) => unitsOf(name, resources?.[name] ?? 0) >= units);
}

/** What is free of a resource, as the planner counts. */
export function freeOf({ free }: Room, name: string): number {
  return free?.get(name) ?? 0;
}

/** Takes it of what is free; less than nothing is left where a task is still to get it. */
export function take(room: Room, { io, need, resources }: Want): void {
  room.isUsed = true;
  if (io) room.freeIo -= need;
  else room.freeSlots -= need;
  for (const [name, units] of resources) room.free?.set(name, freeOf(room, name) - units);
}

/** The node that such a task would be given to, whose room is not taken; undefined: none has any. */
export function bestRoom(rooms: readonly Room[], want: Want, placement: Placement): Room | undefined {
  let best: Room | undefined;
  for (const one of rooms)
    if (hasRoom(one, want) && (best === undefined || isBetter(one, best, want, undefined, placement))) best = one;
  return best;
}

/** How many such tasks have room there together, `most` at most: takes that room. */
export function takeLanes(room: Room, want: Want, most: number): number {
  let lanes = 0;
  for (; lanes < most && hasRoom(room, want); lanes++) take(room, want);
  return lanes;
}

/** The room of so many is free again. */
export function giveLanes(room: Room, want: Want, lanes: number): void {
  for (let lane = 0; lane < lanes; lane++) giveBack(room, want);
}

function giveBack(room: Room, { io, need, resources }: Want): void {
  if (io) room.freeIo += need;
  else room.freeSlots += need;
  for (const [name, units] of resources) room.free?.set(name, freeOf(room, name) + units);
}

/**
 * The node for a task: its own if it is pinned, else another than that of the last attempt if there is one, and of those the one with the most room (spread; of several the one that was
 * given something the longest ago, or single tasks that come one by one would all go to the same), or the one with the least that is enough, among nodes that are used already if it can be (pack). Takes the room. undefined: none has room.
 */
export function chooseNode(
  rooms: readonly Room[],
  want: Want,
  task: WaitingTask,
  placement: Placement,
): NodeId | undefined {
  let best: Room | undefined;
  for (const one of rooms) {
    if (!hasRoom(one, want)) continue;
    if (task.pin !== undefined && one.node !== task.pin) continue;
    if (best === undefined || isBetter(one, best, want, task.avoid, placement)) best = one;
  }
  if (best === undefined) return undefined;
  take(best, want);
  return best.node;
}

function isBetter(one: Room, best: Room, { io }: Want, avoid: NodeId | undefined, placement: Placement): boolean {
  if (best.node === avoid && one.node !== avoid) return true;
  if (one.node === avoid) return false;
  const [free, bestFree] = io ? [one.freeIo, best.freeIo] : [one.freeSlots, best.freeSlots];
  if (placement === "spread") return free === bestFree ? one.newestFence < best.newestFence : free > bestFree;
  return one.isUsed === best.isUsed ? free < bestFree : one.isUsed;
}
