import { Database } from "bun:sqlite";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { Fault } from "../lib/fault.ts";
import { fileFault } from "./files.ts";
import { asFault } from "./sqlite-errors.ts";

/** A data directory that this process owns until it ends or lets it go. */
export interface DataDir {
  /** Absolute. */
  readonly path: string;
  close(): void;
}

/**
 * Creates the directory if it is missing (0700), proves that it can be written and synced, and locks it against other processes.
 * Throws Fault "data" that says what is wrong and what to do.
 */
export function openDataDir(path: string): DataDir {
  const directory = resolve(path);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    probe(directory);
  } catch (error) {
    throw fileFault(error, directory);
  }
  const lock = takeLock(directory);
  held.add(lock);
  return {
    path: directory,
    close: () => {
      held.delete(lock);
      lock.close();
    },
  };
}

/** Keeps the locks reachable: a collected Database closes its file, and the lock would be gone with it. */
const held = new Set<Database>();

/** A file with content that is synced: a name alone can often still be made on a full disk. */
function probe(directory: string): void {
  const path = join(directory, `probe.${process.pid}`);
  try {
    const handle = openSync(path, "w", 0o600);
    try {
      writeSync(handle, new Uint8Array(16 * 1024));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } finally {
    rmSync(path, { force: true });
  }
}

/**
 * An open exclusive transaction on an SQLite file: a lock that the kernel drops with the process, however it dies, and that
 * children do not inherit. Nothing else may open this file here: closing any handle to it would drop the lock (POSIX).
 */
function takeLock(directory: string): Database {
  const path = join(directory, "lock");
  const holder = join(directory, "lock.pid");
  let database: Database | undefined;
  try {
    database = new Database(path, { create: true, readwrite: true });
    database.run("pragma busy_timeout = 0");
    database.run("begin exclusive");
    writeFileSync(holder, `${process.pid}\n`, { mode: 0o600 });
    return database;
  } catch (error) {
    database?.close();
    if ((error as { code?: unknown }).code === "SQLITE_BUSY") {
      throw new Fault(
        "data",
        `${directory} is in use by another process${pidIn(holder)}: stop it, or choose another directory with --data`,
        "never",
        error,
      );
    }
    const fault = asFault(error, path);
    throw fault === error ? fileFault(error, directory) : new Fault("data", (fault as Fault).message, "never", error);
  }
}

function pidIn(path: string): string {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^\d+$/.test(text) ? ` (pid ${text})` : "";
  } catch {
    return "";
  }
}
