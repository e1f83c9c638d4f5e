import { assert } from "../lib/assert.ts";
import { nobody, type NodeId } from "../lib/ids.ts";

interface Write {
  readonly token: number;
  readonly term: number;
  readonly vote: NodeId;
  /** Storage holds the log up to here once this write is synced; lowered when later entries replace some of it. */
  upTo: number;
  readonly bytes: number;
  /** When it was handed over. */
  readonly since: number;
}

/**
 * What was handed to storage and is not synced yet. Storage works in order, so a finished write proves the log up to its last
 * entry, except where that was overwritten meanwhile. A truncation therefore lowers what every write under way can
 * prove: a late report cannot make a newer, unsynced entry of the same index count (the ABA race of asynchronous storage).
 */
export class Writes {
  #pending: Write[] = [];
  #token: number;
  #now = 0;
  #bytes = 0;
  /** How many ticks the newest finished one took. */
  #took = 0;
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

  /** What is under way weighs so much. */
  get bytes(): number {
    return this.#bytes;
  }

  /** For how many ticks the oldest write has been under way. */
  get age(): number {
    return this.isIdle ? 0 : this.#now - this.#pending[0]!.since;
  }

  /** How long this disk takes, in ticks: by the write under way, or the last one. */
  get slowness(): number {
    return Math.max(this.age, this.#took);
  }

  /** Starts a write of so many bytes of entries; gives its token. */
  start(term: number, vote: NodeId, upTo: number, bytes: number): number {
    this.#token += 1;
    this.#bytes += bytes;
    this.#pending.push({ token: this.#token, term, vote, upTo, bytes, since: this.#now });
    return this.#token;
  }

  truncateFrom(at: number): void {
    for (const write of this.#pending) write.upTo = Math.min(write.upTo, at - 1);
  }

  /** Storage synced everything up to this token. Gives how far the log is proven durable, or undefined for old news. */
  finished(token: number): number | undefined {
    assert(Number.isSafeInteger(token) && token <= this.#token, "a token that was never given out came back");
    let done = 0;
    while (done < this.#pending.length && this.#pending[done]!.token <= token)
      this.#bytes -= this.#pending[done++]!.bytes;
    if (done === 0) return undefined;
    const newest = this.#pending[done - 1]!;
    this.durableTerm = newest.term;
    this.durableVote = newest.vote;
    // Of several, an older one may prove more only where a newer one was handed over shorter: that is a truncation, which lowered both.
    this.#took = this.#now - newest.since;
    this.#pending.splice(0, done);
    return newest.upTo;
  }

  /** Time passes for the writes under way. */
  tick(): void {
    this.#now += 1;
  }
}
