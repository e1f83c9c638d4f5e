import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { Fault } from "../../src/lib/fault.ts";
import { limits } from "../../src/lib/limits.ts";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";
import { schema } from "../../src/state/schema.ts";
import { guardCopy, reserveOf } from "../../src/storage/copy-guard.ts";
import { type CopyGuard, copyRows } from "../../src/storage/copy-rows.ts";
import { makeDatabaseFile } from "../../src/storage/files.ts";
import { copyState } from "../../src/storage/snapshot-file.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { StateReader } from "../../src/storage/state-reader.ts";
import { appliedIndex } from "../../src/state/queries.ts";
import { Directory } from "./support.ts";

const mib = 1024 * 1024;

/** Every row of every table, by rowid where there is one. */
function contents(path: string): Record<string, unknown[]> {
  const database = new Database(path, { readonly: true });
  try {
    const tables = database
      .query(
        "select name, wr from pragma_table_list where schema = 'main' and type = 'table' and name not like 'sqlite%'",
      )
      .all() as { name: string; wr: number }[];
    return Object.fromEntries(
      tables.map(({ name, wr }) => [
        name,
        database.query(`select ${wr === 1 ? "" : "rowid as place, "}* from "${name}" order by 1, 2`).all(),
      ]),
    );
  } finally {
    database.close();
  }
}

function schemaOf(path: string): unknown[] {
  const database = new Database(path, { readonly: true });
  try {
    return database.query("select type, name, tbl_name, sql from sqlite_schema order by type, name").all();
  } finally {
    database.close();
  }
}

test("a copy has every row of every kind of table, several pieces long, and their indexes; of what was deleted it has nothing", () => {
  using directory = new Directory();
  const seed = randomInteger(seededRandom(Date.now()), 1, 2 ** 31);
  console.log(`seed ${seed}`);
  const random = seededRandom(seed);
  const [from, to] = [directory.file("a state?.db"), directory.file("copy.db")];
  const database = new Database(from);
  database.run("pragma journal_mode = wal");
  database.run('create table "of one key" (id integer primary key, "a ""word""" text)');
  database.run("create table pairs (a integer, b text, c blob, primary key (b, a)) strict, without rowid");
  database.run("create table bare (a, b)");
  database.run("create table named (name text primary key, size real) strict");
  database.run("create table empty (a integer primary key)");
  database.run("alter table named add column later integer not null default 7");
  database.run("create unique index pairs_c on pairs (c) where c is not null");
  database.run("create index bare_b on bare (b)");
  const count = 2 * limits.copyPieceRows + randomInteger(random, 0, 3) - 1;
  const text = (at: number): string => `text ${at} ${"x".repeat(randomInteger(random, 0, 30))}`;
  const values = [text, () => null, (at: number) => at, (at: number) => at / 3];
  const add = (sql: string, row: (at: number) => (string | number | null | Uint8Array)[]): void => {
    const statement = database.prepare(sql);
    for (let at = 0; at < count; at++) statement.run(...row(at));
    statement.finalize();
  };
  database.run("begin");
  add('insert into "of one key" values (?, ?)', (at) => [at * 1000 - 5_000_000, text(at)]);
  add("insert into pairs values (?, ?, ?)", (at) => [
    at % 3,
    `key ${Math.floor(at / 3)}`,
    at % 2 === 0 ? null : Buffer.from(`blob ${at}`),
  ]);
  add("insert into bare values (?, ?)", (at) => [values[at % 4]!(at), values[(at + 1) % 4]!(at)]);
  add("insert into named (name, size) values (?, ?)", (at) => [`name ${at}`, at / 7]);
  database.run("insert into bare values ('a secret that was deleted', 1)");
  database.run("delete from bare where a = 'a secret that was deleted' or rowid % 5 = 1");
  database.run("commit");
  makeDatabaseFile(to);
  copyRows(from, to, undefined);
  expect(contents(to)).toEqual(contents(from));
  expect(contents(to)["bare"]!.length).toBeGreaterThan(limits.copyPieceRows);
  expect(schemaOf(to)).toEqual(schemaOf(from));
  const copy = new Database(to, { readonly: true });
  expect(copy.query("pragma integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  expect(copy.query("pragma freelist_count").get()).toEqual({ freelist_count: 0 });
  copy.close();
  expect(readFileSync(to).includes("a secret that was deleted")).toBe(false);
  database.close();
}, 120_000);

/** A state of about so many bytes; `grow` writes more of it. */
class GrowingState implements Disposable {
  readonly directory = new Directory();
  readonly path = this.directory.file("state.db");
  readonly database = new StateDatabase({
    path: this.path,
    schema: [...schema, "create table filler (id integer primary key, bytes blob) strict"],
  });

  constructor(bytes: number) {
    this.grow(bytes);
    this.database.checkpoint();
  }

  grow(bytes: number): void {
    const { applied } = this.database;
    this.database.transaction(applied, applied + 1, () => this.database.mix(1), { term: 1 });
    const other = new Database(this.path);
    other.run("pragma wal_autocheckpoint = 0");
    other.run("begin immediate");
    const statement = other.prepare("insert into filler (bytes) values (?)");
    for (let done = 0; done < bytes; done += 1000) statement.run(Buffer.alloc(1000, 7));
    statement.finalize();
    other.run("commit");
    // Not the last connection: it checkpoints nothing.
    other.close();
  }

  get walBytes(): number {
    return statSync(`${this.path}-wal`).size;
  }

  [Symbol.dispose](): void {
    this.database.close();
    this.directory[Symbol.dispose]();
  }
}

/** The fault that the copy ends with. */
function faultOf(copy: () => unknown): Fault {
  try {
    copy();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("the copy was made");
}

describe("a copy of the state", () => {
  test("is refused before its first byte where it would take what log and state need, and says what is needed, free and kept", () => {
    using state = new GrowingState(4 * mib);
    const to = state.directory.file("copy.db");
    const room = { bytes: 1024 * mib, freeBytes: reserveOf({ bytes: 1024 * mib }) + 6 * mib };
    let seen = -1;
    const at = (freeBytes: number): CopyGuard =>
      guardCopy({ from: state.path, to, fileSystem: () => ({ ...room, freeBytes }) });
    const fault = faultOf(() => {
      const guard = at(room.freeBytes - 4 * mib);
      const begin = (bytes: number): void => {
        seen = statSync(to).size;
        guard.begin(bytes);
      };
      copyState(state.path, to, { guard: { ...guard, begin } });
    });
    expect(fault.code).toBe("disk-full");
    expect(fault.message).toMatch(
      /no room for a copy.*takes [45]\.\d+MiB, 66MiB are free in .*, and 64MiB are left for.*free some space/s,
    );
    expect(seen).toBe(0);
    expect(existsSync(to)).toBe(false);
    expect(copyState(state.path, to, { guard: at(room.freeBytes) }).applied).toBe(1);
  });

  test("is ended, and its file goes, when the room becomes too little while it is written", () => {
    using state = new GrowingState(2 * limits.copyPieceRows * 1000);
    const to = state.directory.file("copy.db");
    let freeBytes = 900 * mib;
    const guard = guardCopy({ from: state.path, to, fileSystem: () => ({ bytes: 1024 * mib, freeBytes }) });
    let pieces = 0;
    const goOn = (): void => {
      guard.goOn();
      pieces += 1;
      // Another program takes the room. Of the copy most is still in memory then.
      freeBytes = Math.min(freeBytes, reserveOf({ bytes: 1024 * mib }) + 10 * mib);
    };
    const fault = faultOf(() => copyState(state.path, to, { guard: { ...guard, goOn } }));
    expect([fault.code, fault.message]).toEqual(["disk-full", expect.stringMatching(/a copy of the state was ended/)]);
    expect(pieces).toBe(1);
    expect(existsSync(to)).toBe(false);
  });

  test("is ended when the WAL grows past its limit meanwhile; the next commits have a short one again", () => {
    using state = new GrowingState(2 * limits.copyPieceRows * 1000);
    const to = state.directory.file("copy.db");
    const walBytes = limits.stateWalKeptBytes + 8 * mib;
    const guard = guardCopy({ from: state.path, to, walBytes });
    let grown = 0;
    const goOn = (): void => {
      state.grow(walBytes / 4);
      expect(state.database.checkpoint().isHome).toBe(false); // the copy's view needs the older pages
      grown += 1;
      guard.goOn();
    };
    const before = state.database.applied;
    const fault = faultOf(() => copyState(state.path, to, { guard: { ...guard, goOn } }));
    expect(fault.message).toMatch(/WAL had grown to [\d.]+MiB meanwhile, more than 72MiB/);
    expect(fault.retry).toBe("safe");
    expect(existsSync(to)).toBe(false);
    expect(state.database.applied).toBe(before + grown);
    expect(state.walBytes).toBeGreaterThan(walBytes);
    expect(state.database.checkpoint().isHome).toBe(true);
    state.grow(1);
    expect(state.walBytes).toBeLessThanOrEqual(limits.stateWalKeptBytes);
    // And the next one is made.
    expect(copyState(state.path, to, { guard: guardCopy({ from: state.path, to, walBytes }) }).applied).toBe(
      state.database.applied,
    );
  });

  test("short views, as of requests, keep the WAL within what is kept, however many they are", () => {
    using state = new GrowingState(0);
    const reader = new StateReader(state.path);
    for (let round = 0; round < 40; round++) {
      reader.snapshot(() => {
        const seen = appliedIndex(reader);
        state.grow(4 * mib);
        expect(appliedIndex(reader)).toBe(seen);
        state.database.checkpoint();
      });
      state.database.checkpoint();
    }
    reader.close();
    expect(state.walBytes).toBeLessThanOrEqual(limits.stateWalKeptBytes);
  });
});

test.each([
  ["a tiny file system", 40 * mib, 10 * mib],
  ["a small one", 1024 * mib, 64 * mib],
  ["a usual one", 10_240 * mib, 512 * mib],
  ["a large one", 10 * 1024 * 1024 * mib, 1024 * mib],
])("what is left free of %s", (_what, bytes, reserve) => {
  expect(reserveOf({ bytes })).toBe(reserve);
});
