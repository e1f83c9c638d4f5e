import { Database, type Statement } from "bun:sqlite";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makePrivateFile } from "../lib/files.ts";
import { bootId } from "./guard/processes.ts";
import type { LogStream, PackRecord } from "./pack-record.ts";
import { packHeaderBytes } from "./pack-record.ts";
import type { AttemptName } from "./types.ts";

/**
 * Where in the packs whose output is: DIR/logs/index.db. A table rather than maps in memory, since a node keeps the logs of a million finished jobs for days; it
 * takes a row per attempt and pack (more only where output is long or lies far apart), some 2 µs each. It is derived and not synced: it outlives the process, and
 * is made anew from the packs after a crash of the machine, or when it cannot be read. What is read through it is checked against the
 * records themselves, so that a wrong row shows nothing wrong.
 */

/** A run of records of one attempt in one pack, perhaps with those of others in between. */
export interface Piece {
  readonly pack: number;
  /** Of the node that wrote the pack, and its file. */
  readonly name: string;
  /** Where its first record begins, and how far its last one reaches. */
  readonly start: number;
  readonly length: number;
  /** Bytes of output before it and in it, of both streams and of stdout alone. */
  readonly before: number;
  readonly bytes: number;
  readonly outBefore: number;
  readonly outBytes: number;
}

/** A pack as far as it has been looked through. */
export interface PackRow {
  readonly id: number;
  readonly source: number;
  readonly name: string;
  /** The end of its last whole record. */
  readonly scanned: number;
  /** 1: nothing follows; 2: and what it took over from other packs is not looked for there any more. */
  readonly sealed: number;
}

const layout = 2;

const tables = [
  `create table about (id integer primary key check (id = 1), boot text not null) strict`,
  `create table pack (
    id integer primary key,
    source integer not null,
    name text not null,
    scanned integer not null default 0,
    sealed integer not null default 0,
    unique (source, name)
  ) strict`,
  `create table piece (
    job integer not null,
    task integer not null,
    attempt integer not null,
    source integer not null,
    pack integer not null,
    start integer not null,
    length integer not null,
    before integer not null,
    bytes integer not null,
    out_before integer not null,
    out_bytes integer not null,
    records integer not null,
    primary key (job, task, attempt, source, pack, start)
  ) strict, without rowid`,
  `create index piece_pack on piece (pack)`,
];

/** Records that lie so close together are one piece, and one read. */
const spanBytes = 64 * 1024;
/** The same of records with nothing in between. */
const runBytes = 256 * 1024;
/** Pieces that may still grow, of one pack. */
const growingMax = 4096;

/** Pieces of one pack that the next records may belong to. */
export type Growing = Map<string, GrowingPiece>;

type GrowingPiece = AttemptName & {
  start: number;
  length: number;
  before: number;
  bytes: number;
  outBefore: number;
  outBytes: number;
  records: number;
  isNew: boolean;
};

/** A record, and where it begins. */
export interface PlacedRecord {
  readonly record: PackRecord;
  readonly position: number;
}

/** The table of pieces of one data directory. */
export class PackIndex {
  readonly #database: Database;
  readonly #put: Statement;
  readonly #grow: Statement;
  readonly #replace: Statement;
  readonly #progress: Statement;

  private constructor(database: Database) {
    this.#database = database;
    this.#put = database.prepare(
      `insert or replace into piece (job, task, attempt, source, pack, start, length, before, bytes, out_before, out_bytes, records)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#grow = database.prepare(
      `update piece set length = ?, bytes = ?, out_bytes = ?, records = ? where job = ? and task = ? and attempt = ? and source = ? and pack = ? and start = ?`,
    );
    this.#replace = database.prepare(
      `delete from piece where job = ? and task = ? and attempt = ? and source = ? and pack <> ? and before < ? and before + bytes > ?`,
    );
    this.#progress = database.prepare(`update pack set scanned = ?, sealed = ? where id = ?`);
  }

  /** Opens it, or makes an empty one. Throws what SQLite throws when neither is possible. */
  static open(dataDir: string): PackIndex {
    const path = join(dataDir, "logs", "index.db");
    mkdirSync(join(dataDir, "logs"), { recursive: true, mode: 0o700 });
    try {
      const known = PackIndex.#openFile(path);
      if (known !== undefined) return known;
    } catch {
      // unreadable: made anew
    }
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
    const made = PackIndex.#openFile(path);
    if (made === undefined) throw new Error(`${path} cannot be made`);
    return made;
  }

  /** undefined: of another layout, or of before the machine's last start, which may have lost some of it. */
  static #openFile(path: string): PackIndex | undefined {
    makePrivateFile(path);
    const database = new Database(path, { create: true, strict: true });
    try {
      database.run("pragma journal_mode = wal");
      database.run("pragma synchronous = off");
      const { user_version: version } = database.query("pragma user_version").get() as { user_version: number };
      if (version === 0) {
        database.transaction(() => {
          for (const table of tables) database.run(table);
          database.query("insert into about (id, boot) values (1, ?)").run(bootId());
          database.run(`pragma user_version = ${layout}`);
        })();
      }
      const about = version === 0 ? undefined : (database.query("select boot from about").get() as { boot: string });
      if (version !== 0 && (version !== layout || about?.boot !== bootId())) {
        database.close();
        return undefined;
      }
      return new PackIndex(database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The packs of a node, or of all. */
  packs(source?: number): PackRow[] {
    if (source === undefined)
      return this.#database.query("select id, source, name, scanned, sealed from pack").all() as PackRow[];
    return this.#database
      .query("select id, source, name, scanned, sealed from pack where source = ?")
      .all(source) as PackRow[];
  }

  addPack(source: number, name: string): PackRow {
    this.#database.query("insert or ignore into pack (source, name) values (?, ?)").run(source, name);
    return this.#database
      .query("select id, source, name, scanned, sealed from pack where source = ? and name = ?")
      .get(source, name) as PackRow;
  }

  removePack(id: number): void {
    this.#database.transaction(() => {
      this.#database.query("delete from piece where pack = ?").run(id);
      this.#database.query("delete from pack where id = ?").run(id);
    })();
  }

  /** Takes in records that follow what was known of the pack, which reach to `scanned`. */
  add(pack: PackRow, records: readonly PlacedRecord[], scanned: number, growing: Growing): void {
    const changed = new Set<GrowingPiece>();
    let sealed = pack.sealed;
    for (const { record, position } of records) {
      if (record.kind === "sealed") {
        sealed = 1;
        continue;
      }
      const key = `${record.job}.${record.task}.${record.attempt}`;
      const known = growing.get(key);
      const end = position + packHeaderBytes + record.length;
      const out = record.kind === "stdout" ? record.length : 0;
      const isNear = known !== undefined && end - known.start <= spanBytes;
      const isRun = known !== undefined && known.start + known.length === position && end - known.start <= runBytes;
      if (known !== undefined && (isNear || isRun) && known.before + known.bytes === record.before) {
        known.length = end - known.start;
        known.bytes += record.length;
        known.outBytes += out;
        known.records += 1;
        changed.add(known);
        continue;
      }
      const { job, task, attempt, before, stdoutBefore: outBefore } = record;
      const length = end - position;
      const begun = { job, task, attempt, start: position, length, before, bytes: record.length, outBefore };
      const piece = { ...begun, outBytes: out, records: 1, isNew: true };
      growing.set(key, piece);
      changed.add(piece);
    }
    this.#database.transaction(() => {
      for (const piece of changed) this.#write(pack, piece);
      this.#progress.run(scanned, sealed, pack.id);
    })();
    if (growing.size > growingMax || sealed === 1) growing.clear();
  }

  #write({ id, source, name }: PackRow, piece: GrowingPiece): void {
    const { job, task, attempt, start, length, before, bytes, outBefore, outBytes, records } = piece;
    if (!piece.isNew) {
      this.#grow.run(length, bytes, outBytes, records, job, task, attempt, source, id, start);
      return;
    }
    // What the node itself writes (driver noop) it may write twice, when it was killed before the result was logged: the later one counts.
    if (name.startsWith("n")) this.#replace.run(job, task, attempt, source, id, before + bytes, before);
    this.#put.run(job, task, attempt, source, id, start, length, before, bytes, outBefore, outBytes, records);
    piece.isNew = false;
  }

  /** Pieces of an attempt's output past `offset` (of the chosen stream), in order, at most `limit`. */
  pieces(source: number, { job, task, attempt }: AttemptName, stream: LogStream | undefined, offset: number): Piece[] {
    const { before, bytes } = columnsOf(stream);
    return this.#database
      .query(
        `select pack, pack.name, start, length, before, bytes, out_before as outBefore, out_bytes as outBytes
         from piece join pack on pack.id = piece.pack
         where job = ? and task = ? and attempt = ? and piece.source = ? and ${before} + ${bytes} > ? and ${bytes} > 0
         order by before limit 64`,
      )
      .all(job, task, attempt, source, offset) as Piece[];
  }

  /** The packs with output of that attempt, and how far into each it reaches. */
  packsOf(source: number, { job, task, attempt }: AttemptName): { readonly name: string; readonly end: number }[] {
    return this.#database
      .query(
        `select pack.name, max(start + length) as end from piece join pack on pack.id = piece.pack
         where job = ? and task = ? and attempt = ? and piece.source = ? group by pack.id`,
      )
      .all(job, task, attempt, source) as { name: string; end: number }[];
  }

  /** Of a node's packs of at least `minBytes` the one of which least is wanted still, if that is less than half and not nothing. */
  sparsest(source: number, minBytes: number): PackRow | undefined {
    const found = this.#database
      .query(
        `select id, pack.source, name, scanned, sealed, sum(bytes + ${packHeaderBytes} * records) as live from pack join piece on piece.pack = pack.id
         where pack.source = ? and sealed > 0 and scanned >= ? group by pack.id having 2 * live < scanned order by live limit 1`,
      )
      .get(source, minBytes) as (PackRow & { live: number }) | null;
    return found ?? undefined;
  }

  /** Whether something of that attempt is wanted of that pack. */
  wants(pack: PackRow, { job, task, attempt }: AttemptName): boolean {
    const found = this.#database
      .query("select 1 from piece where job = ? and task = ? and attempt = ? and source = ? and pack = ? limit 1")
      .get(job, task, attempt, pack.source, pack.id);
    return found !== null;
  }

  /** What is in this pack is not looked for in others any more; in steps: the next `count` of its pieces after `after`, and true when there are more. */
  supersede(pack: PackRow, after: number, count: number): boolean {
    const pieces = this.#database
      .query("select job, task, attempt, before, bytes from piece where pack = ? order by start limit ? offset ?")
      .all(pack.id, count, after) as (AttemptName & { before: number; bytes: number })[];
    this.#database.transaction(() => {
      for (const { job, task, attempt, before, bytes } of pieces)
        this.#replace.run(job, task, attempt, pack.source, pack.id, before + bytes, before);
      if (pieces.length < count) this.#progress.run(pack.scanned, 2, pack.id);
    })();
    return pieces.length === count;
  }

  /** How much output is known of it: of the chosen stream, and of both as far as there is nothing missing in between. */
  known(
    source: number,
    { job, task, attempt }: AttemptName,
    stream: LogStream | undefined,
  ): { readonly total: number; readonly whole: number } {
    const { before, bytes } = columnsOf(stream);
    const found = this.#database
      .query(
        `select ifnull(max(${before} + ${bytes}), 0) as total, ifnull(sum(bytes), 0) as bytes, ifnull(max(before + bytes), 0) as reach
         from piece where job = ? and task = ? and attempt = ? and source = ?`,
      )
      .get(job, task, attempt, source) as { total: number; bytes: number; reach: number };
    return { total: found.total, whole: found.bytes >= found.reach ? found.reach : 0 };
  }

  /** Jobs that there is output of, from `after` on, in order. */
  jobs(after: number, limit: number): number[] {
    const rows = this.#database
      .query("select distinct job from piece where job > ? order by job limit ?")
      .all(after, limit) as { job: number }[];
    return rows.map(({ job }) => job);
  }

  /** The output of these jobs is wanted by nobody any more. */
  forget(jobs: readonly number[]): void {
    const remove = this.#database.query("delete from piece where job = ?");
    this.#database.transaction(() => {
      for (const job of jobs) remove.run(job);
    })();
  }

  /** Packs in which there is nothing of anybody. */
  empty(): PackRow[] {
    return this.#database
      .query(
        `select id, source, name, scanned, sealed from pack where not exists (select 1 from piece where piece.pack = pack.id)`,
      )
      .all() as PackRow[];
  }

  close(): void {
    this.#database.close();
  }
}

function columnsOf(stream: LogStream | undefined): { readonly before: string; readonly bytes: string } {
  if (stream === undefined) return { before: "before", bytes: "bytes" };
  if (stream === "stdout") return { before: "out_before", bytes: "out_bytes" };
  return { before: "(before - out_before)", bytes: "(bytes - out_bytes)" };
}
