import { limits } from "../lib/limits.ts";

/** How much of the log is kept behind what is applied (L1). */
export interface LogBudget {
  /** Kept in any case, while they are not more bytes than that. */
  readonly trailingEntries: number;
  readonly trailingBytes: number;
  /** Kept for a follower that needs them. */
  readonly heldEntries: number;
  readonly heldBytes: number;
  /** Kept behind a snapshot for who is being given it. */
  readonly snapshotEntries: number;
  readonly snapshotBytes: number;
}

export const logBudget: LogBudget = {
  trailingEntries: limits.logTrailingEntries,
  trailingBytes: limits.logTrailingBytes,
  heldEntries: limits.logHeldEntries,
  heldBytes: limits.logHeldBytes,
  snapshotEntries: limits.logSnapshotEntries,
  snapshotBytes: limits.logSnapshotBytes,
};

/** A base is moved by at least this part of what is kept, so that moving it is rare. */
const stepShare = 8;
const samplesMax = 1024;

/**
 * Up to where the log may go. Relations: target <= durable (D3), and what lies after the target is at most the held budget, or the one for
 * snapshots while one is given, or what is not durable yet. Sizes are known from the samples that were taken while entries were applied.
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
   * beyond yet (a follower's match); `snapshot`: the lowest one from which somebody who is given a snapshot goes on; `base`: where it begins after now.
   */
  target(base: number, last: number, needed: number, snapshot: number): number | undefined {
    const { trailingEntries, trailingBytes } = this.#budget;
    const { heldEntries, heldBytes, snapshotEntries, snapshotBytes } = this.#budget;
    const keeping = (entries: number, bytes: number): number => Math.max(last - entries, this.#indexBefore(bytes));
    if (this.#damaged > base && this.#damaged <= this.#durable) return this.#damaged;
    const wished = Math.max(keeping(heldEntries, heldBytes), Math.min(keeping(trailingEntries, trailingBytes), needed));
    const allowed = Math.max(keeping(snapshotEntries, snapshotBytes), snapshot);
    const target = Math.min(this.#durable, wished, allowed);
    return target - base >= Math.max(1, trailingEntries / stepShare) ? target : undefined;
  }

  /** The newest sampled index after which more than so many bytes lie; 0 when none is known. */
  #indexBefore(bytes: number): number {
    return this.#samples.findLast((sample) => this.#bytes - sample.bytes >= bytes)?.index ?? 0;
  }
}
