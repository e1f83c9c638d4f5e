import { Database } from "bun:sqlite";
import { existsSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { decodeConfiguration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index, term } from "../lib/ids.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { syncDirectory, syncFile } from "./files.ts";
import { asFault } from "./sqlite-errors.ts";
import { readPlace, type StatePlace } from "./state-db.ts";

/** Copies of state.db as files: made, judged by what they say of themselves, and put in the place of state.db. */

/**
 * A compact copy of the state as it is now, synced. Reads one view and holds nobody up; the WAL of state.db grows meanwhile. Where it stands is
 * read from the copy itself, never from memory. `blanks` are SQL texts that take out of the copy what it must not hold. Throws Fault.
 */
export function copyState(from: string, to: string, blanks: readonly string[] = []): StatePlace {
  rmSync(to, { force: true });
  try {
    const database = new Database(from, { readonly: true });
    try {
      database.run("pragma busy_timeout = 2000");
      database.query("vacuum into ?").run(to);
    } finally {
      database.close();
    }
    if (blanks.length > 0) blank(to, blanks);
    syncFile(to);
    return placeOf(to);
  } catch (error) {
    rmSync(to, { force: true });
    throw asFault(error, to);
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
 * Puts `from` in the place of the state at `path`, which nobody writes meanwhile. A crash at any moment leaves the old state (an earlier
 * one of its own history, when its WAL went first) or the new one: the name changes hands in one step. `asideAs` keeps the old file. Throws Fault
 * "data", and leaves everything as it is, when the file is cut short or is not the `expected` state.
 */
export function installState(
  from: string,
  path: string,
  expected: Pick<SnapshotMeta, "index" | "term">,
  asideAs: string | undefined,
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
  for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
  renameSync(from, path);
  syncDirectory(dirname(path));
}

/** What was wrong is kept for those who look for the reason. */
function copyAside(path: string, asideAs: string): void {
  try {
    copyState(path, asideAs);
  } catch {
    // It cannot even be read: nothing is lost with it, it is what gets replaced.
  }
}

/** Bytes of the file. */
export function sizeOf(path: string): number {
  return statSync(path).size;
}
