import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fc from "fast-check";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { readLogFile, removeLogs } from "../../src/executor/log-file.ts";
import { logPath } from "../../src/executor/log-record.ts";
import { Tail } from "../../src/executor/tail.ts";
import { jobId } from "../../src/lib/ids.ts";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "skein-log-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const name = { job: jobId(4), task: 2, attempt: 1 };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (chunks: readonly { bytes: Uint8Array }[]): string =>
  Buffer.concat(chunks.map((chunk) => chunk.bytes)).toString();

/** Writes as releases before packs did: what they left is read until its job is gone. */
function writer() {
  const path = logPath(dataDir, name);
  mkdirSync(dirname(path), { recursive: true });
  return {
    write(stream: "stdout" | "stderr", at: number, chunk: Uint8Array): void {
      const header = Buffer.alloc(10);
      header[0] = stream === "stdout" ? 1 : 2;
      header.writeUIntBE(chunk.length, 1, 3);
      header.writeUIntBE(at, 4, 6);
      appendFileSync(path, Buffer.concat([header, chunk]));
    },
  };
}

test("what was written is read back, stream, stamp and bytes", async () => {
  const log = writer();
  log.write("stdout", 1_700_000_000_123, bytes("one"));
  log.write("stderr", 1_700_000_000_456, bytes("two"));
  const page = await readLogFile(dataDir, { ...name, offset: 0, maxBytes: 100 });
  expect(page.chunks).toEqual([
    { stream: "stdout", at: 1_700_000_000_123, bytes: bytes("one") },
    { stream: "stderr", at: 1_700_000_000_456, bytes: bytes("two") },
  ]);
  expect(page).toMatchObject({ next: 6, atEnd: true });
});

test("offsets count output of the chosen stream; negative ones count from its end", async () => {
  const log = writer();
  for (let i = 0; i < 10; i++) log.write(i % 2 === 0 ? "stdout" : "stderr", i, bytes(`${i}${i}`));
  const read = async (offset: number, maxBytes: number, stream?: "stdout" | "stderr") => {
    const page = await readLogFile(dataDir, { ...name, stream, offset, maxBytes });
    return [textOf(page.chunks), page.next, page.atEnd];
  };
  expect(await read(0, 5, "stdout")).toEqual(["00224", 5, false]);
  expect(await read(5, 5, "stdout")).toEqual(["46688", 10, true]);
  expect(await read(-3, 100)).toEqual(["899", 20, true]);
  expect(await read(-3, 100, "stdout")).toEqual(["688", 10, true]);
  expect(await read(-99, 1)).toEqual(["0", 1, false]);
  expect(await read(20, 100)).toEqual(["", 20, true]);
  expect(await read(99, 100)).toEqual(["", 99, true]);
});

test("pages of any size give the whole, whatever was written between them", async () => {
  const log = writer();
  const chunk = fc.record({
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    size: fc.integer({ min: 1, max: 90_000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(chunk, { maxLength: 6 }),
      fc.integer({ min: 3_000, max: 100_000 }),
      async (chunks, pageBytes) => {
        const start = (await readLogFile(dataDir, { ...name, offset: -1, maxBytes: 10 })).next;
        const written = chunks.map(({ stream, size }, at) => ({
          stream,
          text: String.fromCharCode(97 + at).repeat(size),
        }));
        for (const { stream, text } of written) log.write(stream, 1, bytes(text));
        let all = "";
        for (let offset = start, atEnd = false; !atEnd;) {
          const page = await readLogFile(dataDir, { ...name, offset, maxBytes: pageBytes });
          all += textOf(page.chunks);
          ({ next: offset, atEnd } = page);
        }
        expect(all === written.map(({ text }) => text).join("")).toBe(true);
      },
    ),
    { numRuns: 30 },
  );
});

test("a log that does not exist is empty; a record cut short is the end until it is whole", async () => {
  expect(await readLogFile(dataDir, { ...name, offset: 0, maxBytes: 10 })).toEqual({
    chunks: [],
    next: 0,
    atEnd: true,
  });
  const log = writer();
  log.write("stdout", 1, bytes("whole"));
  const record = Buffer.concat([Buffer.from([1, 0, 0, 3, 0, 0, 0, 0, 0, 9]), bytes("new")]);
  appendFileSync(logPath(dataDir, name), record.subarray(0, 11));
  expect(textOf((await readLogFile(dataDir, { ...name, offset: 0, maxBytes: 100 })).chunks)).toBe("whole");
  appendFileSync(logPath(dataDir, name), record.subarray(11));
  expect(await readLogFile(dataDir, { ...name, offset: 5, maxBytes: 100 })).toMatchObject({
    chunks: [{ at: 9, bytes: bytes("new") }],
    next: 8,
  });
});

test("the logs of a job go together", async () => {
  const log = writer();
  log.write("stdout", 1, bytes("x"));
  await removeLogs(dataDir, name.job);
  await removeLogs(dataDir, name.job);
  expect(existsSync(logPath(dataDir, name))).toBe(false);
});

test("the tail is the end of everything, at any size and in any pieces", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 600 }), fc.array(fc.uint8Array({ maxLength: 700 })), (size, pieces) => {
      const tail = new Tail(size);
      for (const piece of pieces) tail.push(piece);
      const all = Buffer.concat(pieces);
      expect(Buffer.from(tail.bytes()).equals(all.subarray(Math.max(0, all.length - size)))).toBe(true);
    }),
  );
});
