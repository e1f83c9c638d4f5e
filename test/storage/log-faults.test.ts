import { Database } from "bun:sqlite";
import { expect, spyOn, test } from "bun:test";
import { LogDatabase, type PackedAppend } from "../../src/storage/log-database.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { FailingWorker } from "./failing-worker.ts";
import { Directory } from "./support.ts";

function packed(token: number, bytes = 10): PackedAppend {
  const data = new Uint8Array(bytes);
  return {
    token,
    hardState: undefined,
    snapshot: undefined,
    first: token,
    terms: [1],
    kinds: [1],
    lengths: [bytes],
    data,
  };
}

test.each([
  ["commit whose sync", "commit", 10, []],
  ["checkpoint whose sync", "wal_checkpoint", 17 * 1024 * 1024, ["durable 1"]],
])("after a %s failed nothing is written or reported durable any more (D4)", async (_what, failing, bytes, before) => {
  using directory = new Directory();
  using worker = new FailingWorker(failing);
  expect(await worker.hears()).toBe("loaded");
  worker.tell({ kind: "open", state: undefined, path: directory.file("log.db") });
  expect(await worker.hears()).toBe("alive");
  expect(await worker.hears()).toBe("opened");
  worker.tell({ kind: "append", append: packed(1, bytes) });
  for (const said of [...before, "fault"]) expect(await worker.hears()).toBe(said);
  worker.tell({ kind: "append", append: packed(2) });
  worker.tell({ kind: "close" });
  expect(await worker.hears()).toBe("closed");
});

test("a checkpoint waits where there is no room, and any other error of it is one", () => {
  using directory = new Directory();
  const log = new LogDatabase(directory.file("log.db"));
  using run = spyOn(Database.prototype, "run");
  const failWith = (code: string) =>
    run.mockImplementationOnce(() => {
      throw Object.assign(new Error("disk"), { code });
    });
  failWith("SQLITE_FULL");
  log.checkpoint();
  for (const code of ["SQLITE_IOERR_FSYNC", "SQLITE_IOERR", "SQLITE_CORRUPT"]) {
    failWith(code);
    expect(() => log.checkpoint()).toThrow("disk");
  }
  log.close();
});

test("logs that are written the same are not at their checkpoints together: a quorum of them appends meanwhile", () => {
  using directory = new Directory();
  const due = [0, 0.5, 1].map((place) => {
    const log = new LogDatabase(directory.file(`log-${place}.db`), () => place);
    let writes = 0;
    while (!log.checkpointIsDue()) log.write([packed(++writes, 512 * 1024)]);
    log.close();
    return writes;
  });
  expect(new Set(due).size).toBe(3);
});

test("a write of the log is synced before it counts as written; state.db syncs at checkpoints only (D1, D2)", () => {
  using directory = new Directory();
  using run = spyOn(Database.prototype, "run");
  const settings = (close: { close(): void }): unknown[] => {
    const database = run.mock.contexts.at(-1) as Database;
    const values = ["synchronous", "journal_mode", "wal_autocheckpoint"].map(
      (name) => Object.values(database.query(`pragma ${name}`).get() as object)[0] as unknown,
    );
    close.close();
    return values;
  };
  const [normal, full] = [1, 2];
  expect(settings(new LogDatabase(directory.file("log.db")))).toEqual([full, "wal", 0]);
  expect(settings(new StateDatabase({ path: directory.file("state.db"), schema: [] }))).toEqual([normal, "wal", 0]);
});
