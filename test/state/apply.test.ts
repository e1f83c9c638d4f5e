import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { digestOf } from "../../src/lib/hash.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { accept, refuse } from "../../src/lib/outcome.ts";
import { applyEntries, UnknownCommand } from "../../src/state/apply.ts";
import { type AnyCommand, commandByTag } from "../../src/state/commands/index.ts";
import { checkBatch } from "../../src/state/commands/check.ts";
import { decodeBatch, decodeEntry, encodeBatch, encodeEntry } from "../../src/state/entry.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { totals } from "../../src/state/queries.ts";
import { countSubmitted } from "../../src/state/tables/counter.ts";
import { change, sql, type Tx } from "../../src/state/tx.ts";
import { admin, Cluster, openDatabase, record, self, system, throughTheLog } from "./support.ts";

const simple = { jobs: [{ run: "true" }] };

describe("batches", () => {
  test("a batch that comes again is answered as before and applied once (S3)", () => {
    const cluster = Cluster.of(1);
    const commands = [record("job.submit", simple, admin)];
    cluster.entry(commands, { serial: 100 });
    const [first] = cluster.apply();
    cluster.entry(commands, { serial: 100 });
    const [again] = cluster.apply();
    expect(again).toEqual(throughTheLog(first!));
    expect(totals(cluster.database).submitted).toBe(1);
  });

  test("a batch below its origin's floor is not applied: nobody knows any more whether it was", () => {
    const cluster = Cluster.of(1);
    const commands = [record("job.submit", simple, admin)];
    cluster.entry(commands, { serial: 100, floor: 100 });
    cluster.entry(commands, { serial: 99 });
    expect(cluster.apply().map((batch) => batch.serial)).toEqual([100]);
    expect(totals(cluster.database).submitted).toBe(1);
  });

  test("outcomes below the floor are forgotten", () => {
    const cluster = Cluster.of(1);
    const commands = [record("job.submit", simple, admin)];
    for (const serial of [100, 101, 102]) cluster.entry(commands, { serial, floor: 0 });
    cluster.entry(commands, { serial: 103, floor: 102 });
    cluster.apply();
    const rows = cluster.database.all<{ serial: number }>(sql("select serial from batch_outcome order by serial"));
    expect(rows.map((row) => row.serial).filter((serial) => serial >= 100)).toEqual([102, 103]);
  });

  test("outcomes of other origins are kept for them and not given here", () => {
    const cluster = Cluster.of(2);
    cluster.entry([record("job.submit", simple, admin)], { origin: nodeId(2), serial: 1 });
    expect(cluster.apply()).toEqual([]);
    expect(totals(cluster.database).submitted).toBe(1);
  });

  test("time never runs backwards over the log", () => {
    const cluster = Cluster.of(1);
    const before = cluster.submit();
    cluster.now -= 500_000;
    const after = cluster.submit();
    expect(cluster.job(after).submitted_at).toBe(cluster.job(before).submitted_at);
  });
});

describe("what apply does not know", () => {
  test("an unknown tag stops apply before its entry, and again at every try (S2)", () => {
    const cluster = Cluster.of(1);
    cluster.entry([record("job.submit", simple, admin)]);
    cluster.entry([[4711, "", "n1", "node", {}]]);
    const known = cluster.log.length - 1;
    for (let attempt = 0; attempt < 2; attempt++) {
      expect(() => cluster.apply()).toThrow(UnknownCommand);
      expect(cluster.database.applied).toBe(known);
    }
    expect(totals(cluster.database).submitted).toBe(1);
  });

  test("an entry of a higher level stops apply", () => {
    const cluster = Cluster.of(1);
    cluster.entry([record("job.submit", simple, admin)], { level: ownLevel + 1 });
    expect(() => cluster.apply()).toThrow(`needs level ${ownLevel + 1}`);
  });

  test("noop and configuration entries only move the index", () => {
    const database = openDatabase();
    const data = new Uint8Array([1, 2]);
    const result = applyEntries(
      database,
      [
        { index: 1, kind: "noop", data: new Uint8Array() },
        { index: 2, kind: "configuration", data },
      ],
      { self },
    );
    expect(result).toEqual({
      count: 2,
      applied: 2,
      outcomes: [],
      events: [],
      bugs: [],
      hashes: expect.any(Uint32Array),
    });
    expect(digestOf(result.hashes[2]!, result.hashes[3]!)).toBe(database.hash);
    expect(database.applied).toBe(2);
  });
});

describe("a command with a bug (S4)", () => {
  const mark = change(
    "token.mark",
    "insert into token (id, kind, hash, name, role) values (?, 'api', '', '', 'viewer')",
  );
  const faulty = {
    ...commandByTag(8)!,
    name: "faulty",
    tag: 900,
    apply(tx: { run: (statement: typeof mark, id: string) => number }, payload: { id: string; fail: boolean }) {
      tx.run(mark, payload.id);
      if (payload.fail) throw new Error("planted");
      return accept({ id: payload.id });
    },
  } as unknown as AnyCommand;
  const find = (tag: number): AnyCommand | undefined => (tag === 900 ? faulty : commandByTag(tag));
  const command = (id: string, fail: boolean): [number, string, string, "node", unknown] => [
    900,
    "",
    "n1",
    "node",
    { id, fail },
  ];

  test("only the culprit is undone; its outcome is 'bug' and the mesh goes on", () => {
    const cluster = Cluster.of(1, { commandByTag: find });
    cluster.entry([command("a", false), command("b", true), command("c", false)]);
    cluster.entry([command("d", false)]);
    const [batch] = cluster.apply();
    expect(batch!.outcomes.map((outcome) => (outcome.ok ? "ok" : outcome.why.code))).toEqual(["ok", "bug", "ok"]);
    const ids = cluster.database.all<{ id: string }>(
      sql("select id from token where length(id) = 1 and id != 'j' order by id"),
    );
    expect(ids.map((row) => row.id)).toEqual(["a", "c", "d"]);
  });

  test("what was thrown is told to this node's log alone: the outcome is the same wherever the text of an error differs", () => {
    const texts = ["undefined is not an object", "cannot read properties of undefined"];
    const results = texts.map((text) => {
      const thrower = {
        ...faulty,
        apply: () => {
          throw new Error(text);
        },
      } as unknown as AnyCommand;
      const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? thrower : commandByTag(tag)) });
      const { index } = cluster.entry([command("a", false)]);
      const { outcomes, bugs } = applyEntries(cluster.database, cluster.log.slice(-1), cluster.options);
      expect(bugs).toEqual([{ index, command: "faulty", message: text }]);
      return { hash: cluster.database.hash, outcomes };
    });
    expect(results[0]).toEqual(results[1]);
  });

  test("the words for the audit may have the bug too", () => {
    const speechless = {
      ...faulty,
      audit: () => {
        throw new Error("planted");
      },
    } as AnyCommand;
    const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? speechless : commandByTag(tag)) });
    cluster.level = 2;
    cluster.entry([command("a", false)]);
    cluster.entry([record("job.submit", simple, admin)]);
    const [first, second] = cluster.apply();
    expect([first!.outcomes[0], second!.outcomes[0]!.ok]).toEqual([refuse("bug", expect.any(String)), true]);
    const rows = cluster.database.all<{ outcome: string }>(sql("select outcome from audit where command = 'faulty'"));
    expect(rows).toEqual([{ outcome: "bug" }]);
    expect(cluster.database.all(sql("select id from token where id = 'a'"))).toEqual([]);
  });

  test("what it had counted is taken back, and what others of its entry counted stands", () => {
    const counting = {
      ...faulty,
      apply(tx: Tx, payload: { fail: boolean }) {
        countSubmitted(tx, "anna", 10, 100);
        if (payload.fail) throw new Error("planted");
        return accept(undefined);
      },
    } as unknown as AnyCommand;
    const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? counting : commandByTag(tag)) });
    cluster.entry([command("a", false), command("b", true), command("c", false)]);
    cluster.entry([command("d", true)]);
    cluster.apply();
    expect(totals(cluster.database)).toMatchObject({ submitted: 20, jobsUnfinished: 20, tasksQueued: 200 });
    expect(cluster.submit()).toBe(21);
    expect(totals(cluster.database).submitted).toBe(21);
  });

  test("totals that it leaves as no whole numbers are its bug alone", () => {
    const counting = {
      ...faulty,
      apply(tx: Tx, payload: { id: string }) {
        countSubmitted(tx, "anna", Number(payload.id), 1);
        return accept(undefined);
      },
    } as unknown as AnyCommand;
    const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? counting : commandByTag(tag)) });
    cluster.entry([command("1", false), command("0.5", false), command("not one", false), command("1", false)]);
    const [batch] = cluster.apply();
    expect(batch!.outcomes.map(({ ok }) => ok)).toEqual([true, false, false, true]);
    expect(totals(cluster.database).submitted).toBe(2);
  });

  test("the same bug everywhere gives the same hash, whatever the cuts", () => {
    const hashes = [1, 2, 10].map((cut) => {
      const cluster = Cluster.of(1, { commandByTag: find });
      cluster.entry([command("a", false)]);
      cluster.entry([command("b", true), command("c", false)]);
      cluster.entry([command("d", false)]);
      while (cluster.database.applied < cluster.log.length) {
        const from = cluster.database.applied;
        applyEntries(cluster.database, cluster.log.slice(from, from + cut), cluster.options);
      }
      return cluster.database.hash;
    });
    expect(new Set(hashes).size).toBe(1);
  });
});

describe("what a command says beside its rows", () => {
  const random: number[] = [];
  let calls = 0;
  const change = { topic: "token", kind: "changed" } as const;
  const odd = (
    tag: number,
    apply: (context: { changed: (told: typeof change) => void; random: () => number }) => unknown,
  ): AnyCommand =>
    ({
      ...commandByTag(8)!,
      name: `odd-${tag}`,
      tag,
      apply: (_tx: unknown, _payload: unknown, context: never) => apply(context),
    }) as unknown as AnyCommand;
  const disk = (): Fault => new Fault("disk", "the disk failed", "never");
  const commands: Record<number, AnyCommand> = {
    901: odd(901, (context) => {
      random.push(context.random());
      context.changed(change);
      return accept({});
    }),
    902: odd(902, (context) => {
      context.changed(change);
      return refuse("conflict", "no");
    }),
    903: odd(903, (context) => {
      context.changed(change);
      throw new Error("planted");
    }),
    904: odd(904, () => {
      calls += 1;
      throw disk();
    }),
    905: odd(905, () => {
      calls += 1;
      throw calls === 1 ? new Error("planted") : disk();
    }),
  };
  const find = (tag: number): AnyCommand | undefined => commands[tag] ?? commandByTag(tag);
  const clusterWith = (...tags: number[]): Cluster => {
    [random.length, calls] = [0, 0];
    const cluster = Cluster.of(1, { commandByTag: find });
    cluster.entry(tags.map((tag) => [tag, "", "n1", "node", {}]));
    return cluster;
  };

  test("only accepted commands tell of changes", () => {
    for (const [tags, told] of [
      [[902], 0],
      [[901, 902, 901], 2],
      [[901, 903, 902, 901], 2],
    ] as const) {
      const cluster = clusterWith(...tags);
      cluster.apply();
      expect(cluster.changes()).toEqual(Array.from({ length: told }, () => change));
    }
  });

  test("two commands of one entry draw different random numbers, in one batch or in two", () => {
    const cluster = clusterWith(901, 901);
    cluster.apply();
    const entry = decodeEntry(cluster.log.at(-1)!.data);
    const again = encodeBatch({ origin: nodeId(2), serial: 1, floor: 0, commands: [[901, "", "n2", "node", {}]] });
    const data = encodeEntry({
      ...entry,
      batches: [encodeBatch({ ...decodeBatch(entry.batches[0]!), serial: 99 }), again],
    });
    cluster.log.push({ index: cluster.log.length + 1, kind: "command", data });
    cluster.apply();
    expect(random).toHaveLength(5);
    expect(new Set(random).size).toBe(3); // the second entry has the same bytes: its first two draw the same again
    expect(random.slice(2, 4)).toEqual(random.slice(0, 2));
  });

  test("a fault of the disk is not taken for a command's bug: it stops apply at once, and nothing is applied", () => {
    for (const [tag, expected] of [
      [904, 1], // not tried again one by one
      [905, 2], // a bug first, then the disk while the culprit is looked for
    ] as const) {
      const cluster = clusterWith(901, tag);
      const { applied, hash } = cluster.database;
      expect(() => cluster.apply()).toThrow(Fault);
      expect(calls).toBe(expected);
      expect(cluster.database).toMatchObject({ applied, hash });
    }
  });
});

describe("determinism (S1)", () => {
  function history(): Cluster {
    const cluster = Cluster.of(3);
    const job = cluster.submit({ count: 5, retries: { max: 2, jitter: 1 } });
    cluster.assign(job, 1, [0, 1], [1, 1]);
    cluster.assign(job, 2, [2, 1]);
    cluster.finish(job, 0, 1, 1, "failed");
    cluster.finish(job, 1, 1, 1, "timeout");
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    cluster.refused("node.lost", { node: nodeId(2), incarnation: "i2" });
    cluster.must("job.cancel", { id: job as never }, admin);
    return cluster;
  }

  test("the same entries give the same rows and hash in any cut", () => {
    const original = history();
    for (const cut of [1, 3, 100]) {
      const database = openDatabase();
      while (database.applied < original.log.length) {
        applyEntries(database, original.log.slice(database.applied, database.applied + cut), { self: nodeId(2) });
      }
      expect(database.hash).toBe(original.database.hash);
      const rows = sql("select job, task, state, not_before from task order by job, task");
      expect(database.all(rows)).toEqual(original.database.all(rows));
    }
  });

  test("one other byte anywhere gives another hash", () => {
    const [one, other] = [history(), history()];
    expect(other.database.hash).toBe(one.database.hash);
    other.submit({ name: "x" });
    one.submit({ name: "y" });
    expect(other.database.hash).not.toBe(one.database.hash);
  });
});

test("the words of a refusal may be others in the next release, and the hash is the same (S1)", () => {
  const [one, other] = ["no such thing", "there is no such thing"].map((words) => {
    const refuser = { ...commandByTag(8)!, tag: 900, apply: () => refuse("not-found", words) } as unknown as AnyCommand;
    const cluster = Cluster.of(1, { commandByTag: (tag) => (tag === 900 ? refuser : commandByTag(tag)) });
    cluster.entry([[900, "", "n1", "node", {}]]);
    const outcomes = cluster.apply();
    return { hash: cluster.database.hash, outcomes };
  });
  expect(one!.outcomes).not.toEqual(other!.outcomes);
  expect(one!.hash).toBe(other!.hash);
});

describe("the leader's look at a forwarded batch (S3)", () => {
  const batch = (commands: Parameters<typeof checkBatch>[0]["commands"]): Parameters<typeof checkBatch>[0] => ({
    origin: nodeId(2),
    serial: 1,
    floor: 0,
    commands: throughTheLog(commands),
  });

  test("what a node prepared passes", () => {
    const commands = [
      record(
        "job.submit",
        { jobs: [{ run: ["a", "b"], retries: { max: 1, backoffMs: 5 }, eachNode: true, on: "a=b" }] },
        admin,
      ),
      record("task.finish", { node: nodeId(1), reports: [] as never[] }, system),
    ];
    expect(checkBatch(batch(commands.slice(0, 1))).ok).toBe(true);
    expect(checkBatch(batch(commands)).ok).toBe(false);
  });

  test("a wrong shape, a missing right and an unknown command are refused", () => {
    const codeOf = (commands: Parameters<typeof batch>[0]): string => {
      const checked = checkBatch(batch(commands));
      return checked.ok ? "ok" : checked.why.code;
    };
    expect(
      codeOf([[10, "", "x", "admin", { jobs: [["n", 1, '{"priority":"high"}', null]], key: null, digest: "" }]]),
    ).toBe("invalid");
    expect(codeOf([[10, "", "x", "admin", { jobs: [["n", 1, "{", null]], key: null, digest: "" }]])).toBe("invalid");
    expect(codeOf([record("job.submit", simple, { ...admin, role: "viewer" })])).toBe("forbidden");
    expect(codeOf([record("node.lost", { node: nodeId(1), incarnation: "i" }, admin)])).toBe("forbidden");
    expect(codeOf([[4711, "", "x", "node", {}]])).toBe("invalid");
  });
});
