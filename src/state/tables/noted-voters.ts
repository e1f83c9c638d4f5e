import type { NodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

const select = sql("select nodes from noted_voters");
const upsert = change(
  "noted_voters.set",
  "insert into noted_voters (id, nodes) values (1, ?) on conflict (id) do update set nodes = excluded.nodes",
);

/** The voters as the audit said last; undefined: it has not said any. */
export function notedVoters(tx: ReadTx): readonly NodeId[] | undefined {
  const row = tx.get<{ nodes: string }>(select);
  return row && (JSON.parse(row.nodes) as NodeId[]);
}

/** The audit says that these vote. */
export function setNotedVoters(tx: Tx, voters: readonly NodeId[]): void {
  tx.run(upsert, JSON.stringify(voters));
}
