import { type Configuration, decodeConfiguration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index, term } from "../lib/ids.ts";
import type { Entry, EntryKind } from "../raft/types.ts";

/** How log.db holds entries: shared by the worker that writes and the reader in the calling thread. */

export const logVersion = 1;

/**
 * `meta.base_*` describe the entry before the first one kept: zeros until the log is compacted. Terms never fall from one
 * index to the next, so a term's first entry is found by halving and needs no index of its own.
 */
export const logSchema: readonly string[] = [
  `create table meta (
     id integer primary key check (id = 1), version integer not null,
     base_index integer not null, base_term integer not null, base_configuration blob
   ) strict`,
  `create table hard (
     id integer primary key check (id = 1), term integer not null, vote integer not null, "commit" integer not null
   ) strict`,
  `create table entry (
     idx integer primary key, term integer not null, kind integer not null, crc integer not null, data blob not null
   ) strict`,
  `create index entry_configuration on entry (idx) where kind = 2`,
  `insert into meta values (1, ${logVersion}, 0, 0, null)`,
  `insert into hard values (1, 0, 0, 0)`,
  `create table repair (
     id integer primary key check (id = 1), until integer not null, term integer not null
   ) strict`,
];

/** For a file that was made before entries were repaired. Its row is there while entries that had been acknowledged are missing (D3). */
export const repairSchema = logSchema.at(-1)!;

export interface EntryRow {
  readonly idx: number;
  readonly term: number;
  readonly kind: number;
  readonly crc: number;
  readonly data: Uint8Array;
}

const kinds: readonly EntryKind[] = ["noop", "command", "configuration"];

/** The number that stands for a kind on disk; never reused. */
export function kindNumber(kind: EntryKind): number {
  return kinds.indexOf(kind);
}

const header = new DataView(new ArrayBuffer(17));
const headerBytes = new Uint8Array(header.buffer);

/** Over everything that makes the entry what it is, so that a row that moved is as wrong as one that changed. */
export function entryChecksum(entryIndex: number, entryTerm: number, kind: number, data: Uint8Array): number {
  header.setFloat64(0, entryIndex);
  header.setFloat64(8, entryTerm);
  header.setUint8(16, kind);
  return Bun.hash.crc32(data, Bun.hash.crc32(headerBytes));
}

/** The row is what was written. */
export function isIntact(row: EntryRow): boolean {
  return kinds[row.kind] !== undefined && entryChecksum(row.idx, row.term, row.kind, row.data) === row.crc;
}

/** A row as an entry. Throws Fault "data" naming the index when it is not what was written (D3). */
export function entryOf(row: EntryRow, path: string): Entry {
  const kind = kinds[row.kind];
  if (kind === undefined || !isIntact(row)) {
    throw corrupt(row.idx, path, "its checksum is wrong");
  }
  return { index: index(row.idx), term: term(row.term), kind, data: row.data };
}

/** The configuration that an entry carries. */
export function configurationOf(entry: Entry, path: string): Configuration {
  const value = decodeConfiguration(entry.data);
  if (value === undefined) throw corrupt(entry.index, path, "its configuration cannot be read");
  return value;
}

/** An entry is not what was written: names it, and says what to do (D3). */
export function corrupt(entryIndex: number, path: string, why: string): Fault {
  return new Fault(
    "data",
    `${path}: entry ${entryIndex} is damaged (${why}). The disk or its memory lost bytes: check the disk, then remove this node's data ` +
      `directory and join again as a new node; the other members have the entry`,
    "never",
  );
}
