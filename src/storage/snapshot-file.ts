import { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { decodeConfiguration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index, term } from "../lib/ids.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { guardCopy } from "./copy-guard.ts";
import { type CopyGuard, copyRows } from "./copy-rows.ts";
import { fileFault, makeDatabaseFile, syncDirectory, syncFile } from "./files.ts";
import { asFault } from "./sqlite-errors.ts";
import { readPlace, type StatePlace } from "./state-db.ts";

/** Copies of state.db as files: made, judged by what they say of themselves, and put in the place of state.db. */

export interface CopyOptions {
  /** SQL texts that take out of the copy what it must not hold. */
  readonly blanks?: readonly string[];
  /** Absent: it is made whatever room there is. */
  readonly guard?: CopyGuard;
}

/**
 * A compact copy of the state as it is now, synced. Reads one view and holds nobody up; the WAL of state.db grows meanwhile. Where it stands is
 * read from the copy itself, never from memory. Throws Fault, and leaves no file then.
 */
export function copyState(from: string, to: string, { blanks = [], guard }: CopyOptions = {}): StatePlace {
  rmSync(to, { force: true });
  try {
    placeOf(from); // before a file is made of what is no state
    makeDatabaseFile(to); // SQLite makes its copy in a file that is there, and leaves its mode as it is
    copyRows(from, to, guard);
    if (blanks.length > 0) blank(to, blanks);
    syncFile(to);
    return placeOf(to);
  } catch (error) {
    rmSync(to, { force: true });
    throw fileFault(asFault(error, to), to);
  }
}

/** What is overwritten leaves no trace in the file. */
function blank(path: string, texts: readonly string[]): void {
  const database = new Database(path, { readwrite: true });
  try {
    database.run("pragma journal_mode = memory");
    database.run("pragma secure_delete = on");
    for (const text of texts) database.run(text);
  } finally {
    database.close();
  }
}

/** Where the state in this file stands. Throws Fault "data" when it is damaged or no state. */
export function placeOf(path: string): StatePlace {
  try {
    const database = new Database(path, { readonly: true });
    try {
      return readPlace(database);
    } finally {
      database.close();
    }
  } catch (error) {
    throw asFault(error, path);
  }
}

/** Reads every page of the file. Throws Fault "data" that says what is wrong. */
export function checkState(path: string): StatePlace {
  try {
    const database = new Database(path, { readonly: true });
    try {
      const { quick_check: found } = database.query("pragma quick_check(1)").get() as { quick_check: string };
      if (found !== "ok") throw new Fault("data", `${path} is damaged: ${found}`, "never");
      return readPlace(database);
    } finally {
      database.close();
    }
  } catch (error) {
    throw asFault(error, path);
  }
}

/** The same for consensus; undefined when the state has applied nothing yet, or was written before it noted its term. */
export function metaOf(place: StatePlace): SnapshotMeta | undefined {
  const configuration = place.configuration === undefined ? undefined : decodeConfiguration(place.configuration);
  if (configuration === undefined || place.applied === 0 || place.term === 0) return undefined;
  return { index: index(place.applied), term: term(place.term), configuration };
}

/**
 * Puts `from` in the place of the state at `path`, which nobody writes meanwhile. Two files cannot be replaced in one step, and the WAL of the old
 * state may be all that holds what was told durable (D3). So the new state first gets a name that decides: a crash before leaves the old state
 * whole, after that whoever opens the data directory next goes on with the new one ({@link finishInstall}). `asideAs` keeps the old file. Throws Fault
 * "data", and leaves everything as it is, when the file is cut short or is not the `expected` state.
 */
export function installState(
  from: string,
  path: string,
  expected: Pick<SnapshotMeta, "index" | "term">,
  asideAs: string | undefined,
  step: (name: string) => void = () => {},
): void {
  const place = placeOf(from);
  if (place.applied !== expected.index || place.term !== expected.term) {
    const [is, was] = [
      `entry ${place.applied} of term ${place.term}`,
      `entry ${expected.index} of term ${expected.term}`,
    ];
    throw new Fault("data", `${from} is a state of ${is}, and was verified as one of ${was}`, "safe");
  }
  syncFile(from);
  if (asideAs !== undefined && existsSync(path)) copyAside(path, asideAs);
  step("checked");
  renameSync(from, decidedPath(path));
  for (const directory of new Set([dirname(path), dirname(from)])) syncDirectory(directory);
  step("decided");
  finishInstall(path, step);
}

/**
 * Goes on with an installation that was decided and broke off; true when there was one. Before anything reads the state at `path`, and before its
 * place is given to another one. Throws what the file system throws.
 */
export function finishInstall(path: string, step: (name: string) => void = () => {}): boolean {
  if (!existsSync(decidedPath(path))) return false;
  for (const suffix of ["-wal", "-shm"]) {
    rmSync(path + suffix, { force: true });
    step(`${suffix} removed`);
  }
  // A WAL that came back after a power cut would be taken for the new state's.
  syncDirectory(dirname(path));
  renameSync(decidedPath(path), path);
  step("in place");
  syncDirectory(dirname(path));
  return true;
}

/** The state that is to take the place of the one at `path`, by its presence alone. */
function decidedPath(path: string): string {
  return `${path}-next`;
}

/** What was wrong is kept for those who look for the reason. */
function copyAside(path: string, asideAs: string): void {
  try {
    copyState(path, asideAs, { guard: guardCopy({ from: path, to: asideAs }) });
  } catch {
    // It cannot even be read, or there is no room: nothing is lost with it, it is what gets replaced.
  }
}

/** Bytes of the file. */
export function sizeOf(path: string): number {
  return statSync(path).size;
}
