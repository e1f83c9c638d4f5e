import type { NodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** Where the copy of a node's pack of logs is (N1). A row stays when its node is removed: the logs are read by it then. */
export interface PackCopy {
  readonly node: NodeId;
  readonly pack: string;
  readonly holder: NodeId;
}

const selectOf = sql("select node, pack, holder from pack_copy where node = ? order by pack");
const selectHeldBy = sql("select node, pack, holder from pack_copy where holder = ? order by node, pack");
const selectHolders = sql("select distinct holder from pack_copy where node = ? order by holder");
const selectOne = sql("select node, pack, holder from pack_copy where node = ? and pack = ?");
const put = change("pack_copy.set", "insert or replace into pack_copy (node, pack, holder) values (?, ?, ?)");
const remove = change("pack_copy.remove", "delete from pack_copy where node = ? and pack = ?");

/** Copies of that node's packs. */
export function packCopiesOf(tx: ReadTx, node: number): PackCopy[] {
  return tx.all<PackCopy>(selectOf, node);
}

/** Copies that a node holds of those of others. */
export function packCopiesHeldBy(tx: ReadTx, holder: number): PackCopy[] {
  return tx.all<PackCopy>(selectHeldBy, holder);
}

/** Who holds copies of that node's packs. */
export function packHolders(tx: ReadTx, node: number): NodeId[] {
  return tx.all<{ holder: NodeId }>(selectHolders, node).map(({ holder }) => holder);
}

/** undefined: it has none. */
export function packCopy(tx: ReadTx, node: number, pack: string): PackCopy | undefined {
  return tx.get<PackCopy>(selectOne, node, pack);
}

/** A pack has one copy: a new place takes that of the one before. */
export function setPackCopy(tx: Tx, { node, pack, holder }: PackCopy): void {
  tx.run(put, node, pack, holder);
}

/** The pack, or its copy, is no more. */
export function removePackCopy(tx: Tx, node: number, pack: string): void {
  tx.run(remove, node, pack);
}
