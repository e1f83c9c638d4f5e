import type { Outcome } from "../../lib/outcome.ts";
import { sql, type ReadTx, type Tx } from "../tx.ts";

/** Which batches were applied, per origin (S3): outcomes from the origin's floor on, and the floor. */

const selectFloor = sql("select floor from batch_floor where origin = ?");
const upsertFloor = sql(
  "insert into batch_floor (origin, floor) values (?, ?) on conflict (origin) do update set floor = excluded.floor",
);

/** Serials below it are done with; 0 before the first batch. */
export function readFloor(tx: ReadTx, origin: number): number {
  return tx.get<{ floor: number }>(selectFloor, origin)?.floor ?? 0;
}

/** The caller only ever raises it. */
export function writeFloor(tx: Tx, origin: number, floor: number): void {
  tx.run(upsertFloor, origin, floor);
}

const selectOutcomes = sql("select entry, outcomes from batch_outcome where origin = ? and serial = ?");

/** What the batch was answered, and in which entry it was applied; undefined: not applied, or below the floor. */
export function readOutcomes(
  tx: ReadTx,
  origin: number,
  serial: number,
): { readonly entry: number; readonly outcomes: Outcome<unknown>[] } | undefined {
  const row = tx.get<{ entry: number; outcomes: string }>(selectOutcomes, origin, serial);
  return row === undefined ? undefined : { entry: row.entry, outcomes: JSON.parse(row.outcomes) as Outcome<unknown>[] };
}

const insert = sql("insert into batch_outcome (origin, serial, entry, outcomes) values (?, ?, ?, ?)");
const prune = sql("delete from batch_outcome where origin = ? and serial < ?");

/** `outcomes` is canonical text: going through `run`, it enters the rolling hash. */
export function writeOutcomes(tx: Tx, origin: number, serial: number, entry: number, outcomes: string): void {
  tx.run(insert, origin, serial, entry, outcomes);
}

/** Forgets what the origin will not ask for any more. */
export function pruneOutcomes(tx: Tx, origin: number, floor: number): void {
  tx.run(prune, origin, floor);
}
