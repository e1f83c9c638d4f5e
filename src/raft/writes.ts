import { assert } from "../lib/assert.ts";
import { nobody, type NodeId } from "../lib/ids.ts";

interface Write {
  readonly token: number;
  readonly term: number;
  readonly vote: NodeId;
  /** Storage holds the log up to here once this write is synced; lowered when later entries replace some of it. */
  upTo: number;
}

/**
 * What was handed to storage and is not synced yet. Storage works in order, so a finished write proves the log up to its last
 * entry, except where that was overwritten meanwhile. A truncation therefore lowers what every write under way can
 * prove: a late report cannot make a newer, unsynced entry of the same index count (the ABA race of asynchronous storage).
 */
export class Writes {
  #pending: Write[] = [];
  #token: number;
  #ticks = 0;
  /** Term and vote that are synced: what may be promised to others (D4). */
  durableTerm: number;
  durableVote: NodeId = nobody;

  constructor(token: number, term: number, vote: NodeId) {
    this.#token = token;
    this.durableTerm = term;
    this.durableVote = vote;
  }

  get isIdle(): boolean {
    return this.#pending.length === 0;
  }

  /** Starts a write; gives its token. */
  start(term: number, vote: NodeId, upTo: number): number {
    if (this.isIdle) this.#ticks = 0;
    this.#token += 1;
    this.#pending.push({ token: this.#token, term, vote, upTo });
    return this.#token;
  }

  truncateFrom(at: number): void {
    for (const write of this.#pending) write.upTo = Math.min(write.upTo, at - 1);
  }

  /** Storage synced everything up to this token. Gives how far the log is proven durable, or undefined for old news. */
  finished(token: number): number | undefined {
    assert(Number.isSafeInteger(token) && token <= this.#token, "a token that was never given out came back");
    let done = 0;
    while (done < this.#pending.length && this.#pending[done]!.token <= token) done++;
    if (done === 0) return undefined;
    const newest = this.#pending[done - 1]!;
    this.durableTerm = newest.term;
    this.durableVote = newest.vote;
    // Of several, an older one may prove more only where a newer one was handed over shorter: that is a truncation, which lowered both.
    this.#pending.splice(0, done);
    this.#ticks = 0;
    return newest.upTo;
  }

  /** Counts time on the oldest write; gives for how many ticks storage has reported nothing although it has work. */
  tick(): number {
    this.#ticks = this.isIdle ? 0 : this.#ticks + 1;
    return this.#ticks;
  }
}
