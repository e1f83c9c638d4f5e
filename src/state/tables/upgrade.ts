import { change, sql, type ReadTx, type Tx } from "../tx.ts";

const select = sql("select 1 as held from level_hold");
const insert = change("level_hold.set", "insert into level_hold (id) values (1)");
const remove = change("level_hold.remove", "delete from level_hold");

/** A person keeps the leader from raising the level. */
export function isLevelHeld(tx: ReadTx): boolean {
  return tx.get(select) !== undefined;
}

/** Only to what it is not yet. */
export function holdLevel(tx: Tx, hold: boolean): void {
  tx.run(hold ? insert : remove);
}
