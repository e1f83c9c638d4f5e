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
 *
 * What the leader has given and of which it has not heard the end is more than what waits at the node: the rest is on its way there, or its end is on its way back. Where that way is long
 * more has to be under way, or slots would stay idle however short the tasks are: so the way is measured, and a node is given what it ends in that time and in limits.aheadMs more; and twice
 * that, as long as what is given to it so does not wait there, which says that it could end more.
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

/** How much of a node's room comes free in a time: io tasks, and slots; and how long it takes to hear of that. */
export class Flow {
  /** Per millisecond. */
  io = 0;
  slots = 0;
  /** Milliseconds to the node and back: of tasks that it had room for, so that none of them has waited there. */
  #wayMs = 0;
  /** How much longer those take that were given to it beyond its room. */
  #waitedMs = 0;
  #since: number | undefined;
  #io = 0;
  #slots = 0;

  /** An attempt has ended that ran and took so many slots; 0: an io task. */
  ended(slots: number): void {
    if (slots === 0) this.#io += 1;
    else this.#slots += slots;
  }

  /** So long after a task was placed its end was heard of, and not all of that did it run. `isAhead`: there was no room for it when it was placed. */
  came(besideMs: number, isAhead: boolean): void {
    const wayMs = Math.min(limits.aheadWayMs, Math.max(0, besideMs));
    if (isAhead) this.#waitedMs += (Math.max(0, wayMs - this.#wayMs) - this.#waitedMs) / 8;
    else this.#wayMs += (wayMs - this.#wayMs) / 4;
  }

  /** For so long it is given work, by what it ends now. Longer than the way, or it would never be given more. */
  get horizonMs(): number {
    const isIdle = this.#waitedMs < limits.aheadMs / 2;
    return Math.max(limits.aheadMs, this.#wayMs + (isIdle ? this.#wayMs : Math.min(this.#wayMs, limits.aheadMs)));
  }

  look(now: number): void {
    this.#since ??= now;
    const ms = now - this.#since;
    // Over a long way much is heard of at once, and then nothing for as long.
    if (ms < Math.max(windowMs, this.#wayMs)) return;
    this.io = (this.io + this.#io / ms) / 2;
    this.slots = (this.slots + this.#slots / ms) / 2;
    this.#since = now;
    this.#io = 0;
    this.#slots = 0;
  }
}

/** Flows are counted over this time at least. */
const windowMs = 100;

/**
 * How much may be given to a node beyond its room where so much comes free per millisecond, and in the mean of all nodes `mean`. With its own flow alone a node would go on getting what it got by chance, since what it is given
 * decides about what it ends; so all are drawn to the mean, a slow one to no more than twice what it ends.
 */
export function aheadOf(flow: number, mean: number, horizonMs: number): number {
  return Math.min(limits.aheadTasks, Math.floor(horizonMs * Math.min(2 * flow, (flow + mean) / 2)));
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
