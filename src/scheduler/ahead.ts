import { limits } from "../lib/limits.ts";
import type { Driver } from "../state/types.ts";
import { freeOf, hasAhead, type Room, type Want } from "./choose.ts";
import type { PlannedJob } from "./queues.ts";
import { Pace } from "./unit-size.ts";

/**
 * Work ahead. A node that is given no more than it runs at once is idle from the end of a task until the next one has come: the end is committed, the leader
 * plans, the assignment is committed, a lease names it. So short tasks are given to a node beyond its room, and it begins them by itself as others end
 * (executor/turns.ts). What waits there is about limits.aheadMs of its work: that is how long a task of a higher priority waits longer than it would otherwise, and a task of a
 * node that has become slow. Only what is known to be short waits so, and only what loses nothing by it: see mayWait of the planner's jobs.
 */

/** How long tasks take that are alike: of one submitter, carried out by one driver. */
export class Paces {
  readonly #paces = new Map<string, Map<Driver, Pace>>();

  of(submitter: string, driver: Driver): Pace {
    let own = this.#paces.get(submitter);
    if (own === undefined) this.#paces.set(submitter, (own = new Map()));
    let pace = own.get(driver);
    if (pace === undefined) own.set(driver, (pace = new Pace()));
    return pace;
  }
}

/** How much of a node's room comes free in a time: io tasks, and slots. */
export class Flow {
  /** Per millisecond. */
  io = 0;
  slots = 0;
  #since: number | undefined;
  #io = 0;
  #slots = 0;

  /** An attempt has ended that ran and took so many slots; 0: an io task. */
  ended(slots: number): void {
    if (slots === 0) this.#io += 1;
    else this.#slots += slots;
  }

  look(now: number): void {
    this.#since ??= now;
    const ms = now - this.#since;
    if (ms < windowMs) return;
    this.io = (this.io + this.#io / ms) / 2;
    this.slots = (this.slots + this.#slots / ms) / 2;
    this.#since = now;
    this.#io = 0;
    this.#slots = 0;
  }
}

/** Flows are counted over this time. */
const windowMs = 100;

/**
 * How much may wait at a node where so much comes free per millisecond, and in the mean of all nodes `mean`. With its own flow alone a node would go on getting what it got by chance, since what it is given
 * decides about what it ends; so all are drawn to the mean, a slow one to no more than twice what it ends.
 */
export function aheadOf(flow: number, mean: number): number {
  return Math.min(limits.aheadTasks, Math.floor(limits.aheadMs * Math.min(2 * flow, (flow + mean) / 2)));
}

/** A task of it may wait at a node: it is short, as far as is known, and takes no more than what one other leaves. */
export function mayWait({ mayWait: may, pace, io, slots }: PlannedJob): boolean {
  return may && (io || slots === 1) && pace.isShort;
}

/** The node where a task waits the shortest, whose place is taken; undefined: there is none. */
export function chooseAhead(rooms: readonly Room[], want: Want, avoid: number | undefined): Room["node"] | undefined {
  let best: Room | undefined;
  for (const one of rooms)
    if (hasAhead(one, want) && (best === undefined || isSooner(one, best, want, avoid))) best = one;
  if (best === undefined) return undefined;
  if (want.io) best.ahead.io -= 1;
  else best.ahead.slots -= want.need;
  return best.node;
}

function isSooner(one: Room, best: Room, { io }: Want, avoid: number | undefined): boolean {
  if ((one.node === avoid) !== (best.node === avoid)) return best.node === avoid;
  const kind = io ? "io" : "slots";
  return one.ahead[kind] * best.aheadMost[kind] > best.ahead[kind] * one.aheadMost[kind];
}

/**
 * A task found no room on these nodes: nothing more is given to them ahead, else what comes free would always be taken already. Where it is not room that it lacks,
 * it loses nothing.
 */
export function stopAhead(rooms: Iterable<Room>, { io, resources }: Want): void {
  for (const room of rooms) {
    if (!resources.every(([name, units]) => freeOf(room, name) >= units)) continue;
    if (io) room.ahead.io = 0;
    else room.ahead.slots = 0;
  }
}
