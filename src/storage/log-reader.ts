import { Database, type Statement } from "bun:sqlite";
import { Fault } from "../lib/fault.ts";
import { index, nodeId, term, type Index } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { type Configuration, decodeConfiguration, emptyConfiguration } from "../lib/configuration.ts";
import type { Entry, HardState, LogReader, Restored, TermRun } from "../raft/types.ts";
import { configurationOf, corrupt, entryOf, type EntryRow, isIntact } from "./log-format.ts";
import { asFault } from "./sqlite-errors.ts";

/** The read-only connection of the calling thread. Every statement is short: an open read would hold up the worker's checkpoints. */
export class LogDatabaseReader implements LogReader {
  readonly #path: string;
  readonly #database: Database;
  readonly #sizes: Statement;
  readonly #rows: Statement;
  readonly #firstFrom: Statement;

  /** The file must have been opened by the worker before. Throws Fault. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#database = new Database(path, { readonly: true });
      this.#database.run("pragma busy_timeout = 2000");
      this.#sizes = this.#database.prepare(
        "select length(data) as bytes from entry where idx >= ? and idx < ? order by idx limit ?",
      );
      this.#rows = this.#database.prepare("select * from entry where idx >= ? and idx < ? order by idx");
      this.#firstFrom = this.#database.prepare("select * from entry where idx >= ? order by idx limit 1");
    } catch (error) {
      throw asFault(error, path);
    }
  }

  /** As many as are whole: none when the first one is damaged or missing (D3). */
  entries(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    if (to <= from) return [];
    return this.#try(() => {
      const count = this.#countWithin(from, to, maxBytes);
      const rows = this.#rows.all(from, from + Math.max(count, 1)) as EntryRow[];
      const damaged = rows.findIndex((row, offset) => row.idx !== from + offset || !isIntact(row));
      return this.#consecutive(damaged < 0 ? rows : rows.slice(0, damaged), from);
    });
  }

  /** Sizes first (SQLite knows them without reading the data), so that a long tail is not read to be thrown away. */
  #countWithin(from: number, to: number, maxBytes: number): number {
    let bytes = 0;
    let count = 0;
    for (;;) {
      const sizes = this.#sizes.all(from + count, to, sizesAtOnce) as { bytes: number }[];
      for (const size of sizes) {
        bytes += size.bytes;
        if (count > 0 && bytes > maxBytes) return count;
        count++;
      }
      if (sizes.length < sizesAtOnce) return count;
    }
  }

  /** What raft needs to start: everything but most of the entries. */
  restore(): Restored {
    return this.#try(() => {
      const meta = this.#database.query("select * from meta").get() as MetaRow;
      const hard = this.#database.query("select * from hard").get() as { term: number; vote: number; commit: number };
      const bounds = this.#database.query(boundsText).get(meta.base_index) as Bounds;
      const hardState: HardState = { term: term(hard.term), vote: nodeId(hard.vote), commit: index(hard.commit) };
      if (bounds.first !== null && bounds.first !== meta.base_index + 1) this.#missing(meta.base_index + 1);
      const lastIndex = bounds.last ?? meta.base_index;
      return {
        hardState,
        baseIndex: index(meta.base_index),
        baseTerm: term(meta.base_term),
        lastIndex: index(lastIndex),
        termRuns: this.#termRuns(meta.base_index + 1, lastIndex),
        baseConfiguration: this.#baseConfiguration(meta),
        configurations: this.#configurations(meta.base_index),
        window: this.#window(meta.base_index + 1, lastIndex),
        repair: this.#repair(),
      };
    });
  }

  close(): void {
    this.#database.close();
  }

  #repair(): Restored["repair"] {
    const row = this.#database.query("select until, term from repair").get() as { until: number; term: number } | null;
    return row === null ? undefined : { until: index(row.until), term: term(row.term) };
  }

  #baseConfiguration(meta: MetaRow): Configuration {
    if (meta.base_configuration === null) return emptyConfiguration;
    return decodeConfiguration(meta.base_configuration) ?? this.#missing(meta.base_index);
  }

  /** Each term's first entry, found by halving: terms never fall along the log. */
  #termRuns(first: number, last: number): TermRun[] {
    const runs: TermRun[] = [];
    let at = first;
    while (at <= last) {
      const run = this.#entryAt(at);
      runs.push({ first: run.index, term: run.term });
      let low = at + 1;
      let high = last + 1;
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (this.#entryAt(middle).term > run.term) high = middle;
        else low = middle + 1;
      }
      at = low;
    }
    return runs;
  }

  #configurations(base: number): Restored["configurations"] {
    const rows = this.#database
      .query("select * from entry indexed by entry_configuration where kind = 2 and idx > ? order by idx")
      .all(base) as EntryRow[];
    return rows.map((row) => {
      const entry = entryOf(row, this.#path);
      return { index: entry.index, configuration: configurationOf(entry, this.#path) };
    });
  }

  #window(first: number, last: number): readonly Entry[] {
    let bytes = 0;
    let start = last + 1;
    const sizes = this.#database.query("select length(data) as bytes from entry where idx = ?");
    while (start > first) {
      const size = sizes.get(start - 1) as { bytes: number } | null;
      if (size === null) return this.#missing(start - 1);
      bytes += size.bytes + entryOverheadBytes;
      if (bytes > limits.logRestoreBytes) break;
      start--;
    }
    return this.#consecutive(this.#rows.all(start, last + 1) as EntryRow[], start);
  }

  #entryAt(at: number): Entry {
    const row = this.#firstFrom.get(at) as EntryRow | null;
    return row === null || row.idx !== at ? this.#missing(at) : entryOf(row, this.#path);
  }

  /** A gap is as bad as a wrong checksum, and never the end of the log (D3). */
  #consecutive(rows: readonly EntryRow[], from: number): readonly Entry[] {
    return rows.map((row, offset) =>
      row.idx === from + offset ? entryOf(row, this.#path) : this.#missing(from + offset),
    );
  }

  #missing(at: number): never {
    throw corrupt(at, this.#path, "it is missing");
  }

  #try<Value>(read: () => Value): Value {
    try {
      return read();
    } catch (error) {
      throw error instanceof Fault ? error : asFault(error, this.#path);
    }
  }
}

const sizesAtOnce = 1024;

/** Counted per entry of the window beside its data, so that millions of empty entries do not pass for nothing. */
const entryOverheadBytes = 64;

/** Two lookups at the ends; min and max in one select would read the whole table. Rows up to the base are compacted, if not deleted yet. */
const boundsText =
  "select (select min(idx) from entry where idx > ?1) as first, (select max(idx) from entry where idx > ?1) as last";

interface MetaRow {
  readonly base_index: number;
  readonly base_term: number;
  readonly base_configuration: Uint8Array | null;
}

interface Bounds {
  readonly first: number | null;
  readonly last: number | null;
}
