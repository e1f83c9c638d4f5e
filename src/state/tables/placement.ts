import type { Placement } from "../../lib/placement.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

const select = sql("select placement from cluster");
const update = change("cluster.set-placement", "update cluster set placement = ?");

/** What was set, or what holds before anything was. */
export function placementOf(tx: ReadTx): Placement {
  return tx.get<{ placement: Placement | null }>(select)?.placement ?? "spread";
}

/** The default is no row's business. False: there is no cluster yet. */
export function setPlacement(tx: Tx, placement: Placement): boolean {
  return tx.run(update, placement === "spread" ? null : placement) > 0;
}
