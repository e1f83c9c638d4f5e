import { Database } from "bun:sqlite";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { Fault } from "../lib/fault.ts";
import { makePrivateFile } from "../lib/files.ts";
import { fileFault } from "./files.ts";
import { finishInstall } from "./snapshot-file.ts";
import { asFault } from "./sqlite-errors.ts";

/** A data directory that this process owns until it ends or lets it go. */
export interface DataDir {
  /** Absolute. */
  readonly path: string;
  close(): void;
}

/**
 * Creates the directory if it is missing, proves that it can be written and synced, closes it to other users (0700: what is in it lets its
 * reader into the mesh), and locks it against other processes. A state that was taking the place of state.db when its process ended does so now: nobody
 * reads the old one, whose WAL may be gone (D3). Throws Fault "data" that says what is wrong and what to do.
 */
export function openDataDir(path: string): DataDir {
  const directory = resolve(path);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    probe(directory);
    closeToOthers(directory);
  } catch (error) {
    throw fileFault(error, directory);
  }
  const lock = takeLock(directory);
  try {
    finishInstall(join(directory, "state.db"));
  } catch (error) {
    lock.close();
    throw fileFault(error, directory);
  }
  held.add(lock);
  return {
    path: directory,
    close: () => {
      held.delete(lock);
      lock.close();
    },
  };
}

/**
 * Ours are the directories that we made or used before, and empty ones. Any other that is open to others is left as it is: it may be
 * somebody's home, or the system's.
 */
function closeToOthers(directory: string): void {
  const mode = statSync(directory).mode & 0o7777;
  if ((mode & 0o077) === 0) return;
  const open = `${directory} is open to other users of this host (mode ${mode.toString(8)})`;
  const names = readdirSync(directory).filter((name) => name !== "lost+found");
  if (names.length > 0 && !names.includes(lockName)) {
    const what = `choose an empty directory with --data, or close it with: chmod 700 ${directory}`;
    throw new Fault("data", `${open} and holds files that are not Skein's: ${what}`, "never");
  }
  try {
    chmodSync(directory, 0o700);
  } catch (error) {
    const what = "let its owner run: chmod 700, or choose another directory with --data";
    throw new Fault("data", `${open}, and this user may not close it: ${what}`, "never", error);
  }
}

const lockName = "lock";

/** Keeps the locks reachable: a collected Database closes its file, and the lock would be gone with it. */
const held = new Set<Database>();

/** A file with content that is synced: a name alone can often still be made on a full disk. */
function probe(directory: string): void {
  const path = join(directory, `probe.${process.pid}`);
  try {
    const handle = openSync(path, "w", 0o600);
    try {
      writeFileSync(handle, new Uint8Array(16 * 1024)); // all of it: one write may stop short where the disk ends
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
  const path = join(directory, lockName);
  const holder = join(directory, "lock.pid");
  let database: Database | undefined;
  try {
    makePrivateFile(path);
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
