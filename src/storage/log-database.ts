import { Database, type Statement } from "bun:sqlite";
import { dirname } from "node:path";
import { Fault } from "../lib/fault.ts";
import { encodeConfiguration } from "../lib/configuration.ts";
import type { HardState, SnapshotMeta } from "../raft/types.ts";
import { syncDirectory } from "../lib/files.ts";
import { fileFault, makeDatabaseFile } from "./files.ts";
import { type EntryRow, entryChecksum, isIntact, logSchema, logVersion, repairSchema } from "./log-format.ts";
import { LogMark } from "./log-mark.ts";
import type { StateBeside } from "./types.ts";
import { checkSqliteVersion } from "./sqlite-errors.ts";
import { walDamageOf } from "./wal-damage.ts";

/**
 * An append as it travels to the worker: flat, with the data of all entries in one buffer of its own. A structured clone of the
 * entries would copy the whole buffer that each small view belongs to.
 */
export interface PackedAppend {
  readonly token: number;
  readonly hardState: HardState | undefined;
  readonly snapshot: SnapshotMeta | undefined;
  /** Index of the first entry; 0 without entries. */
  readonly first: number;
  readonly terms: readonly number[];
  readonly kinds: readonly number[];
  readonly lengths: readonly number[];
  readonly data: Uint8Array;
}

/** Compacted entries deleted in one transaction: some milliseconds, so that an append that comes meanwhile waits for no more. */
const trimEntries = 2000;

/**
 * Written since the last checkpoint, at least and at most: somewhere between them the next one. More means fewer syncs of log.db itself, a longer WAL to replay, and a longer
 * time in which nothing is appended. The logs of all voters are written the same: if they all came to it at the same place, nothing would be committed meanwhile.
 */
const checkpointBytes = { least: 4 * 1024 * 1024, most: 8 * 1024 * 1024 };

interface RepairRow {
  readonly until: number;
  readonly term: number;
}

/**
 * The one connection that writes log.db. Every write is one FULL-sync transaction; checkpoints are explicit, because SQLite
 * swallows the errors of its automatic ones and a failed sync must never be retried (D4).
 */
export class LogDatabase {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #truncate: Statement;
  readonly #setHard: Statement;
  readonly #setBase: Statement;
  readonly #trim: Statement;
  readonly #mark: LogMark | undefined;
  #lastIndex: number;
  /** Rows from #firstRow up to the base are of no use any more, and are deleted bit by bit. */
  #baseIndex: number;
  #firstRow: number;
  /** What a log must reach before this node has a full voice again (D3). */
  #repair: RepairRow | undefined;
  #sinceCheckpoint = 0;
  readonly #random: () => number;
  #checkpointAt: number;

  /**
   * Opens or creates. Throws SQLiteError, Fault "disk" when it cannot be made, or Fault "data" for a file of another version, one that has gone back
   * (log-mark.ts), or one whose WAL is damaged where SQLite would take it for its end.
   */
  constructor(path: string, random: () => number = Math.random) {
    this.#random = random;
    this.#checkpointAt = this.#nextCheckpoint();
    makeDatabaseFile(path);
    expectWholeWal(path);
    this.#database = new Database(path, { create: true, readwrite: true });
    try {
      checkSqliteVersion(this.#database);
      this.#database.run("pragma busy_timeout = 2000");
      this.#database.run("pragma journal_mode = wal");
      this.#database.run("pragma synchronous = full");
      this.#database.run("pragma fullfsync = 1");
      this.#database.run("pragma checkpoint_fullfsync = 1");
      this.#database.run("pragma wal_autocheckpoint = 0");
      this.#create(path);
      this.#mark = path === ":memory:" ? undefined : new LogMark(this.#database, path);
      this.#insert = this.#database.prepare("insert into entry values (?, ?, ?, ?, ?)");
      this.#truncate = this.#database.prepare("delete from entry where idx >= ?");
      this.#setHard = this.#database.prepare(`update hard set term = ?, vote = ?, "commit" = ?`);
      this.#setBase = this.#database.prepare(
        "update meta set base_index = ?, base_term = ?, base_configuration = ? where base_index < ?",
      );
      this.#trim = this.#database.prepare("delete from entry where idx < ?");
      const row = this.#database
        .query(
          "select base_index as base, ifnull((select min(idx) from entry), base_index + 1) as first, max(base_index, ifnull((select max(idx) from entry), 0)) as last from meta",
        )
        .get() as { base: number; first: number; last: number };
      this.#lastIndex = row.last;
      this.#baseIndex = row.base;
      this.#firstRow = row.first;
      const repair = this.#database.query("select until, term from repair").get() as RepairRow | null;
      this.#repair = repair ?? undefined;
      // What the previous process left in the WAL: brought home before the first write has to wait for it.
      this.checkpoint();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #create(path: string): void {
    const exists = this.#database.query("select 1 from sqlite_schema where name = 'meta'").get() !== null;
    if (!exists) {
      this.#database.transaction(() => {
        for (const text of logSchema) this.#database.run(text);
      })();
      syncDirectory(dirname(path));
    }
    const hasRepair = this.#database.query("select 1 from sqlite_schema where name = 'repair'").get() !== null;
    if (!hasRepair) this.#database.run(repairSchema);
    const { version } = this.#database.query("select version from meta").get() as { version: number };
    if (version !== logVersion) {
      throw new Fault(
        "data",
        `${path} has format ${version}, this skein writes ${logVersion}: run a newer one`,
        "never",
      );
    }
  }

  /** Makes the log agree with the state beside it, before anything is read from it (D3; see LogStore.open). Gives words for people. */
  reconcile({ applied, meta, installing }: StateBeside): string | undefined {
    if (installing === applied && meta !== undefined && this.#termAt(applied) !== meta.term)
      return this.#beginAfter(meta);
    const { contained, first } = this.#damaged(applied);
    if (contained > 0 && meta === undefined) {
      const what = "remove this node's data directory and join again as a new node; the other members have it";
      throw new Fault("data", `entry ${contained} of the log is damaged: ${what}`, "never");
    }
    const told: string[] = [];
    if (contained > 0) {
      this.#transaction(() => this.#moveBase(meta!));
      told.push(`entries up to ${contained} are damaged; the state has them all`);
    }
    if (first !== undefined) {
      this.#cut(first);
      told.push(`entries from ${first} on are damaged, and are repaired from the other members`);
    }
    return told.length === 0 ? undefined : told.join("; ");
  }

  /**
   * What lies beyond an entry of another history was never committed. Where that entry cannot be read, or is missing, nobody knows which history it
   * was, and this node may have been counted on for what goes: it remembers that (D3).
   */
  #beginAfter(meta: SnapshotMeta): string {
    const isOther = meta.index > this.#baseIndex && this.#isIntactAt(meta.index);
    const repair = !isOther && this.#lastIndex > meta.index ? this.#repairFor() : this.#repair;
    this.#transaction(() => {
      if (repair !== undefined) this.#writeRepair(repair);
      this.#replaceBy(meta);
      this.#meetTerm(meta.term);
    });
    this.#repair = repair;
    return `the log begins anew after entry ${meta.index}, which a snapshot brought`;
  }

  #isIntactAt(at: number): boolean {
    const row = this.#database.query("select * from entry where idx = ?").get(at) as EntryRow | null;
    return row !== null && isIntact(row);
  }

  /**
   * The snapshot may be the first that this node heard of its term, and its state was in place before term and vote were synced. No vote of that
   * term can have left (D4).
   */
  #meetTerm(term: number): void {
    this.#database.query("update hard set term = ?1, vote = 0 where term < ?1").run(term);
  }

  #termAt(at: number): number | undefined {
    const base = this.#database.query("select base_index, base_term from meta").get() as {
      base_index: number;
      base_term: number;
    };
    if (at === base.base_index) return base.base_term;
    const row = this.#database.query("select term from entry where idx = ?").get(at) as { term: number } | null;
    return row?.term;
  }

  /** The highest damaged entry that the state contains (0: none), and the first one that it does not. A gap is as bad as a wrong checksum. */
  #damaged(applied: number): { readonly contained: number; readonly first: number | undefined } {
    let contained = 0;
    let expected = this.#baseIndex + 1;
    const rows = this.#database.query("select * from entry where idx > ? order by idx").iterate(this.#baseIndex);
    for (const row of rows as Iterable<EntryRow>) {
      if (row.idx === expected && isIntact(row)) {
        expected++;
        continue;
      }
      const bad = Math.min(row.idx, expected);
      if (row.idx > applied + 1 || bad > applied) return { contained, first: Math.max(bad, applied + 1) };
      contained = isIntact(row) ? row.idx - 1 : row.idx;
      expected = row.idx + 1;
    }
    return { contained, first: undefined };
  }

  /** Drops what cannot be trusted, and remembers how far this node's word went. */
  #cut(first: number): void {
    const repair = this.#repairFor();
    this.#transaction(() => {
      this.#truncate.run(first);
      this.#writeRepair(repair);
    });
    this.#repair = repair;
    this.#lastIndex = Math.max(this.#baseIndex, first - 1);
  }

  /** Everything that is stored, or was before it was lost, by now. */
  #repairFor(): RepairRow {
    const hard = this.#database.query("select term from hard").get() as { term: number };
    return { until: Math.max(this.#lastIndex, this.#repair?.until ?? 0), term: hard.term };
  }

  #writeRepair({ until, term }: RepairRow): void {
    this.#database.query("insert or replace into repair values (1, ?, ?)").run(until, term);
  }

  /** One transaction, synced when this returns. On an error nothing of it is there; the caller decides by the error's code. */
  write(appends: readonly PackedAppend[]): void {
    const before = { last: this.#lastIndex, base: this.#baseIndex, first: this.#firstRow, repair: this.#repair };
    try {
      this.#database.run("begin immediate");
      let hardState: HardState | undefined;
      for (const append of appends) {
        if (append.snapshot !== undefined) this.#replaceBy(append.snapshot);
        this.#writeEntries(append);
        hardState = append.hardState ?? hardState;
      }
      this.#endRepair();
      if (hardState !== undefined) this.#setHard.run(hardState.term, hardState.vote, hardState.commit);
      this.#database.run("commit");
    } catch (error) {
      this.#lastIndex = before.last;
      this.#baseIndex = before.base;
      this.#firstRow = before.first;
      this.#repair = before.repair;
      if (this.#database.inTransaction) this.#database.run("rollback");
      throw error;
    }
    for (const append of appends) this.#sinceCheckpoint += append.data.length + 64 * append.terms.length + 4096;
  }

  /** What had been lost is there again, or the log of a leader that was elected since (types.ts of raft, Restored). */
  #endRepair(): void {
    if (this.#repair === undefined) return;
    const { until, term } = this.#repair;
    if (this.#lastIndex < until && (this.#termAt(this.#lastIndex) ?? 0) <= term) return;
    this.#database.run("delete from repair");
    this.#repair = undefined;
  }

  #writeEntries(append: PackedAppend): void {
    const count = append.terms.length;
    if (count === 0) return;
    if (append.first <= this.#lastIndex) this.#truncate.run(append.first);
    let at = 0;
    for (let offset = 0; offset < count; offset++) {
      const length = append.lengths[offset]!;
      const data = append.data.subarray(at, at + length);
      at += length;
      const [index, term, kind] = [append.first + offset, append.terms[offset]!, append.kinds[offset]!];
      this.#insert.run(index, term, kind, entryChecksum(index, term, kind, data), data);
    }
    this.#lastIndex = append.first + count - 1;
  }

  /** The log is empty after this base. Rows before it are deleted later; what lay beyond was never committed. */
  #replaceBy(snapshot: SnapshotMeta): void {
    this.#truncate.run(snapshot.index + 1);
    this.#moveBase(snapshot);
    this.#lastIndex = snapshot.index;
  }

  #moveBase(base: SnapshotMeta): void {
    this.#setBase.run(base.index, base.term, encodeConfiguration(base.configuration), base.index);
    this.#baseIndex = Math.max(this.#baseIndex, base.index);
  }

  /** Entries up to `base` are not needed any more. Synced when this returns; their rows are deleted by trim(). */
  compact(base: SnapshotMeta): void {
    this.#transaction(() => this.#moveBase(base));
  }

  /** Compacted entries are still there. */
  get trimIsDue(): boolean {
    return this.#firstRow <= this.#baseIndex;
  }

  /** Deletes the oldest of them. The pages are used again; the file does not shrink. */
  trim(): void {
    const to = Math.min(this.#baseIndex + 1, this.#firstRow + trimEntries);
    this.#transaction(() => this.#trim.run(to));
    this.#firstRow = to;
    this.#sinceCheckpoint += trimEntries * 64;
  }

  #transaction(change: () => void): void {
    const base = this.#baseIndex;
    try {
      this.#database.run("begin immediate");
      change();
      this.#database.run("commit");
    } catch (error) {
      this.#baseIndex = base;
      if (this.#database.inTransaction) this.#database.run("rollback");
      throw error;
    }
  }

  checkpointIsDue(): boolean {
    return this.#sinceCheckpoint >= this.#checkpointAt;
  }

  #nextCheckpoint(): number {
    const { least, most } = checkpointBytes;
    return least + this.#random() * (most - least);
  }

  /** Copies the WAL into the file as far as readers allow, and syncs. A full disk leaves it for later: the WAL has everything. */
  checkpoint(): void {
    this.#sinceCheckpoint = 0;
    this.#checkpointAt = this.#nextCheckpoint();
    try {
      this.#database.run("pragma wal_checkpoint(passive)");
    } catch (error) {
      if ((error as { code?: unknown }).code !== "SQLITE_FULL") throw error;
      return;
    }
    this.#mark?.advance();
  }

  close(): void {
    const statements = [this.#insert, this.#truncate, this.#setHard, this.#setBase, this.#trim];
    for (const statement of statements) statement.finalize();
    this.#mark?.close();
    this.#database.close();
  }
}

/**
 * Before SQLite opens the file, for it would go on without a word from where the damage is. What is lost then is not entries alone, which could be
 * repaired: also votes and terms, of which nothing is left to say how far they went. So there is no repairing under this id: a node that has
 * forgotten a vote may give it twice (D3, D4).
 */
function expectWholeWal(path: string): void {
  if (path === ":memory:") return;
  let damage;
  try {
    damage = walDamageOf(path);
  } catch (error) {
    throw fileFault(error, `${path}-wal`);
  }
  if (damage === undefined) return;
  const what = `what was synced after it, entries and votes that others count on, cannot be trusted`;
  throw new Fault("data", `${path}-wal is damaged at byte ${damage.at}, and ${what} (WAL_DAMAGED)`, "never");
}
