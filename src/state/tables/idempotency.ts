import { limits } from "../../lib/limits.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/** A request's key, per token: kept for 24 h, and as long as one of its jobs is there. */
export interface IdempotencyRow {
  readonly digest: string;
  readonly first: number;
  readonly count: number;
}

const select = sql("select digest, first, count from idempotency where token = ? and key = ?");

/** undefined: the token has not used this key, or it has been forgotten. */
export function idempotencyOf(tx: ReadTx, token: string, key: string): IdempotencyRow | undefined {
  return tx.get<IdempotencyRow>(select, token, key);
}

const insert = change(
  "idempotency.add",
  "insert into idempotency (token, key, digest, first, count, unexpired, keep_until) values (?, ?, ?, ?, ?, ?, ?)",
);

/** Remembers a key for the run of jobs from `first` on. `at` is the entry's time, epoch ms. */
export function insertIdempotency(
  tx: Tx,
  token: string,
  key: string,
  digest: string,
  first: number,
  count: number,
  at: number,
): void {
  tx.run(insert, token, key, digest, first, count, count, at + limits.idempotencyKeepMs);
}

const selectOf = sql("select first, count from idempotency where first <= ? order by first desc limit 1");
const release = change("idempotency.release", "update idempotency set unexpired = unexpired - 1 where first = ?");

/** One of the key's jobs is gone. */
export function releaseIdempotency(tx: Tx, job: number): void {
  const row = tx.get<{ first: number; count: number }>(selectOf, job);
  if (row !== undefined && job < row.first + row.count) tx.run(release, row.first);
}

const sweep = change(
  "idempotency.sweep",
  `delete from idempotency where (token, key) in
   (select token, key from idempotency where unexpired = 0 and keep_until <= ? order by keep_until, token, key limit 1000)`,
);

/** Forgets keys whose time is over, a bounded number at once. */
export function sweepIdempotency(tx: Tx, at: number): void {
  tx.run(sweep, at);
}
