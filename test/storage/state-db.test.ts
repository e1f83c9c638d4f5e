import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { Bug } from "../../src/lib/assert.ts";
import { Fault } from "../../src/lib/fault.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { StateReader } from "../../src/storage/state-reader.ts";
import type { SqlValue } from "../../src/storage/statements.ts";
import { Directory } from "./support.ts";

const schema = ["create table thing (id integer primary key, value any) strict"];
const insert = { id: 0, name: "thing.add", text: "insert into thing values (?, ?)" };
const update = { id: 1, name: "thing.update", text: "update thing set value = ? where id >= ?" };
const select = { id: 2, text: "select id, value from thing order by id" };
const one = { id: 3, text: "select value from thing where id = ?" };
const applied = { id: 4, text: "select applied, hash from meta" };

function open(directory: Directory): StateDatabase {
  return new StateDatabase({ path: directory.file("state.db"), schema });
}

/** The hash of a state made by one transaction of these writes. */
function hashOf(...writes: readonly (readonly [typeof insert, ...SqlValue[]])[]): string {
  using directory = new Directory();
  const db = open(directory);
  db.transaction(0, 1, () => {
    for (const [statement, ...values] of writes) db.run(statement, ...values);
  });
  const { hash } = db;
  db.close();
  return hash;
}

test("rows, applied index and hash are there together after reopening", () => {
  using directory = new Directory();
  const first = open(directory);
  expect([first.applied, first.hash]).toEqual([0, ""]);
  const value = first.transaction(0, 7, () => {
    expect(first.run(insert, 1, "a")).toBe(1);
    expect(first.run(insert, 2, new Uint8Array([1, 2, 3]).subarray(1))).toBe(1);
    return first.run(update, null, 2);
  });
  expect(value).toBe(1);
  const { hash } = first;
  expect(hash).toMatch(/^[0-9a-f]{16}$/);
  first.close();
  const second = open(directory);
  expect([second.applied, second.hash]).toEqual([7, hash]);
  expect(second.all<unknown>(select)).toEqual([
    { id: 1, value: "a" },
    { id: 2, value: null },
  ]);
  expect(second.get(one, 3)).toBeUndefined();
  second.close();
});

test("a state in memory that is handed over goes on from its rows as a copy of it does", () => {
  const first = new StateDatabase({ path: ":memory:", schema });
  first.transaction(0, 7, () => first.run(insert, 1, "a"));
  const copy = new StateDatabase({ path: ":memory:", schema, image: first.image() });
  const { place } = first;
  const second = new StateDatabase({ path: ":memory:", schema, image: first.handOver() });
  for (const next of [second, copy]) {
    expect(next.place).toEqual(place);
    next.transaction(7, 8, () => next.run(insert, 2, "b"));
  }
  expect(second.place).toEqual(copy.place);
  expect(second.all<unknown>(select)).toEqual(copy.all<unknown>(select));
  for (const next of [second, copy]) next.close();
});

test("how many rows a write changed is in the hash: the same write on other rows differs (S1)", () => {
  const hashes = [[], ["insert into thing values (1, 'a')"], ["insert into thing values (1, 'a'), (2, 'b')"]].map(
    (rows) => {
      using directory = new Directory();
      const db = new StateDatabase({ path: directory.file("state.db"), schema: [...schema, ...rows] });
      db.transaction(0, 1, () => db.run(update, "c", 1));
      const { hash } = db;
      db.close();
      return hash;
    },
  );
  expect(new Set(hashes).size).toBe(3);
});

test("an applied index that is not the expected one is a bug, and nothing changes (D2)", () => {
  using directory = new Directory();
  const db = open(directory);
  db.transaction(0, 5, () => db.run(insert, 1, "a"));
  const { hash } = db;
  expect(() => db.transaction(4, 6, () => db.run(insert, 2, "b"))).toThrow(Bug);
  expect(() => db.transaction(6, 7, () => db.run(insert, 2, "b"))).toThrow(Bug);
  expect(() => db.transaction(5, 5, () => db.run(insert, 2, "b"))).toThrow(Bug);
  expect([db.applied, db.hash, db.all<unknown>(select).length]).toEqual([5, hash, 1]);
  db.transaction(5, 6, () => db.run(insert, 2, "b"));
  db.close();
});

test("a second writer of the same file is caught by the compare-and-set (D2)", () => {
  using directory = new Directory();
  const first = open(directory);
  const second = open(directory);
  first.transaction(0, 1, () => first.run(insert, 1, "a"));
  expect(() => second.transaction(0, 1, () => second.run(insert, 2, "b"))).toThrow(Bug);
  expect(first.all<unknown>(select)).toHaveLength(1);
  first.close();
  second.close();
});

test("the hash is the same for the same history and differs when any value, statement or count differs (S1)", () => {
  const base = hashOf([insert, 1, "a"], [insert, 2, "b"]);
  expect(hashOf([insert, 1, "a"], [insert, 2, "b"])).toBe(base);
  const others = [
    hashOf([insert, 2, "b"], [insert, 1, "a"]),
    hashOf([insert, 1, "a"], [insert, 2, "c"]),
    hashOf([insert, 1, "a"], [insert, 2, new TextEncoder().encode("b")]),
    hashOf([insert, 1, "a"], [insert, 2, null]),
    hashOf([insert, 1, "a"], [insert, 3, "b"]),
    hashOf([insert, 1, "a"]),
    hashOf([insert, 1, "a"], [insert, 2, "b"], [update, "b", 9]),
    hashOf([insert, 1, "a"], [insert, 2, "b"], [update, "b", 2]),
    hashOf([{ ...insert, name: "thing.put" }, 1, "a"], [insert, 2, "b"]),
  ];
  expect(new Set([base, ...others]).size).toBe(others.length + 1);
});
const insert2 = { id: 5, name: insert.name, text: "insert into thing (id, value) values (?, ?)" };

test("the hash depends on neither ids nor texts of statements, which differ between builds and releases, and covers what is mixed in", () => {
  expect(hashOf([insert2, 1, "a"])).toBe(hashOf([insert, 1, "a"]));
  using directory = new Directory();
  const db = open(directory);
  db.transaction(0, 1, () => {
    db.run(insert, 1, "a");
    db.mix(new Uint8Array([1]));
  });
  expect(db.hash).not.toBe(hashOf([insert, 1, "a"]));
  db.close();
});

test("a transaction that throws leaves rows, index and hash as they were, and the error goes on", () => {
  using directory = new Directory();
  const db = open(directory);
  db.transaction(0, 1, () => db.run(insert, 1, "a"));
  const { hash } = db;
  const error = new Error("apply failed");
  expect(() =>
    db.transaction(1, 2, () => {
      db.run(insert, 2, "b");
      throw error;
    }),
  ).toThrow(error);
  expect([db.applied, db.hash, db.all<unknown>(select).length]).toEqual([1, hash, 1]);
  db.close();
});

test("a command that throws in a savepoint is undone alone, in rows and hash (S4)", () => {
  using directory = new Directory();
  const db = open(directory);
  db.transaction(0, 1, () => {
    db.run(insert, 1, "a");
    expect(() =>
      db.savepoint(() => {
        db.run(insert, 2, "culprit");
        db.run(insert, 1, "a second time");
      }),
    ).toThrow(/UNIQUE/);
    db.savepoint(() => db.run(insert, 3, "c"));
  });
  expect(db.all<{ id: number }>(select).map((row) => row.id)).toEqual([1, 3]);
  expect(db.hash).toBe(hashOf([insert, 1, "a"], [insert, 3, "c"]));
  db.close();
});

test("rows cannot be changed outside a transaction", () => {
  using directory = new Directory();
  const db = open(directory);
  expect(() => db.run(insert, 1, "a")).toThrow(Bug);
  expect(() => db.mix("a")).toThrow(Bug);
  db.close();
});

test("a damaged file is a fault that names it", () => {
  using directory = new Directory();
  writeFileSync(directory.file("state.db"), "no database at all ".repeat(500));
  expect(() => open(directory)).toThrow(Fault);
  expect(() => open(directory)).toThrow(/state\.db/);
});

test("a mistake in a statement is not a fault of the disk", () => {
  using directory = new Directory();
  const db = open(directory);
  let thrown: unknown;
  try {
    db.all({ id: 9, text: "select nothing from nowhere" });
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(Error);
  expect(thrown).not.toBeInstanceOf(Fault);
  db.close();
});

test("a reader sees what is committed, and one snapshot does not change while the writer goes on", () => {
  using directory = new Directory();
  const db = open(directory);
  const reader = new StateReader(directory.file("state.db"));
  db.transaction(0, 1, () => {
    db.run(insert, 1, "a");
    expect(reader.all<unknown>(select)).toEqual([]);
  });
  expect(reader.get<unknown>(applied)).toEqual({ applied: 1, hash: db.hash });
  reader.snapshot(() => {
    expect(reader.all<unknown>(select)).toHaveLength(1);
    db.transaction(1, 2, () => db.run(insert, 2, "b"));
    expect(reader.snapshot(() => reader.all<unknown>(select))).toHaveLength(1);
  });
  expect(reader.all<unknown>(select)).toHaveLength(2);
  expect(() => reader.all({ id: 8, text: "delete from thing returning id" })).toThrow(/readonly/);
  reader.close();
  db.close();
});

/** What of the state is on the disk for certain: the files as they were at each sync, and nothing that came later. */
class Durable {
  readonly synced: string[] = [];
  readonly #directory: Directory;

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  note(path: string): void {
    this.synced.push(path);
    for (const suffix of ["", "-wal"]) {
      const from = this.#directory.file(`state.db${suffix}`);
      if (existsSync(from)) copyFileSync(from, this.#directory.file(`durable.db${suffix}`));
    }
  }

  /** Where the state stands after the power has gone. */
  get applied(): number {
    const db = new StateDatabase({ path: this.#directory.file("durable.db"), schema });
    const { applied } = db;
    db.close();
    return applied;
  }
}

test("a checkpoint makes durable what is committed, also while a reader keeps all of it from the file (D3)", () => {
  using directory = new Directory();
  const durable = new Durable(directory);
  const path = directory.file("state.db");
  const db = new StateDatabase({ path, schema, sync: (file) => durable.note(file) });
  const reader = new StateReader(path);
  db.transaction(0, 1, () => db.run(insert, 1, new Uint8Array(100_000)));
  expect(db.checkpoint().isHome).toBe(true);
  expect(durable.synced).toEqual([]); // SQLite's own syncs have done it
  durable.note("");
  reader.snapshot(() => {
    reader.all(select);
    for (const at of [2, 3]) {
      db.transaction(at - 1, at, () => db.run(insert, at, "b"));
      expect(durable.applied).toBe(at - 1);
      expect(db.checkpoint().isHome).toBe(false);
      expect(durable.synced.at(-1)).toBe(`${path}-wal`);
      expect(durable.applied).toBe(at);
    }
  });
  expect(db.checkpoint().isHome).toBe(true);
  expect(durable.synced).toHaveLength(3);
  reader.close();
  db.close();
});

test("a WAL that cannot be synced is a fault of the disk, also when it says that there is no room (D4)", () => {
  using directory = new Directory();
  let code = "";
  const db = new StateDatabase({
    path: directory.file("state.db"),
    schema,
    sync: () => {
      throw Object.assign(new Error(code), { code });
    },
  });
  const reader = new StateReader(directory.file("state.db"));
  reader.snapshot(() => {
    reader.all(select);
    db.transaction(0, 1, () => db.run(insert, 1, "a"));
    for (code of ["EIO", "ENOSPC"]) {
      expect(() => db.checkpoint()).toThrow(expect.objectContaining({ code: "disk", retry: "never" }));
    }
  });
  reader.close();
  db.close();
});

test("while there is no room for it in the file the state is made durable in its WAL", () => {
  using directory = new Directory();
  const synced: string[] = [];
  const db = new StateDatabase({ path: directory.file("state.db"), schema, sync: (file) => void synced.push(file) });
  db.transaction(0, 1, () => db.run(insert, 1, "a"));
  using query = spyOn(Database.prototype, "query");
  query.mockImplementationOnce(() => {
    throw Object.assign(new Error("full"), { name: "SQLiteError", errno: 13, code: "SQLITE_FULL" });
  });
  expect(db.checkpoint().isHome).toBe(false);
  expect(synced).toEqual([directory.file("state.db-wal")]);
  expect(db.checkpoint().isHome).toBe(true);
  db.close();
});

test("a reader that comes before the file is made says so, at every step of its making", () => {
  using directory = new Directory();
  const path = directory.file("state.db");
  expect(() => new StateReader(path)).toThrow(Fault);
  const empty = new Database(path, { create: true });
  empty.run("pragma journal_mode = wal");
  expect(() => new StateReader(path)).toThrow(/no state in it yet/);
  empty.close();
  const db = open(directory);
  const reader = new StateReader(path);
  expect(reader.all<unknown>(select)).toEqual([]);
  reader.close();
  db.close();
});
