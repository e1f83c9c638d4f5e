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
    if (!(error instanceof Fault) || !/\((SQLITE_(NOTADB|CORRUPT)\w*|WAL_DAMAGED)\)/.test(error.message)) throw error;
    const words =
      `the file cannot be read any more: check the disk. What it held is with the other members: put ${dataDir} aside, ` +
      `remove this node there ('skein nodes rm ${node}'), and let this host join again with an empty data directory and a token of 'skein cluster token'. ` +
      `Where there is no other member, restore a backup ('skein restore'); where too many are so, see 'skein cluster recover'`;
    throw new Fault("data", `${error.message}: ${words}`, "never", error);
  }
}
