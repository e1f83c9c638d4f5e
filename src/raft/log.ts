import { assert } from "../lib/assert.ts";
import { index, term, type Index, type Term } from "../lib/ids.ts";
import type { Entry, LogReader, Restored } from "./types.ts";

/**
 * The log as the machine sees it: the term of every index (as runs), the newest entries in memory (the window), older
 * ones through the reader. Relations that always hold:
 *   base <= durable <= handedOver <= last;  windowFirst <= handedOver + 1;  what left the window is durable.
 */
export class Log {
  readonly #reader: LogReader;
  readonly #windowBytesMax: number;
  #baseIndex: number;
  #baseTerm: number;
  #runs: { readonly first: number; readonly term: number }[];
  #window: Entry[];
  #windowFirst: number;
  #windowBytes = 0;
  #last: number;
  #lastTerm: number;
  #handedOver: number;
  #durable: number;

  constructor(restored: Restored, reader: LogReader, windowBytesMax: number) {
    this.#reader = reader;
    this.#windowBytesMax = windowBytesMax;
    this.#baseIndex = restored.baseIndex;
    this.#baseTerm = restored.baseTerm;
    this.#runs = [...restored.termRuns];
    this.#last = restored.lastIndex;
    this.#lastTerm = this.#runs.at(-1)?.term ?? restored.baseTerm;
    this.#window = [...restored.window];
    this.#windowFirst = this.#last - this.#window.length + 1;
    this.#handedOver = this.#last;
    this.#durable = this.#last;
    for (const entry of this.#window) this.#windowBytes += entryBytes(entry);
    assert(this.#last >= this.#baseIndex, "a log ends at or after its base");
    assert(this.#windowFirst > this.#baseIndex, "the window begins after the log's base");
    assert(
      this.#last === this.#baseIndex || this.#runs[0]?.first === this.#baseIndex + 1,
      "term runs begin after the base",
    );
    assert(
      this.#window.length === 0 || this.#window[0]!.index === this.#windowFirst,
      "the window ends at the last index",
    );
  }

  /** The entry before the first one kept; its term is known. */
  get baseIndex(): number {
    return this.#baseIndex;
  }

  get lastIndex(): number {
    return this.#last;
  }

  get lastTerm(): number {
    return this.#lastTerm;
  }

  /** Synced up to here. */
  get durable(): number {
    return this.#durable;
  }

  /** True when entries wait to be handed to storage. */
  get hasUnsaved(): boolean {
    return this.#handedOver < this.#last;
  }

  /** undefined: before the base (compacted) or after the end. */
  termAt(at: number): Term | undefined {
    if (at > this.#last || at < this.#baseIndex) return undefined;
    if (at === this.#baseIndex) return term(this.#baseTerm);
    return term(this.#runs[this.#runAt(at)]!.term);
  }

  /** The run that holds `at`, which must be an index after the base. */
  #runAt(at: number): number {
    let low = 0;
    let high = this.#runs.length - 1;
    if (this.#runs[high]!.first <= at) return high;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#runs[middle]!.first <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The highest index <= `at` whose term is <= `termMax`: where logs may agree at best (conflict hint, O(terms)). */
  lastIndexWithTermAtMost(at: number, termMax: number): number {
    let candidate = Math.min(at, this.#last);
    if (candidate <= this.#baseIndex) return this.#baseIndex;
    for (let run = this.#runAt(candidate); run >= 0; run--) {
      if (this.#runs[run]!.term <= termMax) return candidate;
      candidate = this.#runs[run]!.first - 1;
    }
    return candidate;
  }

  append(entry: Entry): void {
    assert(entry.index === this.#last + 1, "entries are appended without a gap");
    assert(entry.term >= this.#lastTerm, "terms never fall along a log");
    if (entry.term !== this.#lastTerm || this.#runs.length === 0)
      this.#runs.push({ first: entry.index, term: entry.term });
    this.#window.push(entry);
    this.#windowBytes += entryBytes(entry);
    this.#last = entry.index;
    this.#lastTerm = entry.term;
  }

  /** Drops `at` and everything after it. What was already handed to storage is replaced by the next entries there. */
  truncateFrom(at: number): void {
    assert(at > this.#baseIndex && at <= this.#last, "a truncation begins inside the log");
    while (this.#runs.length > 0 && this.#runs[this.#runs.length - 1]!.first >= at) this.#runs.pop();
    while (this.#window.length > 0 && this.#window[this.#window.length - 1]!.index >= at) {
      this.#windowBytes -= entryBytes(this.#window.pop()!);
    }
    if (this.#windowFirst > at) this.#windowFirst = at;
    this.#last = at - 1;
    this.#lastTerm = this.#runs[this.#runs.length - 1]?.term ?? this.#baseTerm;
    this.#handedOver = Math.min(this.#handedOver, at - 1);
    this.#durable = Math.min(this.#durable, at - 1);
  }

  /** Entries that no append has carried yet; from now on they count as handed over. */
  takeUnsaved(): readonly Entry[] {
    if (!this.hasUnsaved) return noEntries;
    const entries = this.#window.slice(this.#handedOver + 1 - this.#windowFirst);
    assert(entries[0]!.index === this.#handedOver + 1, "unsaved entries are in the window");
    this.#handedOver = this.#last;
    return entries;
  }

  /** Storage has synced up to `upTo`, which was not overwritten since (writes.ts sees to that). */
  saved(upTo: number): void {
    assert(upTo <= this.#handedOver, "nothing is durable that was not handed over");
    if (upTo > this.#durable) this.#durable = upTo;
  }

  /** The log begins after `base` from now on; what was before it is in the state. */
  compactTo(base: number): void {
    assert(base > this.#baseIndex && base <= this.#durable, "what is compacted is durable");
    this.#baseTerm = this.termAt(base)!;
    const place = this.#runAt(base);
    const run = { first: base + 1, term: this.#baseTerm };
    const goesOn = base < this.#last && (this.#runs[place + 1]?.first ?? Infinity) > base + 1;
    this.#runs = [...(goesOn ? [run] : []), ...this.#runs.slice(place + 1)];
    this.#baseIndex = base;
    let count = 0;
    while (count < this.#window.length && this.#window[count]!.index <= base)
      this.#windowBytes -= entryBytes(this.#window[count++]!);
    this.#window.splice(0, count);
    this.#windowFirst = Math.max(this.#windowFirst, base + 1);
  }

  /** The log is empty after this entry, which a snapshot stands for. */
  restore(base: number, baseTerm: number): void {
    this.#baseIndex = this.#last = this.#handedOver = this.#durable = base;
    this.#baseTerm = this.#lastTerm = baseTerm;
    this.#runs = [];
    this.#window = [];
    this.#windowFirst = base + 1;
    this.#windowBytes = 0;
  }

  /** Entries of [from, to), fewer past maxBytes, but at least one; none when the first is damaged on disk. Throws the reader's Fault. */
  slice(from: number, to: number, maxBytes: number): readonly Entry[] {
    assert(from > this.#baseIndex && from < to && to <= this.#last + 1, "a slice lies inside the log");
    if (from < this.#windowFirst) return this.#read(from, Math.min(to, this.#windowFirst), maxBytes);
    const first = from - this.#windowFirst;
    let count = 1;
    let bytes = entryBytes(this.#window[first]!);
    while (from + count < to) {
      bytes += entryBytes(this.#window[first + count]!);
      if (bytes > maxBytes) break;
      count++;
    }
    return this.#window.slice(first, first + count);
  }

  /** True when a slice from here needs the reader (a disk read). */
  isEvicted(at: number): boolean {
    return at < this.#windowFirst;
  }

  #read(from: number, end: number, maxBytes: number): readonly Entry[] {
    // The reader counts data alone: small entries are bounded by their number.
    const to = Math.min(end, from + Math.max(1, Math.floor(maxBytes / entryOverheadBytes)));
    const entries = this.#reader.entries(index(from), index(to), maxBytes);
    assert(entries.length <= to - from, "the reader gives no extra entry");
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at]!;
      assert(
        entry.index === from + at && entry.term === this.termAt(from + at),
        "the reader gives the entries asked for",
      );
    }
    return entries;
  }

  /** Sum over [from, to]; entries that are no longer in memory count as nothing. */
  bytesBetween(from: number, to: number): number {
    let bytes = 0;
    for (let at = Math.max(from, this.#windowFirst); at <= to; at++)
      bytes += entryBytes(this.#window[at - this.#windowFirst]!);
    return bytes;
  }

  /**
   * Shrinks the window to its limit, by an eighth more so that this is rare. Only what is durable and committed up to `upTo` may go: it is
   * read back for a follower, or for an apply that is behind.
   */
  evict(upTo: number): void {
    assert(upTo <= this.#durable, "what leaves the window is durable");
    if (this.#windowBytes <= this.#windowBytesMax) return;
    const target = this.#windowBytesMax - (this.#windowBytesMax >>> 3);
    let count = 0;
    while (this.#windowBytes > target && count < this.#window.length && this.#window[count]!.index <= upTo) {
      this.#windowBytes -= entryBytes(this.#window[count]!);
      count++;
    }
    if (count === 0) return;
    this.#window.splice(0, count);
    this.#windowFirst += count;
  }
}

export const noEntries: readonly Entry[] = [];

/** What an entry takes beside its data, in memory and in a message: a guess on the safe side. */
const entryOverheadBytes = 64;

/** What an entry counts for in limits. */
export function entryBytes(entry: Entry): number {
  return entry.data.length + entryOverheadBytes;
}

/** What these entries weigh in messages and windows. */
export function bytesOf(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes;
}

/** The highest index of a list of entries, or `otherwise` when it is empty. */
export function lastIndexOf(entries: readonly Entry[], otherwise: number): Index {
  return index(entries.length === 0 ? otherwise : entries[entries.length - 1]!.index);
}
