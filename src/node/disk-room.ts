import type { Refusal } from "../lib/outcome.ts";

/** What of a node's data finds no room on its disk. */
export type CrampedFile = "log.db" | "state.db";

/**
 * Whether this node's disk has room (D4). What was refused for want of it was rolled back, and is written later in the same order; until then
 * the node does not lead, and refuses what it could not answer: an outcome shows in the state only, and that stands still.
 */
export class DiskRoom {
  readonly #cramped = new Set<CrampedFile>();

  get isFull(): boolean {
    return this.#cramped.size > 0;
  }

  /** True when that is news. */
  full(file: CrampedFile): boolean {
    const isNews = !this.#cramped.has(file);
    this.#cramped.add(file);
    return isNews;
  }

  /** Something was written to `file`. True when that ended the want of room. */
  written(file: CrampedFile): boolean {
    return this.#cramped.delete(file) && !this.isFull;
  }
}

/** For requests that nothing was done about. */
export const noRoom: Refusal = {
  code: "unavailable",
  message: "the disk of this node is full, and it cannot go on until there is room: ask another node",
  retryAfterMs: 1000,
  retry: "safe",
};
