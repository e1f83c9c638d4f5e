import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { index, nobody, nodeId, term } from "../../src/lib/ids.ts";
import type { Restored, SnapshotMeta } from "../../src/raft/types.ts";
import type { StateBeside } from "../../src/storage/types.ts";
import { Directory, entry, hardState, Log, run } from "./support.ts";

const configuration = { voters: [nodeId(1), nodeId(2)], outgoing: [], learners: [], learnersNext: [] };
const metaAt = (at: number, inTerm: number): SnapshotMeta => ({ index: index(at), term: term(inTerm), configuration });
const stateAt = (at: number, inTerm: number, isInstalling = false): StateBeside => ({
  applied: at,
  meta: metaAt(at, inTerm),
  installing: isInstalling ? at : undefined,
});

/** A log of 100 entries, term 1 up to 50 and term 2 after it; `change` is done to its file. */
async function logOf100(directory: Directory, change: (database: Database) => void = () => {}): Promise<void> {
  {
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    await log.write([...run(1, 50, 1), ...run(51, 100, 2)], hardState(3, 90));
  }
  const database = new Database(directory.file("log.db"));
  database.run("pragma busy_timeout = 5000");
  change(database);
  database.close();
}

async function reopened(directory: Directory, state?: StateBeside): Promise<Restored> {
  await using log = new Log(directory.file("log.db"));
  return await log.store.open(state);
}

const rows = (directory: Directory): number[] => {
  const database = new Database(directory.file("log.db"), { readonly: true });
  const found = database.query("select idx from entry order by idx").all() as { idx: number }[];
  database.close();
  return found.map(({ idx }) => idx);
};

describe("compaction", () => {
  test("the log begins after its new base, also when reopened, and the rows go", async () => {
    using directory = new Directory();
    await logOf100(directory);
    {
      await using log = new Log(directory.file("log.db"));
      await log.store.open();
      log.store.compact(metaAt(60, 2));
      await log.write([entry(101, 2)]);
      expect(log.store.entries(index(61), index(63), 1000).map((one) => Number(one.index))).toEqual([61, 62]);
    }
    const restored = await reopened(directory);
    expect(restored).toMatchObject({ baseIndex: 60, baseTerm: 2, baseConfiguration: configuration, lastIndex: 101 });
    expect(restored.termRuns as unknown).toEqual([{ first: 61, term: 2 }]);
    expect(rows(directory)[0]).toBe(61);
  });

  test("a long prefix goes in steps, and appends go on meanwhile", async () => {
    using directory = new Directory();
    await using log = new Log(directory.file("log.db"));
    await log.store.open();
    await log.write(run(1, 12_000, 1), hardState(1));
    log.store.compact(metaAt(11_990, 1));
    for (let at = 12_001; at <= 12_020; at++) await log.write([entry(at, 1)]);
    await log.store.close();
    expect((await reopened(directory)).lastIndex).toBe(index(12_020));
    expect(rows(directory).at(-1)).toBe(12_020);
  });

  test("a snapshot takes the place of the whole log, what lay beyond it too", async () => {
    using directory = new Directory();
    await logOf100(directory);
    {
      await using log = new Log(directory.file("log.db"));
      await log.store.open();
      log.store.append({ token: 1, hardState: hardState(5, 80), snapshot: metaAt(80, 4), entries: [entry(81, 5)] });
      await log.until(() => log.tokens.at(-1) === 1);
    }
    const restored = await reopened(directory);
    expect(restored).toMatchObject({ baseIndex: 80, baseTerm: 4, lastIndex: 81, hardState: { term: 5 } });
    expect(restored.window.map((one) => Number(one.term))).toEqual([5]);
  });
});

describe("a state beside it that a snapshot brought", () => {
  test("the node ended before the log was told: it begins anew after the state", async () => {
    using directory = new Directory();
    await logOf100(directory);
    const restored = await reopened(directory, stateAt(150, 3, true));
    expect(restored).toMatchObject({ baseIndex: 150, baseTerm: 3, lastIndex: 150, hardState: { term: 3 } });
  });

  test("of a term that this node had not heard of durably: term and state go together, and no vote is left over", async () => {
    using directory = new Directory();
    await logOf100(directory, (database) => void database.run("update hard set vote = 2"));
    const restored = await reopened(directory, stateAt(150, 7, true));
    expect(restored.hardState).toMatchObject({ term: 7, vote: nobody });
    expect((await reopened(directory)).hardState).toMatchObject({ term: 7, vote: nobody });
  });

  test("of another history than the log at the same index: the state is right", async () => {
    using directory = new Directory();
    await logOf100(directory);
    expect(await reopened(directory, stateAt(90, 3, true))).toMatchObject({
      baseIndex: 90,
      baseTerm: 3,
      lastIndex: 90,
      repair: undefined,
    });
  });

  test("where they agree the log is kept", async () => {
    using directory = new Directory();
    await logOf100(directory);
    expect(await reopened(directory, stateAt(90, 2, true))).toMatchObject({ baseIndex: 0, lastIndex: 100 });
  });
});

describe("damage (D3)", () => {
  const flip = (at: number) => (database: Database) =>
    void database.query("update entry set data = zeroblob(length(data)) where idx = ?").run(at);
  const changeTerm = (at: number) => (database: Database) =>
    void database.query("update entry set term = 1 where idx = ?").run(at);

  test("in the term where a snapshot ends: what is dropped beyond it is remembered, for nobody knows which history it was", async () => {
    for (const damage of [changeTerm(90), (one: Database) => void one.run("delete from entry where idx = 90")]) {
      using directory = new Directory();
      await logOf100(directory, damage);
      const expected = { baseIndex: 90, baseTerm: 2, lastIndex: 90, repair: { until: 100, term: 3 } };
      expect(await reopened(directory, stateAt(90, 2, true))).toMatchObject(expected);
      expect(await reopened(directory, stateAt(90, 2))).toMatchObject(expected);
    }
  });

  test("beside the mark of a snapshot that did not come to be installed: as without it", async () => {
    using directory = new Directory();
    await logOf100(directory, changeTerm(90));
    const restored = await reopened(directory, { ...stateAt(90, 2), installing: 95 });
    expect(restored).toMatchObject({ baseIndex: 90, baseTerm: 2, lastIndex: 100, repair: undefined });
  });

  test("an entry that the state does not contain: the log is cut before it, and what was promised is remembered until it is back", async () => {
    using directory = new Directory();
    await logOf100(directory, flip(95));
    const restored = await reopened(directory, stateAt(90, 2));
    expect(restored).toMatchObject({ lastIndex: 94, repair: { until: 100, term: 3 } });
    expect((await reopened(directory, stateAt(90, 2))).repair).toEqual({ until: index(100), term: term(3) });
    {
      await using log = new Log(directory.file("log.db"));
      await log.store.open(stateAt(90, 2));
      await log.write(run(95, 99, 2));
    }
    expect((await reopened(directory, stateAt(90, 2))).repair).toBeDefined();
    {
      await using log = new Log(directory.file("log.db"));
      await log.store.open(stateAt(90, 2));
      await log.write([entry(100, 2)]);
    }
    expect((await reopened(directory, stateAt(90, 2))).repair).toBeUndefined();
  });

  test("entries of a later term end it as well: their leader was elected without what was lost", async () => {
    using directory = new Directory();
    await logOf100(directory, flip(95));
    {
      await using log = new Log(directory.file("log.db"));
      await log.store.open(stateAt(90, 2));
      await log.write([entry(95, 4)], hardState(4));
    }
    expect((await reopened(directory, stateAt(90, 2))).repair).toBeUndefined();
  });

  test("a missing entry is as bad as a wrong one", async () => {
    using directory = new Directory();
    await logOf100(directory, (database) => void database.run("delete from entry where idx = 97"));
    expect(await reopened(directory, stateAt(90, 2))).toMatchObject({ lastIndex: 96, repair: { until: 100 } });
  });

  test("an entry that the state contains is not needed: the log begins after the state, the rest is kept", async () => {
    using directory = new Directory();
    await logOf100(directory, flip(40));
    const restored = await reopened(directory, stateAt(90, 2));
    expect(restored).toMatchObject({ baseIndex: 90, baseTerm: 2, lastIndex: 100, repair: undefined });
  });

  test("both at once, several of each", async () => {
    using directory = new Directory();
    await logOf100(directory, (database) => [10, 90, 93, 99].forEach((at) => flip(at)(database)));
    expect(await reopened(directory, stateAt(90, 2))).toMatchObject({
      baseIndex: 90,
      lastIndex: 92,
      repair: { until: 100 },
    });
  });

  test("a whole log is left as it is", async () => {
    using directory = new Directory();
    await logOf100(directory);
    expect(await reopened(directory, stateAt(90, 2))).toMatchObject({
      baseIndex: 0,
      lastIndex: 100,
      repair: undefined,
    });
  });
});
