import { expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { LogDatabase, type PackedAppend } from "../../src/storage/log-database.ts";
import { readLost, removeLost, writeLost } from "../../src/storage/log-lost.ts";
import { surveyLog } from "../../src/storage/log-survey.ts";
import { Directory } from "./support.ts";

/** Entries of 4 KiB, from that index on. */
function append(first: number, count: number): PackedAppend {
  const each = Array.from({ length: count });
  return {
    token: first,
    hardState: undefined,
    snapshot: undefined,
    first,
    terms: each.map(() => 1),
    kinds: each.map(() => 1),
    lengths: each.map(() => 4096),
    data: new Uint8Array(4096 * count),
  };
}

/** The files as a process that is killed leaves them. */
function keep(from: string, to: string): void {
  for (const suffix of ["", "-wal", "-mark"]) if (existsSync(from + suffix)) copyFileSync(from + suffix, to + suffix);
}

/** A log that was opened twice, written to, and whose process was killed. */
function killed(directory: Directory, name: string, checkpoints: number): string {
  const live = directory.file(`${name}-live.db`);
  new LogDatabase(live).close();
  const log = new LogDatabase(live);
  let next = 1;
  for (let done = 0; done < checkpoints; done++) {
    log.write([append(next, 100)]);
    log.checkpoint();
    next += 100;
  }
  log.write([append(next, 10)]);
  const path = directory.file(`${name}.db`);
  keep(live, path);
  log.close();
  return path;
}

const opened = (path: string): string => {
  try {
    new LogDatabase(path).close();
    return "opened";
  } catch (error) {
    return String(error);
  }
};
const gone = "is older than what this node has answered for";

test.each([0, 1, 3])(
  "a log whose process was killed is gone on with, after %i checkpoints and as often as it is killed",
  (checkpoints) => {
    using directory = new Directory();
    const path = killed(directory, "log", checkpoints);
    for (let times = 0; times < 3; times++) expect(opened(path)).toBe("opened");
  },
);

test.each([0, 1, 3])(
  "a log whose WAL was removed is not: what it held was promised (after %i checkpoints)",
  (checkpoints) => {
    using directory = new Directory();
    const path = killed(directory, "log", checkpoints);
    rmSync(`${path}-wal`);
    expect(opened(path)).toContain(gone);
    // It stays so, and nothing was changed that a restored WAL would have to fit.
    expect(opened(path)).toContain(gone);
  },
);

test("a log that was replaced by an empty file, by none, or by one of before the last start is not gone on with", () => {
  using directory = new Directory();
  const live = directory.file("live.db");
  new LogDatabase(live).close();
  const earlier = directory.file("earlier.db");
  copyFileSync(live, earlier);
  const path = killed(directory, "log", 1);
  for (const replace of [
    () => truncateSync(path, 0),
    () => rmSync(path, { force: true }),
    () => copyFileSync(earlier, path),
  ]) {
    rmSync(`${path}-wal`, { force: true });
    replace();
    expect(opened(path)).toContain(gone);
  }
});

test("a crash between the log's number and the file's leaves a log that is gone on with; so is one of an earlier release", () => {
  using directory = new Directory();
  const path = killed(directory, "log", 1);
  const { number } = JSON.parse(readFileSync(`${path}-mark`, "utf8")) as { number: number };
  writeFileSync(`${path}-mark`, JSON.stringify({ version: 1, number: number - 1 }));
  expect(opened(path)).toBe("opened");
  rmSync(`${path}-mark`);
  expect(opened(path)).toBe("opened");
  // From then on it is told apart again.
  rmSync(path);
  expect(opened(path)).toContain(gone);
});

test("a mark that cannot be read is no reason to go on", () => {
  using directory = new Directory();
  const path = killed(directory, "log", 0);
  for (const text of ["{", "{}", '{"version":1,"number":"7"}', '{"version":1,"number":0}']) {
    writeFileSync(`${path}-mark`, text);
    expect(opened(path)).toContain("log.db-mark is damaged");
  }
});

test("whoever looks for survivors is told of a log that has gone back, or that lacks what the leader counted on: it is no sound one", () => {
  using directory = new Directory();
  const path = killed(directory, "log", 0);
  const damagedFrom = (): number | undefined => surveyLog(path, { index: 0, term: 0 }, () => {}).damagedFrom;
  expect(damagedFrom()).toBeUndefined();
  expect(readLost(path)).toBe(0);
  writeLost(path, 10);
  expect(damagedFrom()).toBeUndefined();
  writeLost(path, 11);
  expect([readLost(path), damagedFrom()]).toEqual([11, 11]);
  for (const name of ["-lost", "-mark"]) {
    const sound = readFileSync(path + name);
    writeFileSync(path + name, "");
    expect(damagedFrom()).toBe(11);
    writeFileSync(path + name, sound);
  }
  removeLost(path);
  expect([readLost(path), damagedFrom()]).toEqual([0, undefined]);
  rmSync(`${path}-wal`);
  expect(damagedFrom()).toBe(1);
});

test("a file that cannot be written at a checkpoint is behind, which is no fault, and no reason to end", () => {
  using directory = new Directory();
  const path = directory.file("log.db");
  const log = new LogDatabase(path);
  rmSync(`${path}-mark`);
  mkdirSync(`${path}-mark`);
  log.checkpoint();
  log.write([append(1, 1)]);
  rmSync(`${path}-mark`, { recursive: true });
  log.checkpoint();
  log.close();
  expect(existsSync(`${path}-mark`)).toBe(true);
  expect(opened(path)).toBe("opened");
});
