import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../lib/fault.ts";
import { makePrivateFile, syncDirectory } from "../lib/files.ts";

/** See lib/files.ts. */
export { syncDirectory };

/**
 * Replaces a file (mode 0600) so that a crash at any moment leaves the old or the new one, never half of it. The name itself is
 * durable after {@link syncDirectory}. Throws what the file system throws.
 */
export function writeSynced(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.new`;
  try {
    const handle = openSync(temporary, "w", 0o600);
    try {
      writeFileSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Replaces a file of the directory by the value as JSON, durably, its name too. Throws Fault. */
export function writeJson(path: string, value: unknown): void {
  try {
    writeSynced(path, `${JSON.stringify(value, undefined, 2)}\n`);
    syncDirectory(dirname(path));
  } catch (error) {
    throw fileFault(error, path);
  }
}

/** What the file holds, or undefined when there is none. Throws Fault "data" when it is not JSON, or written by a release after `version`. */
export function readJson(path: string, version: number): { readonly version?: unknown } | null | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw fileFault(error, path);
  }
  let value: { readonly version?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch (error) {
    throw damagedFile(path, "it is not JSON", error);
  }
  const written = value?.version;
  if (typeof written === "number" && written > version)
    throw new Fault("data", `${path} was written by a newer skein (version ${written}): run that one`, "never");
  return value;
}

/** A file without which this directory is no member's. */
export function damagedFile(path: string, why: string, cause?: unknown): Fault {
  return new Fault(
    "data",
    `${path} is damaged (${why}): restore it from a backup, or remove the whole data directory and join again as a new node`,
    "never",
    cause,
  );
}

/** Makes what was written to the file durable. Throws what the file system throws. */
export function syncFile(path: string): void {
  const handle = openSync(path, "r+");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** A database file, before SQLite opens it: see makePrivateFile. Throws Fault "disk". */
export function makeDatabaseFile(path: string): void {
  if (path === ":memory:") return; // SQLite's name for no file
  try {
    makePrivateFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Fault("disk", `${path} cannot be made, or kept for this user alone: ${why}`, "never", error);
  }
}

/** An error of the file system as a Fault "data" (what the directory is), "disk-full" or "disk" (what the device did), for people. */
export function fileFault(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (code === undefined || error instanceof Fault) return error;
  const reason = reasons[code];
  if (code === "ENOSPC" || code === "EDQUOT") return new Fault("disk-full", `${path} ${reason}`, "safe", error);
  if (reason !== undefined) return new Fault("data", `${path} ${reason}`, "never", error);
  return new Fault("disk", `${path}: ${(error as Error).message}`, "never", error);
}

/** ENOENT and its like, or undefined when the error is not one of the operating system. */
export function errorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return typeof code === "string" ? code : undefined;
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "cannot be written by this user: change its owner or mode, or choose another directory with --data",
  EPERM: "cannot be written by this user: change its owner or mode, or choose another directory with --data",
  EROFS: "is on a read-only file system: choose another directory with --data",
  ENOSPC: "is on a full file system: free some space, or choose another directory with --data",
  EDQUOT: "is over the disk quota of this user: free some space, or choose another directory with --data",
  ENOTDIR: "is not a directory: choose another one with --data",
  EEXIST: "is not a directory: choose another one with --data",
  ELOOP: "is a loop of symbolic links: choose another directory with --data",
  ENAMETOOLONG: "is too long a path: choose another directory with --data",
  ENOENT: "does not exist and cannot be made: choose another directory with --data",
};

/** There was no room: what was to be replaced is as it was, and it may be tried again. */
export function isNoRoom(error: unknown): error is Fault {
  return error instanceof Fault && error.code === "disk-full";
}
