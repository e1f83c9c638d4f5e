import { rmSync } from "node:fs";
import { dirname } from "node:path";
import { isId } from "../lib/ids.ts";
import { damagedFile, readJson, syncDirectory, writeJson } from "./files.ts";

/**
 * log.db-lost: the leader has told this node that it acknowledged entries which its log does not have (raft, lostUntil). It is written before the node
 * ends, so that whoever starts it again, a supervisor above all, gets no member in that has forgotten what it promised (D1, D4). A log that has them again,
 * because its files were put back, is whole.
 */
const version = 1;

const lostPath = (logPath: string): string => `${logPath}-lost`;

/** The log must reach `until`. On disk when this returns. Throws Fault. */
export function writeLost(logPath: string, until: number): void {
  writeJson(lostPath(logPath), { version, until });
}

/** The log has it all again. Durable when this returns. Throws what the file system throws. */
export function removeLost(logPath: string): void {
  rmSync(lostPath(logPath), { force: true });
  syncDirectory(dirname(logPath));
}

/** The entry up to which the log must reach; 0: nothing is known to be lost. Throws Fault "data" for a file that cannot be read. */
export function readLost(logPath: string): number {
  const value = readJson(lostPath(logPath), version) as { readonly until?: unknown } | null | undefined;
  if (value === undefined) return 0;
  const until = value?.until;
  if (!isId(until)) throw damagedFile(lostPath(logPath), "its number is missing");
  return until;
}
