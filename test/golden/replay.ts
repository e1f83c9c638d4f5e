import { readFileSync } from "node:fs";
import { decode } from "../../src/lib/codec.ts";
import { RollingHash } from "../../src/lib/hash.ts";
import { applyEntries, type CommittedEntry } from "../../src/state/apply.ts";
import { schema } from "../../src/state/schema.ts";
import { sql, type SqlValue } from "../../src/state/tx.ts";
import { openDatabase, self } from "../state/support.ts";

/** What a log leads to: the rolling hash of the state, and a digest of every table's rows. */
export interface Digest {
  readonly entries: number;
  readonly hash: string;
  readonly rows: Readonly<Record<string, string>>;
}

/** The levels of which a log is kept. */
export const levels = [1, 2, 3] as const;
export type Level = (typeof levels)[number];

/** MessagePack, [[kind, data], ...] from index 1 on. */
export function logFile(level: Level): URL {
  return new URL(`level-${level}.bin`, import.meta.url);
}

/** What it leads to, as JSON. */
export function digestFile(level: Level): URL {
  return new URL(`level-${level}.json`, import.meta.url);
}

/** The kept log of a level. */
export function readLog(level: Level): CommittedEntry[] {
  const entries = decode(readFileSync(logFile(level))) as [CommittedEntry["kind"], Uint8Array][];
  return entries.map(([kind, data], at) => ({ index: at + 1, kind, data }));
}

/** Applies a whole log to an empty state. */
export function replay(log: readonly CommittedEntry[]): Digest {
  const database = openDatabase();
  while (database.applied < log.length) applyEntries(database, log.slice(database.applied), { self });
  const tables = schema.flatMap((text) => /^create table (\w+)/.exec(text)?.[1] ?? []);
  // A table without rows is left out: one that a later level brings changes nothing for the log of an earlier one.
  const rows = tables.flatMap((table) => {
    const all = database.all<Record<string, SqlValue>>(sql(`select * from ${table}`));
    return all.length === 0 ? [] : [[table, digestOf(all.map((row) => JSON.stringify(row, bytesAsHex)))] as const];
  });
  return { entries: log.length, hash: database.hash, rows: Object.fromEntries(rows) };
}

/** Whatever order the rows came in. */
function digestOf(rows: string[]): string {
  const digest = new RollingHash("");
  for (const row of rows.toSorted((a, b) => (a < b ? -1 : 1))) digest.text(row);
  return digest.digest();
}

/** A column that is null is left out, as a table without rows is: one that a later level brings changes nothing for the log of an earlier one. */
function bytesAsHex(_: string, value: unknown): unknown {
  if (value === null) return undefined;
  return value instanceof Uint8Array ? value.toHex() : value;
}
