import { readFileSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory, writeSynced } from "../storage/files.ts";
import type { Identity } from "../storage/types.ts";

/**
 * copied.json: another member has told this node that its data is an older copy (old-copy.ts). It takes part no more with that data: each start would raise
 * the number by which that was found, so a supervisor that starts the node again and again would get a member in that has forgotten its votes and what it
 * acknowledged (D1, D4). It is told apart by the start that was refused: newer data that is put in its place, and whatever else the directory comes to be, is
 * not meant.
 */
const fileName = "copied.json";

/** On disk when it returns. Throws what the file system throws. */
export function writeCopied(dataDir: string, incarnation: string): void {
  writeSynced(join(dataDir, fileName), `${JSON.stringify({ incarnation })}\n`);
  syncDirectory(dataDir);
}

/** The data in this directory was found to be an older copy, and nothing has taken its place. */
export function isCopied(dataDir: string, { incarnation }: Identity): boolean {
  try {
    const value = JSON.parse(readFileSync(join(dataDir, fileName), "utf8")) as {
      readonly incarnation?: unknown;
    } | null;
    return incarnation !== undefined && value?.incarnation === incarnation;
  } catch {
    return false; // absent; one that was cut short is written again at the next contact
  }
}

/** For the one who looks after the node: what has happened, and the ways on. */
export function copiedWords(dataDir: string): string {
  return (
    `another member knows of a later start of this node than that of the data in ${dataDir}: it was put back from a copy, or a copy of it was started elsewhere. ` +
    `It does not have what the node promised since, and must not go on. Put the newest data back if it is still there; else remove this node on another member ` +
    `('skein nodes rm'), put ${dataDir} aside and let this host join again as a new node: 'skein cluster token' on a member, then 'skein up --join' here with an empty --data. ` +
    `Only where there is nothing newer and the cluster cannot go on without it: remove ${join(dataDir, fileName)}, and reckon with the loss of acknowledged writes`
  );
}
