import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PackShelf } from "../../src/executor/pack-shelf.ts";
import { type AttemptLog, type PackSizes, PackWriter } from "../../src/executor/pack-writer.ts";
import { jobId } from "../../src/lib/ids.ts";

let dataDir: string;
let shelf: PackShelf;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "skein-packs-"));
  shelf = new PackShelf(dataDir, 7);
});
afterEach(() => {
  shelf.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const roomy: PackSizes = { packBytes: 1 << 26, ownAfterBytes: 1 << 20, idleMs: 600_000 };
const name = (task = 0, job = 4, attempt = 1) => ({ job: jobId(job), task, attempt });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (chunks: readonly { bytes: Uint8Array }[]): string =>
  Buffer.concat(chunks.map((chunk) => chunk.bytes)).toString();
const packs = (): string[] => readdirSync(join(dataDir, "logs", "packs")).filter((file) => file.endsWith(".pack"));
const unlimited = 2 ** 40;
type Stream = "stdout" | "stderr";

async function whole(task = 0, stream?: Stream, pageBytes = 1 << 20): Promise<string> {
  let all = "";
  for (let offset = 0, atEnd = false; !atEnd;) {
    const page = await shelf.read(7, { ...name(task), stream, offset, maxBytes: pageBytes });
    all += textOf(page.chunks);
    ({ next: offset, atEnd } = page);
  }
  return all;
}

describe("a pack", () => {
  test("holds the output of many attempts: stream, stamp and bytes come back, each with its own", async () => {
    const writer = new PackWriter(dataDir, "g", roomy);
    const [one, other] = [writer.open(name(0), 100), writer.open(name(1), 100)];
    one.write("stdout", 1_700_000_000_123, bytes("one"));
    other.write("stdout", 1, bytes("of the other"));
    one.write("stderr", 1_700_000_000_456, bytes("two"));
    expect(one.close()).toEqual({ bytes: 6, sha256: new Bun.CryptoHasher("sha256").update("onetwo").digest("hex") });
    const page = await shelf.read(7, { ...name(0), offset: 0, maxBytes: 100 });
    expect(page.chunks.map((chunk) => ({ ...chunk, bytes: textOf([chunk]) }))).toEqual([
      { stream: "stdout", at: 1_700_000_000_123, bytes: "one" },
      { stream: "stderr", at: 1_700_000_000_456, bytes: "two" },
    ]);
    expect(page).toMatchObject({ next: 6, atEnd: true, whole: 6 });
    expect(await whole(1)).toBe("of the other");
  });

  test("offsets count output of the chosen stream; negative ones count from its end", async () => {
    const log = new PackWriter(dataDir, "g", roomy).open(name(), unlimited);
    for (let i = 0; i < 10; i++) log.write(i % 2 === 0 ? "stdout" : "stderr", i, bytes(`${i}${i}`));
    log.close();
    const read = async (offset: number, maxBytes: number, stream?: Stream) => {
      const page = await shelf.read(7, { ...name(), stream, offset, maxBytes });
      return [textOf(page.chunks), page.next, page.atEnd];
    };
    expect(await read(0, 5, "stdout")).toEqual(["00224", 5, false]);
    expect(await read(5, 5, "stdout")).toEqual(["46688", 10, true]);
    expect(await read(3, 5, "stderr")).toEqual(["35577", 8, false]);
    expect(await read(-3, 100)).toEqual(["899", 20, true]);
    expect(await read(-3, 100, "stdout")).toEqual(["688", 10, true]);
    expect(await read(-99, 1)).toEqual(["0", 1, false]);
    expect(await read(20, 100)).toEqual(["", 20, true]);
    expect(await read(99, 100)).toEqual(["", 99, true]);
  });

  test("of one stream is read past pieces that hold only the other", async () => {
    const writer = new PackWriter(dataDir, "g", { packBytes: 3_000, ownAfterBytes: 1 << 20, idleMs: 600_000 });
    const log = writer.open(name(), unlimited);
    for (const stream of ["stderr", "stdout", "stderr", "stdout"] as const)
      log.write(stream, 1, bytes(stream.repeat(400)));
    log.close();
    expect(packs()).toHaveLength(4);
    expect(await whole(0, "stderr")).toBe("stderr".repeat(800));
    expect(await whole(0, "stdout")).toBe("stdout".repeat(800));
  });

  test("what is past keep is counted, and hash and size are of what is there", async () => {
    const log = new PackWriter(dataDir, "g", roomy).open(name(), 4);
    log.write("stdout", 1, bytes("abc"));
    log.write("stderr", 1, bytes("def"));
    expect(log.dropped).toBe(2);
    expect(log.close()).toEqual({ bytes: 4, sha256: new Bun.CryptoHasher("sha256").update("abcd").digest("hex") });
    expect(await whole()).toBe("abcd");
  });

  test("that cannot be written does not stop the task: the fault is kept and all output counts as dropped", () => {
    writeFileSync(join(dataDir, "logs"), "a file where a directory should be");
    const log = new PackWriter(dataDir, "g", roomy).open(name(), unlimited);
    log.write("stdout", 1, bytes("abc"));
    log.write("stdout", 1, bytes("de"));
    expect(log.close()).toBeUndefined();
    expect(log.dropped).toBe(5);
    expect(log.fault).toContain("ENOTDIR");
  });

  test("is one file for ten thousand tiny tasks", async () => {
    const writer = new PackWriter(dataDir, "g", roomy);
    for (let task = 0; task < 10_000; task++) {
      const log = writer.open(name(task), 100);
      log.write("stdout", 1, bytes(`task ${task}\n`));
      log.close();
    }
    expect(packs()).toHaveLength(1);
    for (const task of [0, 1, 4_999, 9_999]) expect(await whole(task)).toBe(`task ${task}\n`);
    shelf.close();
    shelf = new PackShelf(dataDir, 7); // another process: it knows by the index
    expect(await whole(9_998)).toBe("task 9998\n");
  });

  test("does not take a flood: that has packs of its own, and what is read has no seam", async () => {
    const writer = new PackWriter(dataDir, "g", { packBytes: 300_000, ownAfterBytes: 100_000, idleMs: 600_000 });
    const flood = writer.open(name(0), unlimited);
    const tiny = writer.open(name(1), unlimited);
    const expected: string[] = [];
    for (let line = 0; line < 200; line++) {
      expected.push(String(line).padStart(5_000, "."));
      flood.write("stdout", line, bytes(expected[line]!));
      tiny.write("stderr", line, bytes("."));
    }
    expect(flood.close()).toMatchObject({ bytes: 1_000_000 });
    tiny.close();
    expect(packs()).toHaveLength(5); // 100 kB in the shared one, then 300, 300, 300 and the rest
    expect(await whole(0, undefined, 77_777)).toBe(expected.join(""));
    expect(await whole(1)).toBe(".".repeat(200));
    expect(textOf((await shelf.read(7, { ...name(0), offset: -7, maxBytes: 100 })).chunks)).toBe("....199");
  });

  test("is followed while packs are changed: nothing is missing and nothing comes twice", async () => {
    const writer = new PackWriter(dataDir, "g", { packBytes: 4_000, ownAfterBytes: 1 << 20, idleMs: 600_000 });
    const log = writer.open(name(), unlimited);
    const readers = Array.from({ length: 3 }, async (_, reader) => {
      let seen = "";
      for (let offset = 0; !seen.endsWith("end\n");) {
        const request = { ...name(), offset, maxBytes: 100 + reader * 1_000 };
        await shelf.watch(7, request, 50);
        const page = await shelf.read(7, request);
        seen += textOf(page.chunks);
        offset = page.next;
      }
      return seen;
    });
    let written = "";
    for (let line = 0; line < 300; line++) {
      const text = line === 299 ? "end\n" : `line ${line} ${"x".repeat(line)}\n`;
      log.write("stdout", line, bytes(text));
      written += text;
      if (line % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    log.close();
    for (const reader of readers) expect((await reader) === written).toBe(true);
    expect(packs().length).toBeGreaterThan(5);
  });

  test("with a full disk: what was lost of one attempt is said, and the next one goes into a new pack", async () => {
    const writer = new PackWriter(dataDir, "g", roomy);
    const first = writer.open(name(0), unlimited);
    first.write("stdout", 1, bytes("before"));
    writer.flush();
    // The directory is taken away: no further pack can be made where the first one is full.
    const small = new PackWriter(dataDir, "g", { ...roomy, packBytes: 60 });
    const cut = small.open(name(1), unlimited);
    cut.write("stdout", 1, bytes("1"));
    small.flush();
    rmSync(join(dataDir, "logs"), { recursive: true });
    writeFileSync(join(dataDir, "logs"), "no directory");
    cut.write("stdout", 2, bytes("22"));
    expect(cut.close()).toMatchObject({ bytes: 1 });
    expect(cut.fault).toContain("ENOTDIR");
    expect(cut.dropped).toBe(2);
    rmSync(join(dataDir, "logs"));
    const next = small.open(name(2), unlimited);
    next.write("stdout", 3, bytes("again"));
    expect(next.close()).toMatchObject({ bytes: 5 });
    expect(await whole(2)).toBe("again");
  });
});

describe("a pack that a crash has cut short or damaged", () => {
  /** Two whole records, and where the second one begins. */
  async function twoRecords(): Promise<{ path: string; second: number }> {
    const writer = new PackWriter(dataDir, "g", roomy);
    const log = writer.open(name(), unlimited);
    log.write("stdout", 1, bytes("first"));
    writer.flush();
    const path = join(dataDir, "logs", "packs", packs()[0]!);
    const second = readFileSync(path).length;
    log.write("stdout", 1, bytes("second"));
    log.close();
    return { path, second };
  }

  test("ends with its last whole record, and goes on when the rest is written", async () => {
    const { path, second } = await twoRecords();
    const all = readFileSync(path);
    truncateSync(path, second + 20);
    expect(await shelf.read(7, { ...name(), offset: 0, maxBytes: 100 })).toMatchObject({ next: 5, atEnd: true });
    appendFileSync(path, all.subarray(second + 20));
    expect(await whole()).toBe("firstsecond");
  });

  test("gives nothing of a damaged record, whether it was known before or not", async () => {
    const { path, second } = await twoRecords();
    expect(await whole()).toBe("firstsecond");
    const damaged = readFileSync(path);
    damaged[second + 42]! ^= 1;
    writeFileSync(path, damaged);
    expect(await shelf.read(7, { ...name(), offset: 0, maxBytes: 100 })).toMatchObject({ next: 5, atEnd: true });
    shelf.close();
    rmSync(join(dataDir, "logs", "index.db"));
    shelf = new PackShelf(dataDir, 7);
    expect(await shelf.read(7, { ...name(), offset: 0, maxBytes: 100 })).toMatchObject({ next: 5, whole: 5 });
  });

  test("is found again when the index is lost, or is no database", async () => {
    await twoRecords();
    expect(await whole()).toBe("firstsecond");
    for (const content of ["", "this is no database at all, it is only text".repeat(100)]) {
      shelf.close();
      for (const suffix of ["-wal", "-shm"]) rmSync(join(dataDir, "logs", `index.db${suffix}`), { force: true });
      writeFileSync(join(dataDir, "logs", "index.db"), content);
      shelf = new PackShelf(dataDir, 7);
      expect(await whole()).toBe("firstsecond");
    }
  });

  test("is never appended to by a later process", async () => {
    await twoRecords();
    const log = new PackWriter(dataDir, "g", roomy).open(name(5), unlimited);
    log.write("stdout", 1, bytes("later"));
    log.close();
    expect(packs()).toHaveLength(2);
    expect(await whole(5)).toBe("later");
  });
});

test("a log of a release before packs is read from its file", async () => {
  const path = join(dataDir, "logs", "4", "0.1.log");
  mkdirSync(join(dataDir, "logs", "4"), { recursive: true });
  writeFileSync(path, Buffer.concat([Buffer.from([1, 0, 0, 5, 0, 0, 0, 0, 0, 9]), bytes("of it")]));
  const page = await shelf.read(7, { ...name(), offset: 3, maxBytes: 100 });
  expect(page).toMatchObject({
    chunks: [{ stream: "stdout", at: 9, bytes: bytes("it") }],
    next: 5,
    atEnd: true,
    whole: 5,
  });
});

describe("the packs of a node", () => {
  test("go when all jobs in them are gone, and only then; what is written stays", async () => {
    const writer = new PackWriter(dataDir, "g", { ...roomy, packBytes: 120 });
    const print = (job: number) => {
      const log = writer.open(name(0, job), unlimited);
      log.write("stdout", 1, bytes("x".repeat(20)));
      log.close();
    };
    print(1);
    print(2); // does not fit: the first pack is sealed
    print(3);
    await shelf.look(7);
    expect(packs()).toHaveLength(3);
    shelf.forget([2, 3]);
    expect(await shelf.clear(unlimited)).toMatchObject([{ source: 7, wanted: false }]);
    expect(packs()).toHaveLength(2); // that of job 1, and the one that is open
    expect((await shelf.read(7, { ...name(0, 1), offset: 0, maxBytes: 100 })).whole).toBe(20);
    expect((await shelf.read(7, { ...name(0, 2), offset: 0, maxBytes: 100 })).whole).toBe(0);
    expect(shelf.jobs(0, 10)).toEqual([1]);
  });

  test("are bounded: the oldest go although they are wanted", async () => {
    const writer = new PackWriter(dataDir, "g", { ...roomy, packBytes: 2_000 });
    for (let job = 1; job <= 10; job++) {
      const log = writer.open(name(0, job), unlimited);
      log.write("stdout", 1, bytes("x".repeat(1_900)));
      log.close();
    }
    await shelf.look(7);
    const removed = await shelf.clear(6_000);
    expect(removed).toHaveLength(7);
    expect(removed.every(({ wanted }) => wanted)).toBe(true);
    expect(shelf.jobs(0, 100)).toEqual([8, 9, 10]);
  });

  test("that are wanted to less than half are written anew; what is wanted is read all the while, here and from a copy", async () => {
    const writer = new PackWriter(dataDir, "g", { ...roomy, packBytes: 100_000 });
    const print = (job: number) => {
      const log = writer.open(name(0, job), unlimited);
      for (let line = 0; line < 20; line++) {
        log.write(line % 3 === 0 ? "stderr" : "stdout", line, bytes(`job ${job} line ${line}\n`));
        const other = writer.open(name(1, 1_000 + job), unlimited);
        other.write("stdout", line, bytes("x".repeat(200)));
        other.close();
      }
      log.close();
    };
    for (let job = 1; job <= 40; job++) print(job);
    const expected = (job: number, stream?: Stream): string =>
      Array.from({ length: 20 }, (_, line) =>
        stream === undefined || (line % 3 === 0) === (stream === "stderr") ? `job ${job} line ${line}\n` : "",
      ).join("");
    const check = async (source = 7) => {
      for (const job of [1, 7, 13, 26, 40])
        for (const stream of [undefined, "stdout", "stderr"] as const) {
          const page = await shelf.read(source, { ...name(0, job), stream, offset: 0, maxBytes: 1 << 20 });
          expect(textOf(page.chunks)).toBe(expected(job, stream));
          expect(page.whole).toBe(expected(job).length);
        }
    };
    await shelf.look(7);
    const before = packs();
    expect(before.length).toBeGreaterThan(2);
    expect(await shelf.compact(10_000)).toBe(false);
    shelf.forget(Array.from({ length: 40 }, (_, at) => 1_001 + at));
    // The copy has all packs of before.
    mkdirSync(join(dataDir, "logs", "copies", "9"), { recursive: true });
    const copy = (pack: string) =>
      writeFileSync(join(dataDir, "logs", "copies", "9", pack), readFileSync(join(dataDir, "logs", "packs", pack)));
    for (const pack of before) copy(pack);
    let compacted = 0;
    while (await shelf.compact(10_000)) {
      compacted += 1;
      await check();
    }
    expect(compacted).toBe(before.length - 1); // all but the one that is written
    const removed = await shelf.clear(unlimited);
    expect(
      removed
        .filter(({ source }) => source === 7)
        .map((pack) => pack.name)
        .toSorted(),
    ).toEqual(before.slice().toSorted().slice(0, -1));
    await check();
    for (const pack of packs()) copy(pack);
    await check(9);
    shelf.close();
    rmSync(join(dataDir, "logs", "index.db"));
    writeFileSync(join(dataDir, "logs", "packs", `${packs()[0]!}.new`), "cut short");
    shelf = new PackShelf(dataDir, 7);
    await check();
    await check(9);
    expect(readdirSync(join(dataDir, "logs", "packs")).some((file) => file.endsWith(".new"))).toBe(false);
  });

  test("of another node are kept apart from its own", async () => {
    const log = new PackWriter(dataDir, "g", roomy).open(name(), unlimited);
    log.write("stdout", 1, bytes("mine"));
    log.close();
    mkdirSync(join(dataDir, "logs", "copies", "9"), { recursive: true });
    const copy = readFileSync(join(dataDir, "logs", "packs", packs()[0]!));
    writeFileSync(join(dataDir, "logs", "copies", "9", packs()[0]!), copy);
    expect(shelf.sources()).toEqual([7, 9]);
    expect(textOf((await shelf.read(9, { ...name(), offset: 0, maxBytes: 100 })).chunks)).toBe("mine");
    await shelf.discard(9, packs()[0]!);
    expect(existsSync(join(dataDir, "logs", "copies", "9", packs()[0]!))).toBe(false);
    expect((await shelf.read(9, { ...name(), offset: 0, maxBytes: 100 })).whole).toBe(0);
    expect(await whole()).toBe("mine");
  });

  test("say of an attempt that was begun twice what was written last", async () => {
    for (const text of ["first try", "again, ok"]) {
      const log = new PackWriter(dataDir, "n", roomy).open(name(), unlimited);
      log.write("stdout", 1, bytes(text));
      log.close();
      await Bun.sleep(2);
    }
    expect(await whole()).toBe("again, ok");
  });
});

/** The letters of one stream. */
function ofStream(text: string, streams: readonly Stream[], stream: Stream | undefined): string {
  if (stream === undefined) return text;
  let all = "";
  for (let at = 0; at < text.length; at++) if (streams[at] === stream) all += text[at];
  return all;
}

/**
 * Against a model that keeps every attempt's output as a list: writes of any size by several attempts, crashes that lose the buffer, cut the last pack or damage its end, new
 * writers, lost indexes, readers at any offset.
 */
test("packs agree with a naive model, whatever happens to their ends", async () => {
  const step = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        kind: fc.constant("write" as const),
        task: fc.nat(4),
        size: fc.integer({ min: 1, max: 3_000 }),
        out: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("close" as const), task: fc.nat(4) }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("read" as const),
        task: fc.nat(4),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        page: fc.integer({ min: 1, max: 9_000 }),
        stream: fc.constantFrom(undefined, "stdout" as const, "stderr" as const),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("crash" as const), cut: fc.nat(200), garbage: fc.nat(60) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), isIndexLost: fc.boolean() }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      shelf.close();
      rmSync(join(dataDir, "logs"), { recursive: true, force: true });
      shelf = new PackShelf(dataDir, 7);
      const sizes = { packBytes: 8_000, ownAfterBytes: 5_000, idleMs: 600_000 };
      let writer = new PackWriter(dataDir, "g", sizes);
      let attempt = 1;
      const open = new Map<number, { log: AttemptLog; attempt: number }>();
      /** What was written, and how much of it is sure to be there. */
      const model = new Map<string, { text: string; streams: Stream[]; atLeast: number }>();
      const check = async (key: string, share: number, page: number, stream?: Stream) => {
        const [task, number] = key.split(".").map(Number) as [number, number];
        const { text, streams, atLeast } = model.get(key)!;
        const all = ofStream(text, streams, stream);
        const sure = ofStream(text.slice(0, atLeast), streams, stream).length;
        const from = Math.floor(share * all.length);
        let seen = "";
        for (let offset = from, atEnd = false; !atEnd;) {
          const read = await shelf.read(7, { ...name(task, 4, number), stream, offset, maxBytes: page });
          expect(read.chunks.every((chunk) => stream === undefined || chunk.stream === stream)).toBe(true);
          seen += textOf(read.chunks);
          expect(read.next).toBe(from + seen.length);
          ({ next: offset, atEnd } = read);
        }
        expect(all.startsWith(seen, from)).toBe(true);
        expect(from + seen.length).toBeGreaterThanOrEqual(Math.max(from, sure));
      };
      for (const one of steps) {
        if (one.kind === "write") {
          let entry = open.get(one.task);
          if (entry === undefined) {
            entry = { log: writer.open(name(one.task, 4, attempt), unlimited), attempt: attempt++ };
            open.set(one.task, entry);
            model.set(`${one.task}.${entry.attempt}`, { text: "", streams: [], atLeast: 0 });
          }
          const known = model.get(`${one.task}.${entry.attempt}`)!;
          const letter = String.fromCharCode(97 + (known.text.length % 26));
          const stream: Stream = one.out ? "stdout" : "stderr";
          entry.log.write(stream, 5, bytes(letter.repeat(one.size)));
          known.text += letter.repeat(one.size);
          for (let at = 0; at < one.size; at++) known.streams.push(stream);
        } else if (one.kind === "close") {
          const entry = open.get(one.task);
          if (entry === undefined) continue;
          open.delete(one.task);
          const known = model.get(`${one.task}.${entry.attempt}`)!;
          expect(entry.log.close()).toEqual({
            bytes: known.text.length,
            sha256: new Bun.CryptoHasher("sha256").update(known.text).digest("hex"),
          });
          known.atLeast = known.text.length;
        } else if (one.kind === "read") {
          const keys = [...model.keys()].filter((key) => key.startsWith(`${one.task}.`));
          for (const key of keys) await check(key, one.share, one.page, one.stream);
        } else if (one.kind === "crash") {
          // The process is gone with its buffer; the machine may have lost the end of what was written last, or put something else there.
          open.clear();
          const last = existsSync(join(dataDir, "logs", "packs"))
            ? packs().map((file) => join(dataDir, "logs", "packs", file))
            : [];
          for (const path of last) {
            const size = readFileSync(path).length;
            truncateSync(path, Math.max(0, size - one.cut));
            if (one.garbage > 0) appendFileSync(path, Buffer.alloc(one.garbage, one.cut));
          }
          if (one.cut > 0) for (const known of model.values()) known.atLeast = 0;
          writer = new PackWriter(dataDir, "g", sizes);
        } else {
          shelf.close();
          if (one.isIndexLost)
            for (const suffix of ["", "-wal", "-shm"])
              rmSync(join(dataDir, "logs", `index.db${suffix}`), { force: true });
          shelf = new PackShelf(dataDir, 7);
        }
      }
      for (const { log } of open.values()) log.close();
      for (const key of model.keys())
        for (const stream of [undefined, "stdout", "stderr"] as const) await check(key, 0, 1 << 20, stream);
    }),
    { numRuns: 60 },
  );
}, 120_000);
