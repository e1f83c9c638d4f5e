import { Database, type Statement as Prepared } from "bun:sqlite";
import { dirname } from "node:path";
import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { RollingHash } from "../lib/hash.ts";
import { limits } from "../lib/limits.ts";
import { isNoRoom, makeDatabaseFile, syncDirectory, syncFile } from "./files.ts";
import { asFault, checkSqliteVersion } from "./sqlite-errors.ts";
import { StatementCache, type ChangeStatement, type SqlValue, type Statement } from "./statements.ts";

export interface StateDatabaseOptions {
  readonly path: string;
  /** SQL texts that make tables and indexes, in one transaction. Of a file that has some of them only the others are made. */
  readonly schema: readonly string[];
  /** With ":memory:": the bytes of a state to begin with, as {@link StateDatabase.image} gave them, or what {@link StateDatabase.handOver} did. */
  readonly image?: Uint8Array | Database | undefined;
  /** Makes the file of that path and its name durable; throws what the file system throws. Where it is absent the disk does. */
  readonly sync?: ((path: string) => void) | undefined;
}

/** Where in the log a state stands, as the state itself says: so that a copy of the file needs no label. */
export interface StatePlace {
  /** Index of the last entry that is contained. */
  readonly applied: number;
  /** Of that entry; 0 when the file was written by a version that did not note it. */
  readonly term: number;
  /** Data of the newest configuration entry that is contained. */
  readonly configuration: Uint8Array | undefined;
  /** The rolling hash; "" before the first entry. */
  readonly hash: string;
}

/** What a checkpoint could do besides making everything durable. */
export interface Checkpoint {
  /** All of the WAL is in the file, so that it begins anew. False while a reader needs some of it, or when there is no room. */
  readonly isHome: boolean;
}

/**
 * The one connection that writes state.db. Rows, applied index and rolling hash change in one transaction (D2), and everything
 * that changes rows goes through `run`, which feeds the hash (S1). synchronous=NORMAL: after a power cut the file is some earlier
 * exact state, and the log replays from there. Environmental errors of SQLite are thrown as Fault; anything else thrown is a bug
 * of the caller's SQL or of the function given in.
 */
export class StateDatabase {
  readonly #path: string;
  readonly #sync: (path: string) => void;
  readonly #database: Database;
  readonly #statements: StatementCache;
  readonly #advance: Prepared;
  /** By statement id: what stands for its name in the hash. Ids differ between builds and texts between releases, names do not. */
  readonly #nameHashes: number[] = [];
  #applied: number;
  #term: number;
  #configuration: Uint8Array | undefined;
  #hash: RollingHash;
  #inTransaction = false;

  /** Opens or creates. Throws Fault "data" or "disk". */
  constructor(options: StateDatabaseOptions) {
    this.#path = options.path;
    this.#sync = options.sync ?? syncWithName;
    try {
      makeDatabaseFile(options.path);
      this.#database = databaseOf(options);
      checkSqliteVersion(this.#database);
      this.#database.run("pragma busy_timeout = 2000");
      this.#database.run("pragma journal_mode = wal");
      this.#database.run("pragma synchronous = normal");
      this.#database.run("pragma checkpoint_fullfsync = 1");
      this.#database.run("pragma wal_autocheckpoint = 0");
      // What a copy's view made of the WAL is given back, once all of it is in the file and it begins anew.
      this.#database.run(`pragma journal_size_limit = ${limits.stateWalKeptBytes}`);
      this.#database.run("pragma foreign_keys = off");
      this.#create(options.schema);
      this.#statements = new StatementCache(this.#database);
      this.#advance = this.#database.prepare(
        "update meta set applied = ?, term = ?, configuration = ?, hash = ? where applied = ?",
      );
      const place = readPlace(this.#database);
      this.#applied = place.applied;
      this.#term = place.term;
      this.#configuration = place.configuration;
      this.#hash = new RollingHash(place.hash);
    } catch (error) {
      throw asFault(error, options.path);
    }
  }

  #create(schema: readonly string[]): void {
    if (this.#database.query("select 1 from sqlite_schema where name = 'meta'").get() !== null) {
      this.#complete(schema);
      this.#completeMeta();
      return;
    }
    this.#database.transaction(() => {
      for (const text of schema) this.#database.run(text);
      this.#database.run(
        "create table meta (id integer primary key check (id = 1), applied integer not null, hash text not null, term integer not null default 0, configuration blob) strict",
      );
      this.#database.run("insert into meta (id, applied, hash) values (1, 0, '')");
    })();
  }

  /** A file of the first version did not say which entry of which term it ends with. */
  #completeMeta(): void {
    const columns = this.#database.query("select name from pragma_table_info('meta')").all() as { name: string }[];
    if (columns.some(({ name }) => name === "term")) return;
    this.#database.transaction(() => {
      this.#database.run("alter table meta add column term integer not null default 0");
      this.#database.run("alter table meta add column configuration blob");
    })();
  }

  /** Where the committed state stands. */
  get place(): StatePlace {
    return { applied: this.#applied, term: this.#term, configuration: this.#configuration, hash: this.hash };
  }

  /** A file of an earlier version lacks the tables and columns that came since: they begin empty, as they would have been by replaying its log (S2). */
  #complete(schema: readonly string[]): void {
    const rows = this.#database.query("select name from sqlite_schema").all() as { name: string }[];
    const present = new Set(rows.map((row) => row.name));
    this.#database.transaction(() => {
      for (const text of schema) {
        const name = /^create (?:table|index|unique index) (\w+)/.exec(text)?.[1];
        if (name === undefined ? this.#lacksColumn(text) : !present.has(name)) this.#database.run(text);
      }
    })();
  }

  #lacksColumn(text: string): boolean {
    const [, table, column] = /^alter table (\w+) add column (\w+)/.exec(text) ?? [];
    if (table === undefined || column === undefined) return false;
    return this.#database.query("select 1 from pragma_table_info(?) where name = ?").get(table, column) === null;
  }

  /** Index of the last entry that the committed state contains. */
  get applied(): number {
    return this.#applied;
  }

  /** The rolling hash, 16 hexadecimal digits; "" before the first transaction. Inside a transaction: as it stands. */
  get hash(): string {
    return this.#applied === 0 && !this.#inTransaction ? "" : this.#hash.digest();
  }

  get<Row>(statement: Statement, ...values: readonly SqlValue[]): Row | undefined {
    try {
      return (this.#statements.prepared(statement).get(...values) ?? undefined) as Row | undefined;
    } catch (error) {
      throw asFault(error, this.#path);
    }
  }

  all<Row>(statement: Statement, ...values: readonly SqlValue[]): Row[] {
    return this.#call(() => this.#statements.prepared(statement).all(...values)) as Row[];
  }

  /** Changes rows, inside a transaction only; gives how many. */
  run(statement: ChangeStatement, ...values: readonly SqlValue[]): number {
    return this.runAs(statement, values, values);
  }

  /** The same, where `hashed` stands for the values in the hash. */
  runAs(statement: ChangeStatement, hashed: readonly SqlValue[], values: readonly SqlValue[]): number {
    assert(this.#inTransaction, "rows change inside a transaction only (D2)");
    let changes;
    try {
      ({ changes } = this.#statements.prepared(statement).run(...values));
    } catch (error) {
      throw asFault(error, this.#path);
    }
    this.#hash.number(this.#nameHash(statement));
    for (const value of hashed) this.#hash.value(value);
    this.#hash.number(changes);
    return changes;
  }

  /** Adds what is not a row to the hash: an entry's bytes, a canonical outcome (S1). */
  mix(value: SqlValue): void {
    assert(this.#inTransaction, "the hash changes inside a transaction only (D2)");
    this.#hash.value(value);
  }

  /** The hash as it stands, as two words. */
  copyHash(words: Uint32Array, at: number): void {
    this.#hash.copyTo(words, at);
  }

  /** The hash of all that was before is left out from here on: nodes whose releases hashed that differently agree again (S2). */
  restartHash(): void {
    assert(this.#inTransaction, "the hash changes inside a transaction only (D2)");
    this.#hash = new RollingHash("");
  }

  /**
   * Runs `apply` and moves the applied index in one transaction. Rolls back, hash included, and rethrows when it throws. Asserts
   * (Bug) that the file's applied index is `expectedApplied`: a skipped or doubled entry is a crash, not a divergence (D2). `newest`: term of
   * the last entry, and data of the newest configuration among them, where there is one.
   */
  transaction<Value>(
    expectedApplied: number,
    newApplied: number,
    apply: () => Value,
    newest: { readonly term?: number; readonly configuration?: Uint8Array | undefined } = {},
  ): Value {
    assert(!this.#inTransaction, "transactions do not nest");
    assert(newApplied > expectedApplied, `applied index ${newApplied} after ${expectedApplied}`);
    const before = this.#hash.digest();
    this.#inTransaction = true;
    try {
      this.#execute("begin immediate");
      const value = apply();
      const { term = this.#term, configuration = this.#configuration } = newest;
      const { changes } = this.#call(() =>
        this.#advance.run(newApplied, term, configuration ?? null, this.#hash.digest(), expectedApplied),
      );
      assert(changes === 1, `state.db is not at index ${expectedApplied} (D2)`);
      this.#execute("commit");
      this.#applied = newApplied;
      this.#term = term;
      this.#configuration = configuration;
      return value;
    } catch (error) {
      this.#hash = new RollingHash(before);
      if (this.#database.inTransaction) this.#execute("rollback");
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** Runs `apply` so that its changes can be undone alone (S4): when it throws they are, in rows and hash, and the error goes on. */
  savepoint<Value>(apply: () => Value): Value {
    assert(this.#inTransaction, "a savepoint lives inside a transaction");
    const before = this.#hash.digest();
    this.#execute("savepoint one");
    try {
      const value = apply();
      this.#execute("release one");
      return value;
    } catch (error) {
      // A full or failing disk may have rolled back the whole transaction: then there is nothing left to undo.
      if (this.#database.inTransaction) {
        this.#execute("rollback to one");
        this.#execute("release one");
      }
      this.#hash = new RollingHash(before);
      throw error;
    }
  }

  /**
   * Every commit so far is durable when this returns (D3), and in the file as far as readers and the room on the disk allow. Between transactions,
   * by the owner only. Throws Fault "disk".
   */
  checkpoint(): Checkpoint {
    assert(!this.#inTransaction, "no checkpoint inside a transaction");
    const isHome = this.#bringHome();
    // SQLite has synced nothing where it had nothing to copy, as while a reader needs the older pages. The WAL is what holds the commits then.
    if (!isHome) this.#syncWal();
    return { isHome };
  }

  /** SQLite syncs the WAL before it copies, and the file when it has copied everything. */
  #bringHome(): boolean {
    try {
      const row = this.#call(() => this.#database.query("pragma wal_checkpoint(passive)").get()) as {
        readonly busy: number;
        readonly log: number;
        readonly checkpointed: number;
      };
      return row.busy === 0 && row.log === row.checkpointed;
    } catch (error) {
      if (isNoRoom(error)) return false;
      throw error;
    }
  }

  /** A sync that failed is not retried, and is no want of room: nobody knows what of the WAL is on the disk (D4). */
  #syncWal(): void {
    const path = `${this.#path}-wal`;
    try {
      this.#sync(path);
    } catch (error) {
      throw new Fault("disk", `${path} cannot be synced: ${(error as Error).message}`, "never", error);
    }
  }

  /** The committed state as the bytes of a database file. */
  image(): Uint8Array {
    assert(!this.#inTransaction, "no image inside a transaction");
    return this.#call(() => this.#database.serialize());
  }

  /** Closes all but the database itself, for whoever opens it next: that one knows no more than its rows. Of one in memory nothing is copied for it. */
  handOver(): Database {
    assert(!this.#inTransaction, "nothing is handed over inside a transaction");
    this.#finalize();
    return this.#database;
  }

  /** Really: a connection that lingers on would tidy up by name later, when another file may have that name. */
  close(): void {
    this.#finalize();
    this.#database.close();
  }

  #finalize(): void {
    this.#statements.finalize();
    this.#advance.finalize();
  }

  #nameHash(statement: ChangeStatement): number {
    return (this.#nameHashes[statement.id] ??= Bun.hash.crc32(statement.name) | 0);
  }

  #execute(text: string): void {
    this.#call(() => this.#statements.control(text).run());
  }

  #call<Value>(action: () => Value): Value {
    try {
      return action();
    } catch (error) {
      throw asFault(error, this.#path);
    }
  }
}

function databaseOf({ path, image }: StateDatabaseOptions): Database {
  if (image === undefined) return new Database(path, { create: true, readwrite: true });
  return image instanceof Database ? image : Database.deserialize(image);
}

/** SQLite leaves the name of a new WAL to its own first sync of it. The WAL bears no locks of SQLite's that closing it here could drop. */
function syncWithName(path: string): void {
  syncFile(path);
  syncDirectory(dirname(path));
}

/** Reads where a state stands from its own file. Throws SQLiteError for a file that is no state. */
export function readPlace(database: Database): StatePlace {
  const row = database.query("select applied, term, configuration, hash from meta").get() as {
    readonly applied: number;
    readonly term: number;
    readonly configuration: Uint8Array | null;
    readonly hash: string;
  };
  return { ...row, configuration: row.configuration ?? undefined };
}
