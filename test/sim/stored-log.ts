import { assert } from "../../src/lib/assert.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, nobody, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { decodeConfiguration, emptyConfiguration } from "../../src/raft/configuration.ts";
import type { Append, Configuration, Entry, HardState, Restored, SnapshotMeta, TermRun } from "../../src/raft/types.ts";
import type { StateBeside } from "../../src/storage/types.ts";

/** What is durable in one node's log.db, whatever holds it. Transactions are atomic: SQLite sees to that. */
export interface LogFile {
  readonly hardState: HardState;
  readonly base: SnapshotMeta;
  readonly lastIndex: number;
  readonly repair: Restored["repair"];
  /** How often stored entries were replaced by others. */
  readonly overwrites: number;
  /** Undefined before the base and after the end. */
  termAt(at: number): number | undefined;
  /** A process starts with it. */
  open(): void;
  /** The process ends in the middle of writing that; `kept`: it had reached the disk. */
  crash(inFlight: readonly Append[] | undefined, kept: boolean): void;
  /** The end of the run. */
  close(): void;
  /** One transaction. */
  write(appends: readonly Append[]): void;
  compact(base: SnapshotMeta): void;
  /** Brings the log in line with the state beside it at a start (D3). Throws Fault "data" when that cannot be. */
  reconcile(state: StateBeside): string | undefined;
  restored(): Restored;
  /** What is whole from there on: it ends before a damaged entry. */
  entries(from: number, to: number, maxBytes: number): readonly Entry[];
  /** Bits flip in that entry; or it reads as the entry `instead`, checksum and all. */
  damage(at: number, instead?: number): void;
  /** Every configuration that is in it, and the one at its base. */
  configurations(): readonly Configuration[];
}

/** The model: the same promises as storage/log-database.ts, in memory. */
export class StoredLog implements LogFile {
  hardState: HardState = { term: term(0), vote: nobody, commit: index(0) };
  base: SnapshotMeta = { index: index(0), term: term(0), configuration: emptyConfiguration };
  repair: Restored["repair"];
  #entries: Entry[] = [];
  readonly #damaged = new Set<number>();
  overwrites = 0;

  get lastIndex(): number {
    return this.base.index + this.#entries.length;
  }

  termAt(at: number): number | undefined {
    return at === this.base.index ? this.base.term : this.#entries[at - this.base.index - 1]?.term;
  }

  write(appends: readonly Append[]): void {
    for (const append of appends) this.#write(append);
  }

  #write({ hardState, entries, snapshot }: Append): void {
    if (hardState !== undefined) {
      assert(hardState.term >= this.hardState.term, "stored terms never fall");
      const again = hardState.term === this.hardState.term && this.hardState.vote !== nobody;
      assert(!again || hardState.vote === this.hardState.vote, "a stored vote never changes within a term");
      this.hardState = hardState;
    }
    if (snapshot !== undefined) this.#replaceBy(snapshot);
    if (entries.length > 0) {
      const first = entries[0]!.index;
      assert(first > this.base.index && first <= this.lastIndex + 1, "no gap in the stored log");
      if (first <= this.lastIndex) this.overwrites++;
      this.#truncate(first);
      for (const entry of entries) this.#entries.push(entry);
    }
    const { repair } = this;
    if (repair === undefined) return;
    if (this.lastIndex >= repair.until || this.termAt(this.lastIndex)! > repair.term) this.repair = undefined;
  }

  #truncate(first: number): void {
    this.#entries.length = first - 1 - this.base.index;
    for (const at of this.#damaged) if (at >= first) this.#damaged.delete(at);
  }

  #replaceBy(base: SnapshotMeta): void {
    assert(base.index >= this.base.index, "a base never goes back");
    this.base = base;
    this.#entries = [];
    this.#damaged.clear();
  }

  compact(base: SnapshotMeta): void {
    if (base.index <= this.base.index) return;
    this.#entries = this.#entries.slice(base.index - this.base.index);
    this.base = base;
    for (const at of this.#damaged) if (at <= base.index) this.#damaged.delete(at);
  }

  reconcile({ applied, meta, installing }: StateBeside): string | undefined {
    if (installing === applied && meta !== undefined && this.termAt(applied) !== meta.term) {
      // Of a readable entry of another history nothing follows that was committed; else what goes is remembered.
      const isOther = applied > this.base.index && applied <= this.lastIndex && !this.#damaged.has(applied);
      if (!isOther && this.lastIndex > applied) this.repair = this.#repairFor();
      this.#replaceBy(meta);
      // The snapshot may be the first that was heard of its term.
      if (this.hardState.term < meta.term) this.hardState = { ...this.hardState, term: meta.term, vote: nobody };
      return "the log begins anew after a snapshot";
    }
    if (this.#damaged.size === 0) return undefined;
    const contained = Math.max(0, ...Array.from(this.#damaged).filter((at) => at <= applied));
    const first = Math.min(Infinity, ...Array.from(this.#damaged).filter((at) => at > applied));
    if (contained > 0) {
      if (meta === undefined) throw new Fault("data", `entry ${contained} is damaged`, "never");
      this.compact(meta);
    }
    if (first < Infinity) {
      this.repair = this.#repairFor();
      this.#truncate(first);
    }
    return `entries are damaged: contained ${contained}, first other ${first}`;
  }

  #repairFor(): NonNullable<Restored["repair"]> {
    return { until: index(Math.max(this.lastIndex, this.repair?.until ?? 0)), term: this.hardState.term };
  }

  restored(): Restored {
    const termRuns: TermRun[] = [];
    const configurations: { index: Entry["index"]; configuration: Configuration }[] = [];
    for (const entry of this.#entries) {
      if (termRuns.at(-1)?.term !== entry.term) termRuns.push({ first: entry.index, term: entry.term });
      if (entry.kind === "configuration")
        configurations.push({ index: entry.index, configuration: decodeConfiguration(entry.data)! });
    }
    let bytes = 0;
    let kept = 0;
    while (kept < this.#entries.length) {
      bytes += this.#entries.at(-1 - kept)!.data.length + 64;
      if (bytes > limits.logRestoreBytes) break;
      kept++;
    }
    return {
      hardState: this.hardState,
      baseIndex: this.base.index,
      baseTerm: this.base.term,
      lastIndex: index(this.lastIndex),
      termRuns,
      baseConfiguration: this.base.configuration,
      configurations,
      window: kept === 0 ? [] : this.#entries.slice(-kept),
      repair: this.repair,
    };
  }

  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    assert(from > this.base.index, "nothing is read that was compacted");
    const found: Entry[] = [];
    let bytes = 0;
    for (let at = from; at < to; at++) {
      const entry = this.#entries[at - this.base.index - 1];
      if (entry === undefined || this.#damaged.has(at)) break;
      bytes += entry.data.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  get isDamaged(): boolean {
    return this.#damaged.size > 0;
  }

  clone(): StoredLog {
    const copy = new StoredLog();
    copy.hardState = this.hardState;
    copy.base = this.base;
    copy.repair = this.repair;
    copy.overwrites = this.overwrites;
    copy.#entries = this.#entries.slice();
    for (const at of this.#damaged) copy.#damaged.add(at);
    return copy;
  }

  open(): void {}

  crash(inFlight: readonly Append[] | undefined, kept: boolean): void {
    if (inFlight !== undefined && kept) this.write(inFlight);
  }

  close(): void {}

  damage(at: number): void {
    if (at > this.base.index && at <= this.lastIndex) this.#damaged.add(at);
  }

  configurations(): Configuration[] {
    const found = this.#entries
      .filter((entry) => entry.kind === "configuration")
      .map((entry) => decodeConfiguration(entry.data)!);
    return [this.base.configuration, ...found];
  }
}
