import { assert } from "../../src/lib/assert.ts";
import { index, nobody, term } from "../../src/lib/ids.ts";
import { emptyConfiguration, decodeConfiguration } from "../../src/raft/configuration.ts";
import type { Append, Configuration, Entry, HardState, LogReader, Restored, TermRun } from "../../src/raft/types.ts";

/** A disk with a cache: appends are pending until synced; a crash keeps any number of the oldest pending ones. */
export class ModelStore implements LogReader {
  hardState: HardState = { term: term(0), vote: nobody, commit: index(0) };
  entriesDurable: Entry[] = [];
  pending: Append[] = [];
  /** The newest entries given back to a restarted machine; few, so that the reader is used. */
  windowEntries = 3;
  /** How often stored entries were replaced by others. */
  overwrites = 0;

  append(append: Append): void {
    this.pending.push(append);
  }

  /** Makes the oldest `count` pending appends durable; gives the newest token of them. */
  sync(count = this.pending.length): number | undefined {
    let token: number | undefined;
    for (const append of this.pending.splice(0, count)) {
      this.#write(append);
      token = append.token;
    }
    return token;
  }

  /** The process died: `survived` of the pending appends had reached the disk, the others are gone. */
  crash(survived = 0): void {
    this.sync(survived);
    this.pending = [];
  }

  #write(append: Append): void {
    const { hardState, entries } = append;
    if (hardState !== undefined) {
      assert(hardState.term >= this.hardState.term, "stored terms never fall");
      const revote = hardState.term === this.hardState.term && this.hardState.vote !== nobody;
      assert(!revote || hardState.vote === this.hardState.vote, "a stored vote never changes within a term");
      this.hardState = hardState;
    }
    if (entries.length === 0) return;
    const first = entries[0]!.index;
    assert(first <= this.entriesDurable.length + 1, "no gap in the stored log");
    if (first <= this.entriesDurable.length) this.overwrites++;
    this.entriesDurable.length = first - 1;
    this.entriesDurable.push(...entries);
  }

  holds(at: number, entryTerm: number): boolean {
    return this.entriesDurable[at - 1]?.term === entryTerm;
  }

  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.entriesDurable.slice(from - 1, to - 1)) {
      bytes += entry.data.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  restored(): Restored {
    const termRuns: TermRun[] = [];
    const configurations: { index: Entry["index"]; configuration: Configuration }[] = [];
    for (const entry of this.entriesDurable) {
      if (termRuns.at(-1)?.term !== entry.term) termRuns.push({ first: entry.index, term: entry.term });
      if (entry.kind === "configuration") {
        configurations.push({ index: entry.index, configuration: decodeConfiguration(entry.data)! });
      }
    }
    return {
      hardState: this.hardState,
      baseIndex: index(0),
      baseTerm: term(0),
      lastIndex: index(this.entriesDurable.length),
      termRuns,
      baseConfiguration: emptyConfiguration,
      configurations,
      window: this.entriesDurable.slice(-this.windowEntries),
    };
  }
}
