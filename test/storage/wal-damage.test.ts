import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";
import type { Entry } from "../../src/raft/types.ts";
import { LogDatabase } from "../../src/storage/log-database.ts";
import { packAppend } from "../../src/storage/log-store.ts";
import { surveyLog } from "../../src/storage/log-survey.ts";
import { walDamage, walDamageOf } from "../../src/storage/wal-damage.ts";
import { Directory, entry, hardState, Log, run } from "./support.ts";

/**
 * WALs that SQLite wrote for a log. A crash may tear the last transaction in any way, and must never be taken for damage; damage before it must
 * never be taken for a crash.
 */

const pageBytes = 4096;
const frameBytes = 24 + pageBytes;
const headerBytes = 32;

interface Written {
  readonly wal: Buffer;
  /** Before the last transaction was written. */
  readonly before: Buffer;
  /** What log.db held beside it. */
  readonly main: Buffer;
  /** Where each transaction of the present run ends. */
  readonly ends: readonly number[];
}

let directory: Directory;
let fresh: Written;
/** Begun anew: frames of the run before lie behind those of the present one. */
let reused: Written;

/** One of them takes several pages. */
function transactions(from: number, count: number): Entry[][] {
  let next = from;
  return Array.from({ length: count }, (_, at) => {
    const data = "x".repeat(at === 1 ? 9000 : 10);
    const entries = [entry(next, 1, data), entry(next + 1, 1)];
    next += 2;
    return entries;
  });
}

function written(name: string, earlier: number): Written {
  const path = directory.file(name);
  const database = new LogDatabase(path);
  let token = 0;
  const write = (entries: readonly Entry[]): void => {
    token += 1;
    database.write([packAppend({ token, hardState: hardState(1, token), snapshot: undefined, entries })]);
  };
  for (const entries of transactions(1, earlier)) write(entries);
  if (earlier > 0) database.checkpoint();
  const ends: number[] = [];
  let before = Buffer.alloc(0);
  for (const entries of transactions(1 + 2 * earlier, 5)) {
    if (ends.length > 0) before = readFileSync(`${path}-wal`);
    write(entries);
    ends.push(endOf(readFileSync(`${path}-wal`)));
  }
  const files = { before, wal: readFileSync(`${path}-wal`), main: readFileSync(path), ends };
  database.close();
  return files;
}

/** Of the present run: frames after it have other salts, or are none. */
function endOf(wal: Buffer): number {
  const salts = wal.subarray(16, 24);
  let end = headerBytes;
  while (end + frameBytes <= wal.length && wal.subarray(end + 8, end + 16).equals(salts)) end += frameBytes;
  return end;
}

beforeAll(() => {
  directory = new Directory();
  fresh = written("fresh.db", 0);
  reused = written("reused.db", 25);
  expect(fresh.wal.length).toBe(fresh.ends.at(-1)!);
  expect(reused.wal.length).toBeGreaterThan(reused.ends.at(-1)!);
});
afterAll(() => directory[Symbol.dispose]());

function damageOf(wal: Uint8Array): ReturnType<typeof walDamage> {
  return walDamage({ bytes: wal.length, read: (at, length) => wal.subarray(at, at + length) }, pageBytes);
}

function flipped(wal: Buffer, at: number, bit: number): Buffer {
  const changed = Buffer.from(wal);
  changed[at]! ^= 1 << bit;
  return changed;
}

describe.each([
  ["a fresh WAL", () => fresh],
  ["one that was begun anew", () => reused],
])("in %s", (_, given) => {
  test("no crash looks like damage: whole, cut at any byte of the last transaction, or any sectors of it missing", () => {
    const { before, wal, ends } = given();
    const [start, end] = [ends.at(-2)!, ends.at(-1)!];
    const former = Buffer.alloc(wal.length);
    before.copy(former);
    expect(damageOf(wal)).toBeUndefined();
    for (let length = start; length < end; length++) {
      if (damageOf(wal.subarray(0, length)) !== undefined) throw new Error(`cut at byte ${length} looks like damage`);
      if (length % 8 !== 0) continue;
      const torn = Buffer.from(wal);
      former.copy(torn, length, length, end);
      if (damageOf(torn) !== undefined) throw new Error(`torn at byte ${length} looks like damage`);
    }
    const seed = randomInteger(Math.random, 1, 1_000_000);
    const random = seededRandom(seed);
    for (let round = 0; round < 1000; round++) {
      const torn = Buffer.from(wal);
      for (let at = start - (start % 512); at < end; at += 512) {
        if (random() < 0.5) continue;
        const [from, to] = [Math.max(at, start), Math.min(at + 512, end)];
        former.copy(torn, from, from, to);
      }
      if (damageOf(torn) !== undefined) throw new Error(`round ${round} of seed ${seed} looks like damage`);
    }
  });

  test("one bit that is wrong before the last transaction is damage, wherever it is", () => {
    const { wal, ends } = given();
    const start = ends.at(-2)!;
    const seed = randomInteger(Math.random, 1, 1_000_000);
    const random = seededRandom(seed);
    const places = Array.from({ length: headerBytes }, (__, at) => at);
    for (let frame = headerBytes; frame < start; frame += frameBytes) {
      for (let at = 0; at < 24; at++) places.push(frame + at);
      for (let times = 0; times < 12; times++) places.push(randomInteger(random, frame + 24, frame + frameBytes - 1));
    }
    for (const at of places) {
      for (let bit = 0; bit < 8; bit++) {
        const found = damageOf(flipped(wal, at, bit));
        const frame = at < headerBytes ? 0 : Math.floor((at - headerBytes) / frameBytes) + 1;
        if (found?.frame !== frame)
          throw new Error(`bit ${bit} of byte ${at} (frame ${frame}), seed ${seed}: found ${JSON.stringify(found)}`);
      }
    }
  });

  test("a page that was lost, or holds rubbish, before the last two transactions is damage", () => {
    const { wal, ends } = given();
    for (let frame = headerBytes; frame < ends.at(-3)!; frame += frameBytes) {
      for (const byte of [0x00, 0xff, 0x5a]) {
        const lost = Buffer.from(wal).fill(byte, frame, frame + frameBytes);
        expect(damageOf(lost)?.at).toBe(frame);
      }
    }
  });

  test("damage in the last transaction cannot be told from a torn one", () => {
    const { wal, ends } = given();
    for (let at = ends.at(-2)!; at < ends.at(-1)!; at += 97) expect(damageOf(flipped(wal, at, 3))).toBeUndefined();
  });
});

test("what is too short to be a WAL, or is none, is no damage", () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(31, 7), Buffer.alloc(32), Buffer.alloc(3 * frameBytes, 0x5a)])
    expect(damageOf(bytes)).toBeUndefined();
  expect(walDamageOf(directory.file("nothing.db"))).toBeUndefined();
});

test("the log does not open on it and changes nothing, and the survey of a lost quorum says where it ends", async () => {
  using other = new Directory();
  const path = other.file("log.db");
  const { wal, main, ends } = fresh;
  const put = (bytes: Buffer): void => {
    rmSync(`${path}-shm`, { force: true });
    writeFileSync(path, main);
    writeFileSync(`${path}-wal`, bytes);
  };
  put(wal);
  const state = { index: 0, term: 0 } as never;
  expect(surveyLog(path, state, () => {})).toMatchObject({ last: { index: 10 }, damagedFrom: undefined });
  const broken = flipped(wal, ends[3]! - 100, 0);
  put(broken);
  await using log = new Log(path);
  const fault = await log.store.open().then(
    () => undefined,
    (error: unknown) => error as Error & { code?: unknown },
  );
  expect(fault?.code).toBe("data");
  expect(fault?.message).toMatch(/log\.db-wal is damaged at byte \d+, .*\(WAL_DAMAGED\)/);
  expect(readFileSync(path).equals(main)).toBe(true);
  expect(readFileSync(`${path}-wal`).equals(broken)).toBe(true);
  expect(existsSync(`${path}-shm`)).toBe(false);
  expect(surveyLog(path, state, () => {})).toMatchObject({ last: { index: 6 }, damagedFrom: 7 });
});

test("a log that is killed and opened again, over checkpoints and runs of its WAL, is never taken for damaged", () => {
  using other = new Directory();
  const seed = randomInteger(Math.random, 1, 1_000_000);
  const random = seededRandom(seed);
  const path = other.file("log.db");
  let last = 0;
  for (let life = 0; life < 12; life++) {
    const database = new LogDatabase(path);
    for (let step = 0; step < 30; step++) {
      const count = randomInteger(random, 1, 30);
      const entries = run(last + 1, last + count, 1);
      last += count;
      database.write([packAppend({ token: last, hardState: hardState(1, last), snapshot: undefined, entries })]);
      if (random() < 0.1) database.checkpoint();
    }
    const files = ["", "-wal"].map((suffix) => readFileSync(path + suffix));
    database.close();
    rmSync(`${path}-shm`, { force: true });
    writeFileSync(path, files[0]!);
    writeFileSync(`${path}-wal`, files[1]!);
    if (walDamageOf(path) !== undefined) throw new Error(`life ${life} of seed ${seed} looks damaged`);
  }
});
