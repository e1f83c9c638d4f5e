import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";

/**
 * Adds the way back to a fault that says a file is no database, or a broken one, or that its WAL is damaged: what it held is with the other members, and nobody but a
 * person may decide that a disk is to be trusted again. A member without its log must not vote again under its id (D1, D4).
 */
export async function withWayBack<Value>(dataDir: string, node: NodeId, opening: Promise<Value>): Promise<Value> {
  try {
    return await opening;
  } catch (error) {
    const found =
      error instanceof Fault
        ? /\((SQLITE_(?:NOTADB|CORRUPT)\w*|WAL_DAMAGED|LOG_GONE_BACK)\)/.exec(error.message)
        : null;
    if (found === null) throw error;
    const why =
      found[1] === "LOG_GONE_BACK"
        ? "what it has promised since must not be forgotten. Put the files back as they were, if they are still there; else:"
        : "the file cannot be read any more: check the disk.";
    throw new Fault("data", `${(error as Fault).message}: ${why} ${wayBack(dataDir, node)}`, "never", error);
  }
}

/** For a node whose log is not to be gone on with. */
export function wayBack(dataDir: string, node: NodeId): string {
  return (
    `What it held is with the other members: put ${dataDir} aside, ` +
    `remove this node there ('skein nodes rm ${node}'), and let this host join again with an empty data directory and a token of 'skein cluster token'. ` +
    `Where there is no other member, restore a backup ('skein restore'); where too many are so, see 'skein cluster recover'`
  );
}
