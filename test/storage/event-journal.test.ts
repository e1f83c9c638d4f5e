import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventJournal, EventJournalReader, type JournalLine } from "../../src/storage/event-journal.ts";

let directory: string;
let state: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "skein-events-"));
  state = join(directory, "state.db");
});
afterEach(() => rmSync(directory, { recursive: true }));

async function linesAfter(after: number, through = Number.MAX_SAFE_INTEGER): Promise<JournalLine[]> {
  const lines: JournalLine[] = [];
  for await (const line of new EventJournalReader(state).read(after, through)) lines.push(line);
  return lines;
}

const segments = (): string[] => readdirSync(join(directory, "events")).toSorted();

/** A journal with lines of three entries each, from `from` on. */
function filled(from: number, lines: number, segmentBytes?: number, keptBytes?: number): EventJournal {
  const journal = new EventJournal(state, from, {
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    ...(keptBytes === undefined ? {} : { keptBytes }),
  });
  for (let line = 0; line < lines; line++) journal.append(from + 3 * line, from + 3 * line + 3, `["ü${line}"]`);
  return journal;
}

describe("the journal of events", () => {
  test("gives what was noted after any index, over all its files, and only what is committed", async () => {
    filled(0, 40, 64);
    expect(segments().length).toBeGreaterThan(5);
    for (const after of [0, 1, 3, 50, 118, 120]) {
      const lines = await linesAfter(after);
      expect(lines.map((line) => line.to)).toEqual(
        Array.from({ length: 40 }, (_, line) => 3 * line + 3).filter((to) => to > after),
      );
    }
    expect((await linesAfter(0, 9)).at(-1)).toEqual({ from: 6, to: 9, text: '["ü2"]' });
    expect((await linesAfter(0, 8)).at(-1)!.to).toBe(6);
  });

  test("is nobody else's to read", () => {
    filled(0, 1);
    expect(statSync(join(directory, "events")).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, "events", segments()[0]!)).mode & 0o777).toBe(0o600);
  });

  test("goes on after a start where the state is, and forgets what was noted but not committed", async () => {
    filled(0, 4).close();
    // The last two transactions came to nothing: the process was killed before.
    const journal = new EventJournal(state, 6);
    expect((await linesAfter(0)).map((line) => line.to)).toEqual([3, 6]);
    journal.append(6, 8, '["again"]');
    expect((await linesAfter(3)).map((line) => line.text)).toEqual(['["ü1"]', '["again"]']);
  });

  test("goes on when a state that lost its newest transactions is files behind", async () => {
    filled(0, 40, 64).close();
    const journal = new EventJournal(state, 30, { segmentBytes: 64 });
    journal.append(30, 31, "[]");
    expect((await linesAfter(27)).map((line) => line.to)).toEqual([30, 31]);
  });

  test("notes a transaction that was rolled back once", async () => {
    const journal = filled(0, 2);
    journal.append(3, 5, '["a smaller cut"]');
    journal.append(5, 6, '["the rest"]');
    expect((await linesAfter(0)).map((line) => [line.from, line.to])).toEqual([
      [0, 3],
      [3, 5],
      [5, 6],
    ]);
  });

  test.each([
    ["a torn line", () => appendFileSync(newest(), '12 15 [{"index'), true],
    ["garbage after a power cut", () => appendFileSync(newest(), "\0\0\0\0\n\0\0"), true],
    ["a file whose end is missing", () => writeFileSync(newest(), '0 3 ["ü0"]\n'), false],
    ["an empty file", () => writeFileSync(newest(), ""), false],
    ["a line that does not follow", () => writeFileSync(newest(), '0 3 ["ü0"]\n6 12 []\n'), false],
  ])("begins anew where it does not reach as far as the state, and nowhere else: %s", async (_, harm, isWhole) => {
    filled(0, 4).close();
    harm();
    const journal = new EventJournal(state, 12);
    expect(new EventJournalReader(state).oldest()).toBe(isWhole ? 0 : undefined);
    journal.append(12, 13, "[]");
    expect((await linesAfter(12)).map((line) => line.to)).toEqual([13]);
    expect(new EventJournalReader(state).oldest()).toBe(isWhole ? 0 : 12);
  });

  test("of another state begins anew", async () => {
    const journal = filled(0, 4);
    journal.restart(100);
    expect([new EventJournalReader(state).oldest(), await linesAfter(0)]).toEqual([undefined, []]);
    journal.append(100, 101, "[]");
    expect((await linesAfter(100)).length).toBe(1);
    journal.close();
    // A new epoch: the indexes jump.
    void new EventJournal(state, 2 ** 40);
    expect(segments()).toEqual([]);
  });

  test("keeps as much as it may, and says from where on", async () => {
    filled(0, 400, 200, 1000);
    const bytes = segments().reduce((sum, name) => sum + statSync(join(directory, "events", name)).size, 0);
    expect(bytes).toBeLessThan(1000 + 2 * 200);
    const oldest = new EventJournalReader(state).oldest()!;
    expect(oldest).toBeGreaterThan(1000);
    expect((await linesAfter(oldest)).at(0)!.from).toBe(oldest);
    expect(await linesAfter(oldest - 1)).toEqual([]);
  });

  test("that cannot be written is left, and begins again when it can", async () => {
    const journal = filled(0, 2);
    rmSync(join(directory, "events"), { recursive: true });
    writeFileSync(join(directory, "events"), "in the way");
    journal.restart(6);
    journal.append(6, 9, "[]");
    expect(new EventJournalReader(state).oldest()).toBeUndefined();
    rmSync(join(directory, "events"));
    expect(existsSync(join(directory, "events"))).toBe(false);
    const again = new EventJournal(state, 9);
    again.append(9, 12, "[]");
    expect((await linesAfter(9)).length).toBe(1);
  });

  test("is read while files of it are dropped: what is given has no gap", async () => {
    const journal = filled(0, 100, 200, 1000);
    const oldest = new EventJournalReader(state).oldest()!;
    let at = oldest;
    let end = 300;
    for await (const line of new EventJournalReader(state).read(oldest, Number.MAX_SAFE_INTEGER)) {
      expect(line.from).toBe(at);
      at = line.to;
      for (let more = 0; more < 20; more++, end += 3) if (end < 2000) journal.append(end, end + 3, "[]");
    }
    expect(at).toBeGreaterThan(oldest);
  });
});

const newest = (): string => join(directory, "events", segments().at(-1)!);
