import { assert } from "../lib/assert.ts";
import { index as toIndex } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Entry, LogReader } from "../raft/types.ts";

/**
 * The hash chain over committed entries: each value covers its entry (place, term, kind, bytes) and the value before it. It begins anew every
 * limits.relayChainEntries, so that every node can compute it from a stretch of its log, whoever restarted, and old stretches need not be kept.
 *
 * A feeder passes on the value that it checked when the entries came, not one that it computes from what it has when it sends: bytes that were
 * damaged in between, by memory, disk or a defect, do not fit it, and the learner below refuses them before it stores anything. It finds accidents,
 * not liars: members trust each other (any of them may propose anything), and what a whole node has wrong shows in the hashes of states (S1).
 */
export class EntryChain {
  #head: number;
  /** undefined: not known before the next beginning. */
  #value: bigint | undefined;
  /** By index modulo its length; what is older than that is forgotten. */
  readonly #values = new BigUint64Array(limits.relayChainKept);
  /** The first index of those kept without a gap. */
  #keptFrom: number;

  /** `reader` and `base` say what of the log is there: the value at `head` is computed when its whole stretch is. */
  constructor(head: number, base: number, reader: LogReader) {
    const within = (head - 1) % limits.relayChainEntries;
    const from = head === 0 ? 0 : head - 1 - within;
    this.#head = from;
    this.#value = undefined;
    this.#keptFrom = from + 1;
    if (from >= base && from < head) {
      while (this.#head < head) {
        const next = toIndex(this.#head + 1);
        const entries = reader.entries(next, toIndex(head + 1), limits.appendMessageBytes);
        if (entries.length === 0) break; // damaged: the value is known from the next beginning on
        this.advance(entries);
      }
    }
    this.#head = head;
  }

  /** The entry whose value is {@link value}. */
  get head(): number {
    return this.#head;
  }

  /** In the form that travels; "": not known. */
  get value(): string {
    return text(this.#value);
  }

  /** The value at an entry that was seen not long ago; "": not known (any more). */
  at(index: number): string {
    if (index === this.#head) return this.value;
    const isKept = index < this.#head && index >= this.#keptFrom && this.#head - index < limits.relayChainKept;
    return isKept ? text(this.#values[index % limits.relayChainKept]) : "";
  }

  /** Goes on over committed entries, the first of which is at most the one after {@link head}; those that it has seen are skipped. */
  advance(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index <= this.#head) continue;
      assert(entry.index === this.#head + 1, "no committed entry is left out of the chain: it would stand still");
      this.#head = entry.index;
      this.#value = link(this.#value, entry);
      if (this.#value === undefined) this.#keptFrom = entry.index + 1;
      else this.#values[entry.index % limits.relayChainKept] = this.#value;
    }
  }

  /** What follows on from {@link head}: is `after` the value that these lead to? True as well where it cannot be known. */
  leadsTo(entries: readonly Entry[], after: string): boolean {
    let value = this.#value;
    for (const entry of entries) value = link(value, entry);
    return value === undefined || after === "" || text(value) === after;
  }

  /** Not known here, as after a snapshot: taken over from who feeds. */
  adopt(value: string): void {
    if (this.#value === undefined && /^[0-9a-f]{1,16}$/.test(value)) this.#value = BigInt(`0x${value}`);
  }

  /** What was not seen up to this entry never will be: it is known again from there on, or from the next beginning. */
  skipTo(head: number): void {
    if (head > this.#head) this.reset(head);
  }

  /** The state goes on from a snapshot of this entry. */
  reset(head: number): void {
    this.#head = head;
    this.#value = undefined;
    this.#keptFrom = head + 1;
  }
}

const kinds = ["noop", "command", "configuration"] as const;

function link(before: bigint | undefined, entry: Entry): bigint | undefined {
  const seed = entry.index % limits.relayChainEntries === 1 ? 0n : before;
  if (seed === undefined) return undefined;
  place[0] = entry.index;
  place[1] = entry.term;
  place[2] = kinds.indexOf(entry.kind);
  return Bun.hash.wyhash(entry.data, Bun.hash.wyhash(place, seed));
}

const place = new Float64Array(3);

const text = (value: bigint | undefined): string => (value === undefined ? "" : value.toString(16));
