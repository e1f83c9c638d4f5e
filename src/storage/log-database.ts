import { Database, type Statement } from "bun:sqlite";
import { dirname } from "node:path";
import { Fault } from "../lib/fault.ts";
import type { HardState } from "../raft/types.ts";
import { syncDirectory } from "../lib/files.ts";
import { makeDatabaseFile } from "./files.ts";
import { entryChecksum, logSchema, logVersion } from "./log-format.ts";
import { checkSqliteVersion } from "./sqlite-errors.ts";

/**
 * An append as it travels to the worker: flat, with the data of all entries in one buffer of its own. A structured clone of the
 * entries would copy the whole buffer that each small view belongs to.
 */
export interface PackedAppend {
  readonly token: number;
  readonly hardState: HardState | undefined;
  /** Index of the first entry; 0 without entries. */
  readonly first: number;
  readonly terms: readonly number[];
  readonly kinds: readonly number[];
  readonly lengths: readonly number[];
  readonly data: Uint8Array;
}

/** Written since the last checkpoint: then the next one. Larger means fewer syncs of log.db itself, and a longer WAL to replay. */
const checkpointBytes = 16 * 1024 * 1024;

/**
 * The one connection that writes log.db. Every write is one FULL-sync transaction; checkpoints are explicit, because SQLite
 * swallows the errors of its automatic ones and a failed sync must never be retried (D4).
 */
export class LogDatabase {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #truncate: Statement;
  readonly #setHard: Statement;
  #lastIndex: number;
  #sinceCheckpoint = 0;

  /** Opens or creates. Throws SQLiteError, Fault "disk" when it cannot be made, or Fault "data" for a file of another version. */
  constructor(path: string) {
    makeDatabaseFile(path);
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
      this.#insert = this.#database.prepare("insert into entry values (?, ?, ?, ?, ?)");
      this.#truncate = this.#database.prepare("delete from entry where idx >= ?");
      this.#setHard = this.#database.prepare(`update hard set term = ?, vote = ?, "commit" = ?`);
      const row = this.#database
        .query("select max(base_index, ifnull((select max(idx) from entry), 0)) as last from meta")
        .get() as { last: number };
      this.#lastIndex = row.last;
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
    const { version } = this.#database.query("select version from meta").get() as { version: number };
    if (version !== logVersion) {
      throw new Fault(
        "data",
        `${path} has format ${version}, this skein writes ${logVersion}: run a newer one`,
        "never",
      );
    }
  }

  /** One transaction, synced when this returns. On an error nothing of it is there; the caller decides by the error's code. */
  write(appends: readonly PackedAppend[]): void {
    const lastIndex = this.#lastIndex;
    try {
      this.#database.run("begin immediate");
      let hardState: HardState | undefined;
      for (const append of appends) {
        this.#writeEntries(append);
        hardState = append.hardState ?? hardState;
      }
      if (hardState !== undefined) this.#setHard.run(hardState.term, hardState.vote, hardState.commit);
      this.#database.run("commit");
    } catch (error) {
      this.#lastIndex = lastIndex;
      if (this.#database.inTransaction) this.#database.run("rollback");
      throw error;
    }
    for (const append of appends) this.#sinceCheckpoint += append.data.length + 64 * append.terms.length + 4096;
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

  checkpointIsDue(): boolean {
    return this.#sinceCheckpoint >= checkpointBytes;
  }

  /** Copies the WAL into the file as far as readers allow, and syncs. A full disk leaves it for later: the WAL has everything. */
  checkpoint(): void {
    this.#sinceCheckpoint = 0;
    try {
      this.#database.run("pragma wal_checkpoint(passive)");
    } catch (error) {
      if ((error as { code?: unknown }).code !== "SQLITE_FULL") throw error;
    }
  }

  close(): void {
    this.#database.close();
  }
}
