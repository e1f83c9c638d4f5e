import type { NodeId } from "../lib/ids.ts";
import type { WaitingTask } from "../state/planning.ts";

/** A node with room for a task, while a plan is made: `free` shrinks as tasks are placed. */
export interface Candidate {
  readonly node: NodeId;
  free: number;
  /** What one task of the bucket takes. */
  readonly need: number;
}

/**
 * The node for a task: its own if it is pinned, else the one with the most room (so that work spreads), another than
 * that of the last attempt if there is one. Takes the room. undefined: none has room.
 */
export function chooseNode(candidates: readonly Candidate[], task: WaitingTask): NodeId | undefined {
  let best: Candidate | undefined;
  for (const one of candidates) {
    if (one.free < one.need) continue;
    if (task.pin !== undefined && one.node !== task.pin) continue;
    if (best === undefined || isBetter(one, best, task.avoid)) best = one;
  }
  if (best === undefined) return undefined;
  best.free -= best.need;
  return best.node;
}

function isBetter(one: Candidate, best: Candidate, avoid: NodeId | undefined): boolean {
  if (best.node === avoid && one.node !== avoid) return true;
  if (one.node === avoid) return false;
  return one.free > best.free;
}
