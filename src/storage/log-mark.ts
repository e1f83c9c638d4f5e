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
  /** undefined: there was no room for it, and the next start makes it. */
  readonly #write: Statement | undefined;
  #number: number;

  /** Of a log that was just opened. Throws Fault "data" when it has gone back. */
  constructor(database: Database, logPath: string) {
    this.#path = markPath(logPath);
    const isThere = numberIn(database) !== undefined || ifRoom(() => makeTable(database));
    this.#number = numberIn(database) ?? 0;
    if (hasGoneBack(logPath, this.#number)) {
      throw new Fault(
        "data",
        `${logPath} is older than what this node has answered for: its WAL is gone, or it was replaced (LOG_GONE_BACK)`,
        "never",
      );
    }
    this.#write = isThere ? database.prepare("update mark set number = ?") : undefined;
  }

  /**
   * After a checkpoint: synced in the log when this returns. Without room it is left to the next one. The file's number may lag whatever keeps it from
   * being written. Throws SQLiteError.
   */
  advance(): void {
    const number = this.#number + 1;
    if (this.#write === undefined || !ifRoom(() => this.#write!.run(number))) return;
    this.#number = number;
    try {
      writeJson(this.#path, { version, number });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  close(): void {
    this.#write?.finalize();
  }
}

const markPath = (logPath: string): string => `${logPath}-mark`;

function makeTable(database: Database): void {
  database.transaction(() => {
    database.run(
      "create table if not exists mark (id integer primary key check (id = 1), number integer not null) strict",
    );
    database.run("insert or ignore into mark values (1, 0)");
  })();
}

/** undefined: the log has none, being of an earlier release. */
export function numberIn(database: Database): number | undefined {
  if (database.query("select 1 from sqlite_schema where name = 'mark'").get() === null) return undefined;
  return (database.query("select number from mark").get() as { readonly number: number } | null)?.number;
}

/** The log with this number has less than the file beside it says. Throws Fault "data" for a file that cannot be read. */
export function hasGoneBack(logPath: string, number: number): boolean {
  const value = readJson(markPath(logPath), version) as { readonly number?: unknown } | null | undefined;
  if (value === undefined) return false; // an earlier release, or the first start
  const told = value?.number;
  if (!isId(told)) throw damagedFile(markPath(logPath), "its number is missing");
  return number < told;
}

/** True: it is done. */
function ifRoom(change: () => void): boolean {
  try {
    change();
    return true;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "SQLITE_FULL") throw error;
    return false;
  }
}
