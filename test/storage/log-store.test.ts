import { Database } from "bun:sqlite";
import { expect, jest, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { SqliteLogStore } from "../../src/storage/log-store.ts";
import type { FromLogWorker } from "../../src/storage/log-writer.ts";
import { configurationEntry, Directory, entry, hardState, Log, run, texts } from "./support.ts";

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Fault);
  return error as Fault;
}

test("a thread that has said that it lives is given the time that the log takes, and one that says nothing is not", async () => {
  const real = globalThis.Worker;
  const threads: Thread[] = [];
  class Thread extends EventTarget {
    onmessage: ((event: MessageEvent<FromLogWorker>) => void) | undefined;
    constructor() {
      super();
      threads.push(this);
    }
    postMessage(): void {}
    terminate(): void {}
    says(data: FromLogWorker): void {
      this.onmessage?.(new MessageEvent("message", { data }));
    }
  }
  jest.useFakeTimers();
  try {
    globalThis.Worker = Thread as unknown as typeof Worker;
    const opening = [1, 2].map(() => {
      const store = new SqliteLogStore({ path: "log.db", onDurable: () => {}, onFault: () => {} });
      return store.open().catch((error: unknown) => String(error));
    });
    threads[0]!.says({ kind: "alive" });
    jest.advanceTimersByTime(100 * limits.workerStartMs);
    threads[0]!.says({ kind: "fault", code: "data", message: "the log is not one" });
    expect(await Promise.all(opening)).toEqual([
      expect.stringContaining("the log is not one"),
      expect.stringContaining("did not start"),
    ]);
  } finally {
    globalThis.Worker = real;
    jest.useRealTimers();
  }
});

test("an empty log is restored as nothing", async () => {
  using directory = new Directory();
  await using log = new Log(directory.file("log.db"));
  expect(await log.store.open()).toEqual({
    hardState: { term: term(0), vote: nodeId(0), commit: index(0) },
    baseIndex: index(0),
    baseTerm: term(0),
    lastIndex: index(0),
    termRuns: [],
    baseConfiguration: { voters: [], outgoing: [], learners: [], learnersNext: [] },
    configurations: [],
    window: [],
    repair: undefined,
  });
});

test("entries, hard state, term runs and configurations come back after reopening", async () => {
  using directory = new Directory();
  const first = { voters: [nodeId(1)], outgoing: [], learners: [], learnersNext: [] };
  const second = { voters: [nodeId(1)], outgoing: [], learners: [nodeId(2)], learnersNext: [] };
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    log.append([configurationEntry(1, 1, first), ...run(2, 40, 1)], hardState(1));
    log.append(run(41, 41, 2));
    log.append([...run(42, 99, 5), configurationEntry(100, 5, second)], {
      term: term(7),
      vote: nodeId(3),
      commit: index(99),
    });
    await log.until(() => log.tokens.at(-1) === 3);
  }
  await using log = new Log(directory.file("log.db"));
  const restored = await log.store.open();
  expect(restored.hardState).toEqual({ term: term(7), vote: nodeId(3), commit: index(99) });
  expect(restored.lastIndex).toBe(index(100));
  expect(restored.termRuns as unknown).toEqual([
    { first: 1, term: 1 },
    { first: 41, term: 2 },
    { first: 42, term: 5 },
  ]);
  expect(restored.configurations).toEqual([
    { index: index(1), configuration: first },
    { index: index(100), configuration: second },
  ]);
  expect(restored.window).toHaveLength(100);
  expect(restored.window[41]).toEqual(entry(42, 5));
});

test("the window holds the newest entries up to its bound, and older ones are read from disk", async () => {
  using directory = new Directory();
  const large = (at: number) => entry(at, 1, new Uint8Array(1024 * 1024).fill(at));
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    await log.write(Array.from({ length: 6 }, (_, offset) => large(offset + 1)));
  }
  await using log = new Log(directory.file("log.db"));
  const { window } = await log.store.open();
  expect(window.at(-1)?.index).toBe(index(6));
  expect(window.length).toBe(Math.floor(limits.logRestoreBytes / (1024 * 1024 + 64)));
  expect(log.store.entries(index(1), index(3), Number.MAX_SAFE_INTEGER)).toEqual([large(1), large(2)]);
});

test("a read stops before it passes the byte limit, but never before the first entry", async () => {
  using directory = new Directory();
  await using log = new Log(directory.file("log.db"));
  await log.store.open();
  await log.write(Array.from({ length: 10 }, (_, offset) => entry(offset + 1, 1, new Uint8Array(100))));
  expect(log.store.entries(index(3), index(9), 350).map((one) => one.index as number)).toEqual([3, 4, 5]);
  expect(log.store.entries(index(3), index(9), 1).map((one) => one.index as number)).toEqual([3]);
  expect(log.store.entries(index(3), index(9), 1_000_000).map((one) => one.index as number)).toEqual([
    3, 4, 5, 6, 7, 8,
  ]);
  expect(log.store.entries(index(3), index(3), 100)).toEqual([]);
});

test("an append replaces everything from its first entry on, within one transaction and across a restart", async () => {
  using directory = new Directory();
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    log.append(run(1, 10, 1));
    log.append([entry(8, 2, "new 8")]);
    await log.until(() => log.tokens.at(-1) === 2);
    await log.write([entry(9, 3, "new 9"), entry(10, 3, "new 10")]);
    await log.write([entry(6, 4, "newest 6")]);
  }
  await using log = new Log(directory.file("log.db"));
  const restored = await log.store.open();
  expect(restored.lastIndex).toBe(index(6));
  expect(restored.termRuns as unknown).toEqual([
    { first: 1, term: 1 },
    { first: 6, term: 4 },
  ]);
  expect(texts(restored.window).slice(4)).toEqual(["5/1 entry 5", "6/4 newest 6"]);
});

test("the data of an entry may be a view of a larger buffer, and stays the caller's", async () => {
  using directory = new Directory();
  await using log = new Log(directory.file("log.db"));
  await log.store.open();
  const frame = new TextEncoder().encode("frame: one, two, end");
  const one = entry(1, 1, frame.subarray(7, 10));
  const two = entry(2, 1, frame.subarray(12, 15));
  await log.write([one, two]);
  expect(texts([one, two])).toEqual(["1/1 one", "2/1 two"]);
  expect(texts(log.store.entries(index(1), index(3), 1000))).toEqual(["1/1 one", "2/1 two"]);
});

test("what is queued while a sync runs goes into few transactions, reported in order", async () => {
  using directory = new Directory();
  await using log = new Log(directory.file("log.db"));
  await log.store.open();
  for (let at = 1; at <= 500; at++) log.append([entry(at, 1)]);
  expect(log.store.pendingBytes()).toBeGreaterThan(0);
  await log.until(() => log.tokens.at(-1) === 500);
  expect(log.tokens.length).toBeLessThan(250);
  expect(log.tokens).toEqual(log.tokens.toSorted((a, b) => a - b));
  expect(log.store.pendingBytes()).toBe(0);
});

test("a hard state alone is durable too", async () => {
  using directory = new Directory();
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    await log.write([], { term: term(4), vote: nodeId(2), commit: index(0) });
  }
  await using log = new Log(directory.file("log.db"));
  expect((await log.store.open()).hardState).toEqual({ term: term(4), vote: nodeId(2), commit: index(0) });
});

test("a gap in what is appended is a bug and reaches no disk", async () => {
  using directory = new Directory();
  await using log = new Log(directory.file("log.db"));
  await log.store.open();
  expect(() => log.append([entry(2, 1)])).toThrow(/gap/);
  expect(() => log.append([entry(1, 1), entry(3, 1)])).toThrow(/out of order/);
});

test.each([
  ["data", "update entry set data = x'00' where idx = 5"],
  ["term", "update entry set term = 1 where idx = 5"],
  ["kind", "update entry set kind = 0 where idx = 5"],
  ["presence", "delete from entry where idx = 5"],
])(
  "a read ends before an entry whose %s was flipped, which is told and is not the end of the log (D3)",
  async (_what, damage) => {
    using directory = new Directory();
    const path = directory.file("log.db");
    await using log = new Log(path);
    await log.store.open();
    await log.write([...run(1, 4, 1), ...run(5, 9, 2)]);
    const second = new Database(path);
    second.run(damage);
    second.close();
    expect(texts(log.store.entries(index(1), index(9), 10_000)).at(-1)).toBe("4/1 entry 4");
    expect(log.damaged).toEqual([]);
    for (let times = 0; times < 2; times++) expect(log.store.entries(index(5), index(9), 10_000)).toEqual([]);
    expect(log.damaged).toEqual([5]);
    expect(texts(log.store.entries(index(6), index(7), 10_000))).toEqual(["6/2 entry 6"]);
    await using again = new Log(path);
    const fault = await faultOf(again.store.open());
    expect(fault.code).toBe("data");
    expect(fault.message).toContain("entry 5 is damaged");
  },
);

test("a file that is not a log is a fault, not a hang", async () => {
  using directory = new Directory();
  writeFileSync(directory.file("log.db"), "this is no database ".repeat(1000));
  await using log = new Log(directory.file("log.db"));
  const fault = await faultOf(log.store.open());
  expect(fault.code).toBe("data");
  expect(fault.message).toContain("log.db");
});

test("a log of a later format is refused", async () => {
  using directory = new Directory();
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
  }
  const second = new Database(directory.file("log.db"));
  second.run("update meta set version = 2");
  second.close();
  await using log = new Log(directory.file("log.db"));
  expect((await faultOf(log.store.open())).message).toContain("format 2");
});

test("a directory that is not there is a fault", async () => {
  await using log = new Log("/nonexistent/skein/log.db");
  expect((await faultOf(log.store.open())).code).toBe("disk");
});
