import type { Database, Statement } from "bun:sqlite";
import { Fault } from "../lib/fault.ts";
import { isId } from "../lib/ids.ts";
import { damagedFile, readJson, writeJson } from "./files.ts";

const version = 1;

/**
 * Tells a log that has gone back from one that has not. What a node stores it has promised: entries that a quorum counts on, and votes. If they are
 * gone and the node does not know it, it votes again, and what was acknowledged can be lost (D1, D4). SQLite notices nothing: without its
 * WAL, or replaced by an older or an empty file, a database is a good one of an earlier time.
 *
 * So a number grows in the log, and the same number stands in a file beside it, `log.db-mark`. It is written right after each checkpoint, so that it is
 * in the WAL alone until the next one, and into the file only once it is synced in the log:
 *
 *   number in the file <= number in the log, unless the log has gone back
 *
 * A WAL that lost its end only is not seen so, because a crash may have torn what was never acknowledged; the leader that counts on more says so
 * (raft, lostUntil).
 */
export class LogMark {
  readonly #path: string;
  readonly #write: Statement;
  #number: number;

  /** Of a log that was just opened. Throws Fault "data" when it has gone back. */
  constructor(database: Database, logPath: string) {
    this.#path = `${logPath}-mark`;
    database.run(
      "create table if not exists mark (id integer primary key check (id = 1), number integer not null) strict",
    );
    const row = database.query("select number from mark").get() as { readonly number: number } | null;
    if (row === null) database.run("insert into mark values (1, 0)");
    this.#number = row?.number ?? 0;
    this.#check(logPath);
    this.#write = database.prepare("update mark set number = ?");
  }

  #check(logPath: string): void {
    const value = readJson(this.#path, version) as { readonly number?: unknown } | null | undefined;
    if (value === undefined) return; // an earlier release, or the first start
    const told = value?.number;
    if (!isId(told)) throw damagedFile(this.#path, "its number is missing");
    if (this.#number >= told) return;
    throw new Fault(
      "data",
      `${logPath} is older than what this node has answered for: its WAL is gone, or it was replaced. Restore what was there, or remove the whole data directory and the node from the cluster ('skein nodes rm'), and join again as a new one`,
      "never",
    );
  }

  /** After a checkpoint; synced in both places when this returns. Without room it is left to the next one. Throws SQLiteError, and Fault "disk". */
  advance(): void {
    try {
      this.#write.run(this.#number + 1);
      this.#number += 1;
      writeJson(this.#path, { version, number: this.#number });
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== "SQLITE_FULL" && !isFull(error)) throw error;
    }
  }

  close(): void {
    this.#write.finalize();
  }
}

function isFull(error: unknown): boolean {
  return error instanceof Fault && error.code === "disk-full";
}
