import { existsSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory, writeSynced } from "../storage/files.ts";

/**
 * copied.json: another member has told this node that its data is an older copy (old-copy.ts). It takes part no more: each start would raise the number
 * by which that was found, so a supervisor that starts the node again and again would get a member in that has forgotten its votes and what it
 * acknowledged (D1, D4).
 */
const fileName = "copied.json";

/** On disk when it returns. Throws what the file system throws. */
export function writeCopied(dataDir: string, reason: string): void {
  writeSynced(join(dataDir, fileName), `${JSON.stringify({ reason })}\n`);
  syncDirectory(dataDir);
}

/** The data in this directory was found to be an older copy. One whose file was cut short counts. */
export function isCopied(dataDir: string): boolean {
  return existsSync(join(dataDir, fileName));
}

/** For the one who looks after the node: what has happened, and what to do. */
export function copiedWords(dataDir: string): string {
  return (
    `the data in ${dataDir} is an older copy of this node's, and has forgotten what the node promised since: it must not go on. ` +
    `Put back the newest data if it is still there; else remove this node on another member (skein nodes rm), put ${dataDir} aside and let this host join again ` +
    `as a new node: 'skein cluster token' on a member, then 'skein up --join' here with an empty --data`
  );
}
