import { defaultPriority, slotsTaken } from "../lib/room.ts";
import type { Spec } from "../state/types.ts";

/**
 * Who begins next on this node. The leader gives short work ahead of the node's room (scheduler/ahead.ts): it waits here, and begins as room comes free, by priority and
 * then in the order in which it came. More than the node has room for never runs at once, whatever it was given.
 */

/** What runs at once on a node. */
export interface Capacity {
  readonly slots: number;
  /** Tasks that take no slot. */
  readonly ioTasks: number;
}

/** What is free of it. */
export class Room {
  readonly #all: Capacity;
  #slots = 0;
  #io = 0;

  constructor(all: Capacity) {
    this.#all = all;
  }

  /** A task that takes more than there is at all runs alone: its node was larger when it was given it. */
  has(slots: number): boolean {
    if (slots === 0) return this.#io === 0 || this.#io < this.#all.ioTasks;
    return this.#slots === 0 || this.#slots + slots <= this.#all.slots;
  }

  take(slots: number): void {
    if (slots === 0) this.#io += 1;
    else this.#slots += slots;
  }

  give(slots: number): void {
    if (slots === 0) this.#io -= 1;
    else this.#slots -= slots;
  }
}

/** Something that waits for its turn. */
export interface Waiting {
  readonly slots: number;
  readonly priority: number;
}

/** What a task with this spec waits for, and before whom. */
export function waitingOf(spec: Spec | undefined): Waiting {
  return { slots: slotsTaken(spec ?? {}), priority: spec?.priority ?? defaultPriority };
}

/** What waits for its turn, in the order in which it begins. */
export class Turns<Item extends Waiting> {
  /** By priority, the highest first; what takes slots and what takes none wait for different things. */
  readonly #lines: { readonly priority: number; readonly isIo: boolean; readonly line: Line<Item> }[] = [];

  add(item: Item): void {
    const { priority } = item;
    const isIo = item.slots === 0;
    let at = this.#lines.findIndex((one) => one.priority <= priority);
    if (at < 0) at = this.#lines.length;
    for (; this.#lines[at]?.priority === priority; at++) if (this.#lines[at]!.isIo === isIo) break;
    const known = this.#lines[at];
    if (known?.priority === priority) known.line.add(item);
    else {
      const line = new Line<Item>();
      line.add(item);
      this.#lines.splice(at, 0, { priority, isIo, line });
    }
  }

  /** The next one that there is room for, which waits no more; undefined: there is none. `stillWaits`: others are left out, and forgotten. */
  next(room: Room, stillWaits: (item: Item) => boolean): Item | undefined {
    const isFull = { io: false, slots: false };
    for (let at = 0; at < this.#lines.length; at++) {
      const { line, isIo } = this.#lines[at]!;
      const kind = isIo ? "io" : "slots";
      let first = line.first();
      while (first !== undefined && !stillWaits(first)) {
        line.takeFirst();
        first = line.first();
      }
      if (first === undefined) this.#lines.splice(at--, 1);
      else if (isFull[kind] || !room.has(first.slots)) isFull[kind] = true;
      else {
        line.takeFirst();
        return first;
      }
    }
    return undefined;
  }
}

/** First in, first out. */
class Line<Item> {
  #items: Item[] = [];
  #head = 0;

  add(item: Item): void {
    this.#items.push(item);
  }

  first(): Item | undefined {
    return this.#items[this.#head];
  }

  takeFirst(): void {
    this.#head += 1;
    if (this.#head < 1024 || this.#head * 2 < this.#items.length) return;
    this.#items = this.#items.slice(this.#head);
    this.#head = 0;
  }
}
