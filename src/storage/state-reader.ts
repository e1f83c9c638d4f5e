import { Database } from "bun:sqlite";
import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import { asFault } from "./sqlite-errors.ts";
import { StatementCache, type SqlValue, type Statement } from "./statements.ts";

/**
 * A read-only connection to state.db: sees what the writer has committed, never waits for it and never holds it up. Keep
 * snapshots short: an open one keeps the WAL from being reused.
 */
export class StateReader {
  #path: string;
  #database: Database;
  #statements: StatementCache;
  #inSnapshot = false;

  /** Its writer must have made the file: before that, Fault "data" or "disk". */
  constructor(path: string) {
    this.#path = path;
    this.#database = this.#open();
    this.#statements = new StatementCache(this.#database);
  }

  /**
   * Reads the file that has that name now. The old one may have been replaced under its name meanwhile: it is read on through its open handles, and
   * a read-only connection tidies nothing up, by name or otherwise, when it closes.
   */
  switchTo(path: string): void {
    assert(!this.#inSnapshot, "a snapshot is open");
    const old = this.#database;
    this.#path = path;
    this.#database = this.#open();
    this.#statements = new StatementCache(this.#database);
    old.close();
  }

  #open(): Database {
    const path = this.#path;
    let database: Database | undefined;
    try {
      database = new Database(path, { readonly: true });
      database.run("pragma busy_timeout = 2000");
      // Opening is lazy in SQLite: this is what really touches the file.
      const made = database.query("select 1 from sqlite_schema where name = 'meta'").get();
      if (made === null) throw new Fault("data", `${path} has no state in it yet`, "safe");
    } catch (error) {
      database?.close();
      throw asFault(error, path);
    }
    return database;
  }

  get<Row>(statement: Statement, ...values: readonly SqlValue[]): Row | undefined {
    return (this.#call(() => this.#statements.prepared(statement).get(...values)) ?? undefined) as Row | undefined;
  }

  all<Row>(statement: Statement, ...values: readonly SqlValue[]): Row[] {
    return this.#call(() => this.#statements.prepared(statement).all(...values)) as Row[];
  }

  /** Runs `read` on one unchanging view of the state. Inside another snapshot it shares that one's view. */
  snapshot<Value>(read: () => Value): Value {
    if (this.#inSnapshot) return read();
    this.#call(() => this.#statements.control("begin").run());
    this.#inSnapshot = true;
    try {
      return read();
    } finally {
      this.#inSnapshot = false;
      if (this.#database.inTransaction) this.#statements.control("rollback").run();
    }
  }

  close(): void {
    assert(!this.#inSnapshot, "a snapshot is open");
    this.#database.close();
  }

  #call<Value>(action: () => Value): Value {
    try {
      return action();
    } catch (error) {
      throw asFault(error, this.#path);
    }
  }
}
