import type { Outcome } from "../../lib/outcome.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** Which batches were applied, per origin (S3): outcomes from the origin's floor on, and the floor. */

const selectFloor = sql("select floor from batch_floor where origin = ?");
const upsertFloor = change(
  "batch_floor.set",
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

const insert = change(
  "batch_outcome.add",
  "insert into batch_outcome (origin, serial, entry, outcomes) values (?, ?, ?, ?)",
);
const prune = change("batch_outcome.prune", "delete from batch_outcome where origin = ? and serial < ?");

/** `outcomes` is canonical text; `hashed` stands for it in the rolling hash. */
export function writeOutcomes(
  tx: Tx,
  batch: { readonly origin: number; readonly serial: number },
  entry: number,
  outcomes: string,
  hashed: string,
): void {
  tx.runAs(insert, [batch.origin, batch.serial, entry, hashed], [batch.origin, batch.serial, entry, outcomes]);
}

/** Forgets what the origin will not ask for any more. */
export function pruneOutcomes(tx: Tx, origin: number, floor: number): void {
  tx.run(prune, origin, floor);
}
