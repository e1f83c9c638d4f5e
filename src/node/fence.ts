import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Epoch, formatEpoch, isEpoch } from "../lib/epoch.ts";
import { syncDirectory, writeSynced } from "../storage/files.ts";

/**
 * fenced.json: this node was told that its cluster goes on in a newer epoch. It takes part no more, not even with others that were not told: two of
 * an old epoch that come back together must not become a second cluster. The higher epoch wins, as the higher term does among leaders; what the node
 * has stays on its disk.
 */
const fileName = "fenced.json";

/** On disk when it returns. Throws what the file system throws. */
export function writeFence(dataDir: string, newer: Epoch): void {
  writeSynced(join(dataDir, fileName), `${JSON.stringify(newer)}\n`);
  syncDirectory(dataDir);
}

/** The newer epoch that this node was told of; undefined: none, or it has come to that epoch since. */
export function readFence(dataDir: string, own: Epoch): Epoch | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(join(dataDir, fileName), "utf8"));
    return isEpoch(value) && value.number > own.number ? value : undefined;
  } catch {
    return undefined; // absent; one that was cut short is written again at the next contact
  }
}

/** For the one who looks after the node: what has happened, and both ways on. */
export function fencedWords(dataDir: string, own: Epoch, newer: Epoch): string {
  return (
    `this node is of epoch ${formatEpoch(own)}; its cluster lost its quorum and was recovered into epoch ${formatEpoch(newer)}, and goes on without it. ` +
    `If it was named as a survivor there, run here what 'skein cluster recover' printed there (skein cluster recover --rejoin ... --data ${dataDir}). ` +
    `Else put ${dataDir} aside and let this host join again as a new node: 'skein cluster token' on a member, then 'skein up --join' here with an empty --data`
  );
}
