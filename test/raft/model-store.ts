import { assert } from "../../src/lib/assert.ts";
import { index, nobody, term } from "../../src/lib/ids.ts";
import { emptyConfiguration, decodeConfiguration } from "../../src/raft/configuration.ts";
import type {
  Append,
  Configuration,
  Entry,
  HardState,
  LogReader,
  Restored,
  SnapshotMeta,
  TermRun,
} from "../../src/raft/types.ts";
import type { StateBeside } from "../../src/storage/types.ts";
import { check } from "./violation.ts";

/** A disk with a cache: appends are pending until synced; a crash keeps any number of the oldest pending ones. */
export class ModelStore implements LogReader {
  hardState: HardState = { term: term(0), vote: nobody, commit: index(0) };
  /** The entry before the first one kept. */
  base: SnapshotMeta = { index: index(0), term: term(0), configuration: emptyConfiguration };
  entriesDurable: Entry[] = [];
  pending: Append[] = [];
  repair: Restored["repair"];
  /** The newest entries given back to a restarted machine; few, so that the reader is used. */
  windowEntries = 3;
  /** Indexes of entries whose bytes went wrong while the node runs: it finds out when it reads them. */
  readonly unreadable = new Set<number>();
  /** How often stored entries were replaced by others. */
  overwrites = 0;
  /** The disk said that it failed: its process must end. */
  failed = false;

  append(append: Append): void {
    this.pending.push(append);
  }

  get lastIndex(): number {
    return this.base.index + this.entriesDurable.length;
  }

  /** Undefined before the base and after the end. */
  termAt(at: number): number | undefined {
    return at === this.base.index ? this.base.term : this.entryAt(at)?.term;
  }

  entryAt(at: number): Entry | undefined {
    return this.entriesDurable[at - this.base.index - 1];
  }

  /** Makes the oldest `count` pending appends durable; gives the newest token of them. */
  sync(count = this.pending.length): number | undefined {
    let token: number | undefined;
    for (const append of this.pending.splice(0, count)) {
      this.write(append);
      token = append.token;
    }
    return token;
  }

  /** The process died: `survived` of the pending appends had reached the disk, the others are gone. Gives what it had still been told of. */
  crash(survived = 0): number | undefined {
    for (const append of this.pending.splice(0, survived)) this.write(append);
    this.pending = [];
    return undefined;
  }

  /** Whether the next sync fails, where there is a disk under it. */
  failNextSync(_will: boolean): void {}

  /**
   * A process starts, with a state beside the log. One that is ahead of it, or of another history: a snapshot was installed and the log not told;
   * the state is trusted.
   */
  open({ applied, meta }: StateBeside): Restored {
    if (meta !== undefined && this.termAt(applied) !== meta.term) this.beginAnew(meta);
    return this.restored();
  }

  close(): void {}

  protected write(append: Append): void {
    const { hardState, entries, snapshot } = append;
    if (hardState !== undefined) {
      check("nothing-goes-back", hardState.term >= this.hardState.term, "stored terms never fall");
      const revote = hardState.term === this.hardState.term && this.hardState.vote !== nobody;
      check(
        "one-vote-per-term",
        !revote || hardState.vote === this.hardState.vote,
        "a stored vote never changes within a term",
      );
      this.hardState = hardState;
    }
    if (snapshot !== undefined) this.reset(snapshot);
    if (entries.length > 0) {
      const first = entries[0]!.index;
      check("storage-model", first > this.base.index && first <= this.lastIndex + 1, "no gap in the stored log");
      if (first <= this.lastIndex) this.overwrites++;
      this.entriesDurable.length = first - 1 - this.base.index;
      this.entriesDurable.push(...entries);
    }
    const { repair } = this;
    const isPast =
      repair !== undefined && (this.lastIndex >= repair.until || this.termAt(this.lastIndex)! > repair.term);
    if (isPast) this.repair = undefined;
  }

  /** The node ended between the new state and the new log: the log begins anew, in the state's term if none later was heard of. */
  beginAnew(base: SnapshotMeta): void {
    this.reset(base);
    if (this.hardState.term < base.term) this.hardState = { ...this.hardState, term: base.term, vote: nobody };
  }

  /** A new, empty disk. */
  wipe(): void {
    this.hardState = { term: term(0), vote: nobody, commit: index(0) };
    this.base = { index: index(0), term: term(0), configuration: emptyConfiguration };
    this.entriesDurable = [];
    this.pending = [];
    this.repair = undefined;
  }

  /** The log is empty after this base. */
  reset(base: SnapshotMeta): void {
    check("nothing-goes-back", base.index >= this.base.index, "a base never goes back");
    this.base = base;
    this.entriesDurable = [];
  }

  compact(base: SnapshotMeta): void {
    this.entriesDurable = this.entriesDurable.slice(base.index - this.base.index);
    this.base = base;
  }

  /** Bytes of this entry are lost on disk: it and what follows cannot be used, and what was promised is remembered (D3). */
  damage(at: number): void {
    const until = index(Math.max(this.lastIndex, this.repair?.until ?? 0));
    this.repair = { until, term: this.hardState.term };
    this.entriesDurable.length = at - 1 - this.base.index;
  }

  /** That entry, or what it led to in a state that is in its place. */
  holds(at: number, entryTerm: number): boolean {
    return at <= this.base.index || this.termAt(at) === entryTerm;
  }

  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    assert(from > this.base.index, "nothing is read that was compacted");
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.entriesDurable.slice(from - this.base.index - 1, to - this.base.index - 1)) {
      bytes += entry.data.length;
      if ((found.length > 0 && bytes > maxBytes) || this.unreadable.has(entry.index)) break;
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
      baseIndex: this.base.index,
      baseTerm: this.base.term,
      lastIndex: index(this.lastIndex),
      termRuns,
      baseConfiguration: this.base.configuration,
      configurations,
      window: this.windowEntries === 0 ? [] : this.entriesDurable.slice(-this.windowEntries),
      repair: this.repair,
    };
  }
}
