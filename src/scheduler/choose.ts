import type { NodeId } from "../lib/ids.ts";
import type { Labels } from "../lib/selector.ts";
import type { WaitingTask } from "../state/planning.ts";

/** A node that may be given work, while a plan is made: what is free shrinks as tasks are placed. */
export interface Room {
  readonly node: NodeId;
  readonly labels: Labels;
  /** All its slots, taken ones too. */
  readonly slots: number;
  freeSlots: number;
  freeIo: number;
  /** Its free slots are kept for a job of this priority that needs more than are free: no other job of this plan gets them. */
  heldFor: number | undefined;
}

/** What a task takes of its node: `need` slots, or io tasks. */
export interface Want {
  readonly io: boolean;
  readonly need: number;
}

/** The task could start there now. */
export function hasRoom(room: Room, { io, need }: Want): boolean {
  return io ? room.freeIo >= need : room.heldFor === undefined && room.freeSlots >= need;
}

/**
 * The node for a task: its own if it is pinned, else the one with the most room (so that work spreads), another than
 * that of the last attempt if there is one. Takes the room. undefined: none has room.
 */
export function chooseNode(rooms: readonly Room[], want: Want, task: WaitingTask): NodeId | undefined {
  let best: Room | undefined;
  for (const one of rooms) {
    if (!hasRoom(one, want)) continue;
    if (task.pin !== undefined && one.node !== task.pin) continue;
    if (best === undefined || isBetter(one, best, want, task.avoid)) best = one;
  }
  if (best === undefined) return undefined;
  if (want.io) best.freeIo -= want.need;
  else best.freeSlots -= want.need;
  return best.node;
}

function isBetter(one: Room, best: Room, { io }: Want, avoid: NodeId | undefined): boolean {
  if (best.node === avoid && one.node !== avoid) return true;
  if (one.node === avoid) return false;
  return io ? one.freeIo > best.freeIo : one.freeSlots > best.freeSlots;
}
