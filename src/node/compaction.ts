import { limits } from "../lib/limits.ts";

/** How much of the log is kept behind what is applied (L1). */
export interface LogBudget {
  /** Kept in any case, while they are not more bytes than that. */
  readonly trailingEntries: number;
  readonly trailingBytes: number;
  /** Kept for a follower that needs them. */
  readonly heldEntries: number;
  readonly heldBytes: number;
}

export const logBudget: LogBudget = {
  trailingEntries: limits.logTrailingEntries,
  trailingBytes: limits.logTrailingBytes,
  heldEntries: limits.logHeldEntries,
  heldBytes: limits.logHeldBytes,
};

/** A base is moved by at least this part of what is kept, so that moving it is rare. */
const stepShare = 8;
const samplesMax = 1024;

/**
 * Up to where the log may go. Relations: target <= durable (D3), and what lies after the target is at most the held budget, or what is not
 * durable yet. Sizes are known from the samples that were taken while entries were applied.
 */
export class Compaction {
  readonly #budget: LogBudget;
  #samples: { readonly index: number; readonly bytes: number }[] = [];
  #bytes = 0;
  #durable = 0;
  #damaged = 0;

  constructor(budget: LogBudget) {
    this.#budget = budget;
  }

  /** Entries up to `index`, `bytes` more of them than before, were handed to apply. */
  committed(index: number, bytes: number): void {
    this.#bytes += bytes;
    const last = this.#samples.at(-1);
    const isDue =
      last === undefined ||
      index - last.index >= Math.max(1, this.#budget.trailingEntries / stepShare) ||
      this.#bytes - last.bytes >= this.#budget.trailingBytes / stepShare;
    if (!isDue) return;
    this.#samples.push({ index, bytes: this.#bytes });
    if (this.#samples.length > samplesMax) this.#samples.shift();
  }

  /** What the state has durably, as far as was told. */
  get durableIndex(): number {
    return this.#durable;
  }

  /** The state has entries up to `index` durably. */
  durable(index: number): void {
    this.#durable = Math.max(this.#durable, index);
  }

  /** The log's entry of that index cannot be read: it goes as soon as the state has it durably, whoever would need it (D3). */
  damaged(index: number): void {
    this.#damaged = Math.max(this.#damaged, index);
  }

  /** The state was replaced by one that has entries up to `index`: what follows is handed to apply again. */
  reset(index: number): void {
    this.#samples = [];
    this.#durable = index;
  }

  /**
   * Where the log may begin after, or undefined when it is not worth while. `needed`: the lowest index that somebody active has not got
   * beyond yet (a follower's match, a snapshot on its way); `base`: where it begins after now.
   */
  target(base: number, last: number, needed: number): number | undefined {
    const { trailingEntries, trailingBytes, heldEntries, heldBytes } = this.#budget;
    const wished = Math.max(last - trailingEntries, this.#indexBefore(trailingBytes));
    const forced = Math.max(last - heldEntries, this.#indexBefore(heldBytes));
    if (this.#damaged > base && this.#damaged <= this.#durable) return this.#damaged;
    const target = Math.min(this.#durable, Math.max(forced, Math.min(wished, needed)));
    return target - base >= Math.max(1, trailingEntries / stepShare) ? target : undefined;
  }

  /** The newest sampled index after which more than so many bytes lie; 0 when none is known. */
  #indexBefore(bytes: number): number {
    return this.#samples.findLast((sample) => this.#bytes - sample.bytes >= bytes)?.index ?? 0;
  }
}
