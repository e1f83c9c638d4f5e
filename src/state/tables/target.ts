import { assert } from "../../lib/assert.ts";
import { Recent } from "../../lib/memo.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";

/**
 * The names that jobs have targets of, once for all jobs that have the same: a list is called by the digest of its names joined by newlines, so whoever names one says
 * what is in it, in which order. A list stays as long as one of its jobs, and then until it is swept (forgetting.ts); a job that comes meanwhile finds it as it was.
 *
 *   target_names  the names by position, a piece of 1,000 a row: whoever asks about one task reads one piece
 *   target_index  in which lists a name is, and where: for a hash of the name, pairs of hash and position. Two names may have one hash, so what is found
 *                 there is looked up before it is believed. It holds no names: to sort or write a hundred thousand of them would take longer than all the rest.
 *
 * Both follow from the digest, which therefore stands for them in the rolling hash (S1).
 */
const namesPerPiece = 1_000;
const buckets = 1_024;

/** A list as it is read: how many names it has, and of how many jobs. */
interface TargetList {
  readonly count: number;
  readonly jobs: number;
}

const selectList = sql("select count, jobs from target_list where hash = ?");

/** How many names the list has; undefined: it is not there. */
export function targetCount(tx: ReadTx, list: string): number | undefined {
  return tx.get<TargetList>(selectList, list)?.count;
}

const insertList = change("target_list.add", "insert into target_list (hash, count, jobs) values (?, ?, 0)");
const insertNames = change("target_names.add", "insert into target_names (list, first, names) values (?, ?, ?)");
const insertIndex = change("target_index.add", "insert into target_index (bucket, list, entries) values (?, ?, ?)");

/** A list that is not there yet. `names`: joined by newlines. */
export function insertTargets(tx: Tx, list: string, names: string): void {
  const { count, ends, hashes } = scan(names);
  tx.run(insertList, list, count);
  for (let first = 0, at = 0; first < count; first += namesPerPiece) {
    const end = ends[Math.min(first + namesPerPiece, count) - 1]!;
    tx.runAs(insertNames, [list, first], [list, first, names.slice(at, end)]);
    at = end + 1;
  }
  for (const [bucket, entries] of entriesOf(hashes)) tx.runAs(insertIndex, [bucket, list], [bucket, list, entries]);
}

/** Where each line ends, and the hash of what it holds: without a piece of text for each, of which there may be a hundred thousand. */
function scan(names: string): {
  readonly count: number;
  readonly ends: Uint32Array;
  readonly hashes: Uint32Array;
} {
  let count = 1;
  for (let at = names.indexOf("\n"); at !== -1; at = names.indexOf("\n", at + 1)) count += 1;
  const ends = new Uint32Array(count);
  const hashes = new Uint32Array(count);
  for (let line = 0, from = 0; line < count; line++) {
    const next = names.indexOf("\n", from);
    const to = next === -1 ? names.length : next;
    ends[line] = to;
    hashes[line] = hashOf(names, from, to);
    from = to + 1;
  }
  return { count, ends, hashes };
}

/** FNV-1a of the text from `from` to `to`, with its bits mixed once more: the lowest ones choose the bucket. */
function hashOf(text: string, from = 0, to = text.length): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** By bucket: hash and position of each of its names, eight bytes together, in the order of the names. */
function* entriesOf(hashes: Uint32Array): Generator<[bucket: number, entries: Uint8Array], void, undefined> {
  const ends = new Uint32Array(buckets);
  for (const hash of hashes) ends[hash % buckets]! += 1;
  for (let bucket = 1; bucket < buckets; bucket++) ends[bucket]! += ends[bucket - 1]!;
  const starts = ends.map((_, bucket) => (bucket === 0 ? 0 : ends[bucket - 1]!));
  const next = starts.slice();
  const view = new DataView(new ArrayBuffer(hashes.length * entryBytes));
  for (let position = 0; position < hashes.length; position++) {
    const hash = hashes[position]!;
    const at = next[hash % buckets]!++ * entryBytes;
    view.setUint32(at, hash, true);
    view.setUint32(at + 4, position, true);
  }
  for (let bucket = 0; bucket < buckets; bucket++) {
    const [start, end] = [starts[bucket]!, ends[bucket]!];
    if (end > start) yield [bucket, new Uint8Array(view.buffer, start * entryBytes, (end - start) * entryBytes)];
  }
}

const entryBytes = 8;

const insertJob = change("job_target.add", "insert into job_target (list, job) values (?, ?)");
const countJob = change("target_list.count", "update target_list set jobs = jobs + ? where hash = ?");

/** The job, which has just come, is about the targets of the list. */
export function addJobOf(tx: Tx, list: string, job: number): void {
  tx.run(insertJob, list, job);
  tx.run(countJob, 1, list);
}

const removeJob = change("job_target.remove", "delete from job_target where list = ? and job = ?");

/** The job is gone. */
export function removeJobOf(tx: Tx, list: string, job: number): void {
  tx.run(removeJob, list, job);
  tx.run(countJob, -1, list);
}

const selectUnused = sql("select hash, count from target_list where jobs = 0 order by hash limit 1");
const selectPieces = sql("select names from target_names where list = ? order by first");
const removeList = change("target_list.remove", "delete from target_list where hash = ?");
const removeNames = change("target_names.remove", "delete from target_names where list = ?");
const removeIndex = change("target_index.remove", "delete from target_index where bucket = ? and list = ?");

/** A list of no job; undefined: there is none. */
export function unusedTargets(tx: ReadTx): { readonly hash: string; readonly count: number } | undefined {
  return tx.get<{ hash: string; count: number }>(selectUnused);
}

/** The list goes, all of it at once: nobody ever finds a part of one. */
export function removeTargets(tx: Tx, list: string): void {
  const used = new Set<number>();
  for (const { names } of tx.all<{ names: string }>(selectPieces, list))
    for (const hash of scan(names).hashes) used.add(hash % buckets);
  for (const bucket of used) tx.run(removeIndex, bucket, list);
  tx.run(removeNames, list);
  tx.run(removeList, list);
}

/** Pieces of lists that were read last: some eight MiB. What is called by its digest never changes. */
const pieces = new Recent<readonly string[]>(128);
const selectPiece = sql("select names from target_names where list = ? and first = ?");

/** The name at a position, from 0 on, of a list that is there. */
export function targetAt(tx: ReadTx, list: string, position: number): string {
  const within = position % namesPerPiece;
  const name = pieceOf(tx, list, position - within)?.[within];
  assert(name !== undefined, `there is no target ${position} in the list ${list}`);
  return name;
}

function pieceOf(tx: ReadTx, list: string, first: number): readonly string[] | undefined {
  const key = `${list}/${first}`;
  let piece = pieces.get(key);
  if (piece !== undefined) return piece;
  piece = tx.get<{ names: string }>(selectPiece, list, first)?.names.split("\n");
  if (piece !== undefined) pieces.set(key, piece);
  return piece;
}

/** All names, in their order; undefined: there is no such list. */
export function targetsIn(tx: ReadTx, list: string): readonly string[] | undefined {
  const rows = tx.all<{ names: string }>(selectPieces, list);
  return rows.length === 0 ? undefined : rows.flatMap(({ names }) => names.split("\n"));
}

interface IndexRow {
  readonly list: string;
  readonly entries: Uint8Array;
}

const selectBucket = sql("select list, entries from target_index where bucket = ? and instr(entries, ?) > 0");
const selectEntries = sql("select list, entries from target_index where bucket = ? and list = ?");

/** Where the name is: one place in each list that holds it. */
export function placesOfTarget(tx: ReadTx, name: string): { readonly list: string; readonly position: number }[] {
  const hash = hashOf(name);
  const needle = new Uint8Array(4);
  new DataView(needle.buffer).setUint32(0, hash, true);
  return tx.all<IndexRow>(selectBucket, hash % buckets, needle).flatMap(({ list, entries }) => {
    const position = positionIn(tx, list, entries, name, hash);
    return position === undefined ? [] : [{ list, position }];
  });
}

/** Where the name is in the list; undefined: it is not. */
export function placeInList(tx: ReadTx, list: string, name: string): number | undefined {
  const hash = hashOf(name);
  const row = tx.get<IndexRow>(selectEntries, hash % buckets, list);
  return row && positionIn(tx, list, row.entries, name, hash);
}

function positionIn(tx: ReadTx, list: string, entries: Uint8Array, name: string, hash: number): number | undefined {
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
  for (let at = 0; at < entries.byteLength; at += entryBytes) {
    if (view.getUint32(at, true) !== hash) continue;
    const position = view.getUint32(at + 4, true);
    if (targetAt(tx, list, position) === name) return position;
  }
  return undefined;
}

const selectJobs = sql("select job from job_target where list = ? and job < ? order by job desc limit ?");

/** The newest jobs of the list before one, so many at most. */
export function jobsOfTargets(tx: ReadTx, list: string, before: number, most: number): number[] {
  return tx.all<{ job: number }>(selectJobs, list, before, most).map(({ job }) => job);
}
