import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory, writeSynced } from "../storage/files.ts";

/**
 * joining.json (mode 0600): what this data directory asks to be let in with. It is on disk before the first member is asked and goes
 * when identity.json and context.json are there. So a node that is killed between its admission and its first file
 * asks again under the same (name, incarnation), gets the same id and token, and leaves no member behind that never comes.
 */
export interface Joining {
  readonly name: string;
  readonly incarnation: string;
  /** The API token that the node's context will hold. */
  readonly token: string;
}

const fileName = "joining.json";

/** What an earlier start asked with; undefined when there is nothing that can be read. */
export function readJoining(directory: string): Joining | undefined {
  try {
    const value = JSON.parse(readFileSync(join(directory, fileName), "utf8")) as Partial<
      Record<keyof Joining, unknown>
    >;
    const { name, incarnation, token } = value;
    const isWhole = typeof name === "string" && typeof incarnation === "string" && typeof token === "string";
    return isWhole ? { name, incarnation, token } : undefined;
  } catch {
    return undefined; // absent, or cut short: then nobody was asked with it
  }
}

/** On disk when it returns. Throws what the file system throws. */
export function writeJoining(directory: string, joining: Joining): void {
  writeSynced(join(directory, fileName), `${JSON.stringify(joining)}\n`);
  syncDirectory(directory);
}

/** The node is a member and knows it. */
export function removeJoining(directory: string): void {
  rmSync(join(directory, fileName), { force: true });
}
