import { type Database, SQLiteError } from "bun:sqlite";
import { Fault } from "../lib/fault.ts";

/** Result codes (their low byte) that come from the outside: disk, memory, locks, a damaged file. All others are our own mistakes. */
const environment: ReadonlyMap<number, "disk" | "disk-full" | "data"> = new Map([
  [3, "disk"], // PERM
  [5, "disk"], // BUSY
  [6, "disk"], // LOCKED
  [7, "disk"], // NOMEM
  [8, "disk"], // READONLY
  [10, "disk"], // IOERR, a failed sync among them
  [11, "data"], // CORRUPT
  [13, "disk-full"], // FULL: found while writing, before the sync
  [14, "disk"], // CANTOPEN
  [15, "disk"], // PROTOCOL
  [22, "disk"], // NOLFS
  [26, "data"], // NOTADB
]);

/**
 * What a thrown error means: SQLite's environmental errors become a Fault that names the file, everything else (also SQLite's
 * complaints about our own SQL) comes back as it is and is a bug.
 */
export function asFault(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const code = environment.get(error.errno & 0xff);
  if (code === undefined) return error;
  const what = `${path}: ${error.message} (${error.code ?? `SQLite error ${error.errno}`})`;
  return new Fault(code, what, code === "disk-full" ? "safe" : "never", error);
}

/**
 * SQLite up to 3.51.2 can lose a transaction when two connections checkpoint and reset the WAL at once. On macOS Bun loads
 * the system's copy; there we rely on having one connection that writes and checkpoints.
 */
export function checkSqliteVersion(database: Database): void {
  if (process.platform === "darwin") return;
  const row = database.query("select sqlite_version() as version").get() as { version: string };
  const [major = 0, minor = 0, patch = 0] = row.version.split(".").map(Number);
  if (major * 1_000_000 + minor * 1000 + patch < 3_051_003) {
    throw new Fault(
      "data",
      `SQLite ${row.version} is too old to keep a log safely: 3.51.3 or newer is needed`,
      "never",
    );
  }
}
