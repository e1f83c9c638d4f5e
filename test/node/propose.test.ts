import { encode } from "../../src/lib/codec.ts";
import { afterEach, describe, expect, test } from "bun:test";
import { type NodeId, nobody, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { Fault } from "../../src/lib/fault.ts";
import { Principals } from "../../src/node/principals.ts";
import { type ForwardReply, Proposer } from "../../src/node/propose.ts";
import type { BatchOutcome } from "../../src/node/state-writer.ts";
import type { Proposed } from "../../src/raft/types.ts";
import { type CommandRecord, decodeBatch, decodeEntry, encodeBatch } from "../../src/state/entry.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import type { TokenRow } from "../../src/state/queries.ts";

type Answer = Outcome<{ value: unknown; index: number }>;

/** A proposer in a world that the test moves by hand. */
class World {
  leader: NodeId = nobody;
  term = 0;
  proposed: Proposed = { ok: true, index: 1 as never, term: 1 as never };
  readonly entries: Uint8Array[] = [];
  readonly forwarded: {
    readonly to: NodeId;
    readonly bytes: Uint8Array;
    readonly settle: PromiseWithResolvers<ForwardReply>;
  }[] = [];
  readonly self = nodeId(1);
  now = 1_700_000_000_000;
  level = 1;
  /** What the leader's state knows of tokens. */
  readonly tokens = new Map<string, TokenRow>();
  readonly principals = new Principals((id) => this.tokens.get(id));
  readonly proposer: Proposer;
  /** What the state knows of batches of before. */
  readonly remembered = new Map<number, BatchOutcome>();

  constructor(starts = 1) {
    this.proposer = new Proposer(
      {
        self: this.self,
        level: () => this.level,
        leader: () => this.leader,
        isLeading: () => this.leader === this.self,
        admission: { judge: () => ({ kind: "admitted", ticket: undefined }), logged: () => {}, onLeadership: () => {} },
        principalProblem: (record) => this.principals.problemOf(record),
        propose: (data) => {
          if (this.proposed.ok) this.entries.push(data);
          return this.proposed;
        },
        forward: (to, bytes) => {
          const settle = Promise.withResolvers<ForwardReply>();
          this.forwarded.push({ to, bytes, settle });
          return settle.promise;
        },
        now: () => this.now,
        randomBytes: (count) => new Uint8Array(count),
        schedule: () => {},
        remembered: (serial) => this.remembered.get(serial),
      },
      starts,
    );
  }

  leads(node: NodeId): void {
    this.leader = node;
    this.term += 1;
    this.proposer.onLeadership(this.term);
  }

  submit(payload: unknown = { n: 1 }): { answer: Answer | undefined } {
    const record: CommandRecord = [1, "t", "name", "admin", payload];
    const seen: { answer: Answer | undefined } = { answer: undefined };
    void this.proposer.submit(record).then((answer) => {
      seen.answer = answer;
    });
    return seen;
  }

  /** The batches of everything logged so far. */
  batches() {
    return this.entries.flatMap((entry) => decodeEntry(entry).batches.map(decodeBatch));
  }

  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.proposer.logGathered();
    await new Promise((resolve) => setImmediate(resolve));
  }

  applied(serial: number, count: number): void {
    this.proposer.onOutcomes([{ serial, index: 7, outcomes: Array.from({ length: count }, (_, at) => accept(at)) }]);
  }
}

const worlds: World[] = [];
function world(starts?: number): World {
  const made = new World(starts);
  worlds.push(made);
  return made;
}
afterEach(() => {
  for (const one of worlds.splice(0)) one.proposer.close();
});

describe("proposing", () => {
  test("commands of one turn are one batch and one entry, each with its own outcome", async () => {
    const w = world();
    w.leads(w.self);
    const answers = [w.submit("a"), w.submit("b"), w.submit("c")];
    await w.turn();
    expect(w.batches().map((batch) => batch.commands.map((record) => record[4]))).toEqual([["a", "b", "c"]]);
    w.applied(w.batches()[0]!.serial, 3);
    await w.turn();
    expect(answers.map((one) => one.answer)).toEqual([0, 1, 2].map((value) => accept({ value, index: 7 })));
  });

  test("the state jumps: what it remembers is answered from it, and only the rest is handed over again (S3)", async () => {
    const w = world();
    w.leads(nodeId(2));
    const [known, unknown] = [w.submit("known"), await w.turn().then(() => w.submit("unknown"))];
    await w.turn();
    const serials = w.forwarded.map(({ bytes }) => decodeBatch(bytes).serial);
    for (const { settle } of w.forwarded) settle.resolve({ ok: true });
    w.remembered.set(serials[0]!, { serial: serials[0]!, index: 9, outcomes: [accept("done")] });
    w.proposer.onJumped();
    await w.turn();
    expect(known.answer).toEqual(accept({ value: "done", index: 9 }));
    expect(unknown.answer).toBeUndefined();
    expect(w.forwarded.map(({ bytes }) => decodeBatch(bytes).serial)).toEqual([...serials, serials[1]!]);
  });

  test("a follower's bytes are logged by the leader exactly as they came", async () => {
    const w = world();
    w.leads(w.self);
    const input = commandByName("node.lost");
    const bytes = encodeBatch({
      origin: nodeId(2),
      serial: 5,
      floor: 5,
      commands: [[input.tag, "", "b", "node", { node: 2, incarnation: "i" }]],
    });
    const reply = w.proposer.onForwarded(nodeId(2), bytes);
    await w.turn();
    expect(await reply).toMatchObject({ ok: true });
    expect(decodeEntry(w.entries[0]!).batches[0]).toEqual(bytes);
  });

  test("a command of a level that this leader has not applied yet waits at the one who sends it", async () => {
    const w = world();
    w.leads(w.self);
    const timing = { heartbeat_ms: 100, election_timeout_ms: 1000 };
    const { tag, since } = commandByName("cluster.timing");
    const commands: CommandRecord[] = [[tag, "anna", "anna", "admin", timing]];
    const bytes = encodeBatch({ origin: nodeId(2), serial: 5, floor: 5, commands });
    w.level = since - 1;
    expect(await w.proposer.onForwarded(nodeId(2), bytes)).toEqual({ ok: false, why: "behind" });
    w.level = since;
    const reply = w.proposer.onForwarded(nodeId(2), bytes);
    await w.turn();
    expect(await reply).toMatchObject({ ok: true });
  });

  test("a large batch is looked at in turns: sent again meanwhile it is the same one, of which one copy is logged, and none by who leads no more", async () => {
    const w = world();
    w.tokens.set("anna", {
      id: "anna",
      kind: "api",
      name: "anna",
      role: "operator",
      hash: "h",
      expiresAt: null,
      uses: null,
      revoked: false,
      node: null,
    });
    const { tag } = commandByName("job.submit");
    const large = (serial: number, run: string): Uint8Array => {
      const spec = JSON.stringify({ run });
      const jobs = Array.from({ length: 2_000 }, (_, at) => [
        `job-${at}`,
        1,
        at === 1_999 ? spec : '{"run":"a"}',
        null,
      ]);
      const payload = { jobs, key: null, digest: "" };
      const commands: CommandRecord[] = [[tag, "anna", "anna", "operator", payload]];
      return encodeBatch({ origin: nodeId(2), serial, floor: 1, commands });
    };
    const right = large(5, "x".repeat(limits.atOnceBytes));
    w.leads(w.self);
    const replies = [w.proposer.onForwarded(nodeId(2), right), w.proposer.onForwarded(nodeId(2), right)];
    expect(w.entries).toEqual([]);
    const wrong = encodeBatch({
      ...decodeBatch(right),
      serial: 6,
      commands: [[tag, "anna", "anna", "operator", { jobs: [["a", 2, "{}".padEnd(limits.atOnceBytes), null]] }]],
    });
    expect(await w.proposer.onForwarded(nodeId(2), wrong).catch(String)).toContain("in a wrong shape");
    w.proposer.logGathered();
    expect((await Promise.all(replies)).map(({ ok }) => ok)).toEqual([true, true]);
    expect(w.entries.map((entry) => decodeEntry(entry).batches)).toEqual([[right]]);

    const late = w.proposer.onForwarded(nodeId(2), large(7, "y".repeat(limits.atOnceBytes)));
    w.leads(nodeId(3));
    expect(await late).toEqual({ ok: false, why: "not-leader" });
    expect(w.entries).toHaveLength(1);
  });

  test("of large batches no more are looked at together than a log may have uncommitted: what is more is sent again when they are done", async () => {
    const w = world();
    w.leads(w.self);
    const { tag } = commandByName("job.submit");
    // Of a wrong shape, which is found out in its turn: that is soon enough here.
    const jobs = [["a", 2, "{}".padEnd(limits.entryBytes - 1024), null]];
    const commands: CommandRecord[] = [[tag, "anna", "anna", "operator", { jobs }]];
    const large = (serial: number): Promise<unknown> =>
      w.proposer
        .onForwarded(nodeId(2), encodeBatch({ origin: nodeId(2), serial, floor: 1, commands }))
        .catch((error: unknown) => (String(error).includes("in a wrong shape") ? "looked at" : error));
    const fit = Math.floor(limits.uncommittedBytes / limits.entryBytes);
    const [last, ...first] = Array.from({ length: fit + 1 }, (_, at) => large(fit + 1 - at)).toReversed();
    expect(await last).toEqual({ ok: false, why: "busy" });
    expect(await Promise.all(first)).toEqual(first.map(() => "looked at"));
    expect(await large(fit + 2)).toBe("looked at");
  });

  test("a batch that claims another origin is not logged", async () => {
    const w = world();
    w.leads(w.self);
    const bytes = encodeBatch({
      origin: nodeId(3),
      serial: 5,
      floor: 5,
      commands: [[6, "", "c", "node", { node: 3 }]],
    });
    expect(() => w.proposer.onForwarded(nodeId(2), bytes)).toThrow("forwarded a batch of node 3");
    await w.turn();
    expect(w.entries).toEqual([]);
  });

  test("what is no batch is not logged: its names would stay in the state for all time", async () => {
    const w = world();
    w.leads(w.self);
    const command = [6, "", "b", "node", { node: 2 }];
    for (const value of [
      null,
      [2, 5, 5, []],
      [2, 5, 6, [command]],
      [2, 5.5, 5, [command]],
      [2, "5", 5, [command]],
      [2, 5, -1, [command]],
      [2, 5, 5, [[...command, 0]]],
      [2, 5, 5, [[6, null, "b", "node", {}]]],
      [2, 5, 5, [[6, "", "b".repeat(1000), "node", {}]]],
      [2, 5, 5, [[6, "", "b", "root", {}]]],
      [2, 5, 5, Array.from({ length: 1000 }, () => command)],
    ])
      expect(() => w.proposer.onForwarded(nodeId(2), encode(value))).toThrow(/batch/);
    expect(() => w.proposer.onForwarded(nodeId(2), new Uint8Array([0xc1]))).toThrow("cannot be read");
    await w.turn();
    expect(w.entries).toEqual([]);
  });

  test("a batch is not logged that speaks for a person who is not behind it: a token's row counts, and without one a node asks what is a node's", async () => {
    const w = world();
    w.leads(w.self);
    const row = { hash: "h", expiresAt: null, uses: null, revoked: false, node: null } as const;
    w.tokens.set("anna", { id: "anna", kind: "api", name: "anna", role: "admin", ...row });
    w.tokens.set("otto", { id: "otto", kind: "api", name: "otto", role: "operator", ...row });
    w.tokens.set("joins", { id: "joins", kind: "join", name: "anna", role: "admin", ...row });
    const made = { id: "new", hash: "h", name: "x", kind: "api", role: "admin", expiresAt: null, uses: null };
    const create = commandByName("token.create").tag;
    const drain = commandByName("node.drain").tag;
    const begin = commandByName("cluster.raise").tag;
    let serial = 0;
    const forward = (...command: CommandRecord): Promise<ForwardReply> => {
      serial += 1;
      return w.proposer.onForwarded(
        nodeId(2),
        encodeBatch({ origin: nodeId(2), serial, floor: 1, commands: [command] }),
      );
    };
    for (const [command, words] of [
      [[create, "", "n2", "node", made], "without a person's token"],
      [[create, "", "anna", "admin", made], "without a person's token"],
      [[drain, "", "n2", "node", { node: 1 }], "without a person's token"],
      [[create, "otto", "otto", "admin", made], "not that of otto (admin)"],
      [[create, "otto", "n2", "node", made], "not that of n2 (node)"],
      [[drain, "otto", "anna", "operator", { node: 1 }], "not that of anna"],
      [[create, "joins", "anna", "admin", made], "not that of anna"],
    ] as const)
      expect(() => forward(...(command as CommandRecord))).toThrow(words);
    await w.turn();
    expect(w.entries).toEqual([]);
    const taken = [
      forward(create, "anna", "anna", "admin", made),
      forward(drain, "otto", "otto", "operator", { node: 1 }),
      forward(begin, "", "n2", "node", { level: 2 }),
      // Made a moment ago, perhaps: judged where it is applied.
      forward(drain, "unheard", "eve", "operator", { node: 1 }),
    ];
    await w.turn();
    for (const reply of taken) expect(await reply).toMatchObject({ ok: true });
    // A change of the row is seen once the log has told of it.
    w.tokens.set("anna", { id: "anna", kind: "api", name: "anna", role: "viewer", ...row });
    w.principals.forget();
    expect(() => forward(create, "anna", "anna", "admin", made)).toThrow("not that of anna");
  });

  test("a peer's request in a person's name is that of the token's owner, or nobody's", () => {
    const w = world();
    const row = { kind: "api", hash: "h", expiresAt: 10, uses: null, revoked: false, node: null } as const;
    w.tokens.set("anna", { id: "anna", name: "anna", role: "admin", ...row });
    w.tokens.set("otto", { id: "otto", name: "otto", role: "operator", ...row });
    w.tokens.set("gone", { id: "gone", name: "gone", role: "admin", ...row, revoked: true });
    const asked = (by: unknown, now = 9) => w.principals.personOf({ reason: "asked for", by }, "cluster:write", now);
    expect(asked({ token: "anna", name: "eve", role: "node" })).toEqual(
      accept({ token: "anna", name: "anna", role: "admin" }),
    );
    const codeOf = (outcome: ReturnType<typeof asked>): string => (outcome.ok ? "ok" : outcome.why.code);
    expect(codeOf(asked({ token: "otto", name: "anna", role: "admin" }))).toBe("forbidden");
    expect(codeOf(asked({ token: "anna" }, 10))).toBe("unauthorized");
    for (const by of [undefined, null, 7, {}, { token: "" }, { token: 5 }, { token: "gone" }, { token: "unheard" }])
      expect(codeOf(asked(by))).toBe("unauthorized");
    expect(codeOf(w.principals.personOf(undefined, "cluster:write", 9))).toBe("unauthorized");
  });

  test("a batch with a command that no person and no node may send is not logged (S3)", async () => {
    const w = world();
    w.leads(w.self);
    const bytes = encodeBatch({
      origin: nodeId(2),
      serial: 5,
      floor: 5,
      commands: [[commandByName("node.lost").tag, "", "b", "node", { node: -4, incarnation: "i" }]],
    });
    expect(() => w.proposer.onForwarded(nodeId(2), bytes)).toThrow();
    await w.turn();
    expect(w.entries).toEqual([]);
  });

  test("the leader dies after taking a batch: the same bytes go to the next one, and the caller is answered once", async () => {
    const w = world();
    w.leads(nodeId(2));
    const seen = w.submit();
    await w.turn();
    w.forwarded[0]!.settle.resolve({ ok: true });
    await w.turn();
    w.leads(nodeId(3));
    await w.turn();
    expect(w.forwarded.map((one) => one.to)).toEqual([nodeId(2), nodeId(3)]);
    expect(w.forwarded[1]!.bytes).toBe(w.forwarded[0]!.bytes);
    w.applied(decodeBatch(w.forwarded[0]!.bytes).serial, 1);
    await w.turn();
    expect(seen.answer).toEqual(accept({ value: 0, index: 7 }));
  });

  test("a leader that could not be reached is asked again, and nothing is logged twice by this node", async () => {
    const w = world();
    w.leads(nodeId(2));
    w.submit();
    await w.turn();
    w.forwarded[0]!.settle.reject(new Fault("peer-unreachable", "no socket", "safe"));
    while (w.forwarded.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(w.forwarded[1]!.bytes).toBe(w.forwarded[0]!.bytes);
  });

  test("without a leader a write is refused as not done", async () => {
    const w = world();
    const seen = w.submit();
    while (seen.answer === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen.answer.ok ? "" : seen.answer.why).toMatchObject({ code: "unavailable", retryAfterMs: 1000 });
    expect(seen.answer.ok ? "" : seen.answer.why.message).toContain("nothing was done");
  });

  test("a duty's command is void in the next term: it is neither handed over nor logged late (J3)", async () => {
    const w = world();
    w.leads(w.self);
    let answer: Answer | undefined;
    void w.proposer.submitAsLeader([4, "", "n", "node", {}]).then((one) => {
      answer = one;
    });
    w.leads(nodeId(2)); // before the drain that would have logged it
    await w.turn();
    expect(w.entries).toEqual([]);
    expect(w.forwarded).toEqual([]);
    expect(answer?.ok).toBe(false);
  });

  test("a full log answers busy, and the write was not done", async () => {
    const w = world();
    w.leads(w.self);
    w.proposed = { ok: false, why: "busy" };
    const seen = w.submit();
    await w.turn();
    expect(seen.answer?.ok === false && seen.answer.why.code).toBe("busy");
    expect(w.entries).toEqual([]);
  });

  test("a busy leader's refusal is no proof while the one before it owes an answer", async () => {
    const w = world();
    w.leads(nodeId(2));
    const seen = w.submit();
    await w.turn();
    w.leads(nodeId(3)); // node 2 is frozen: it may have logged the batch, and node 3 may have got it from there
    await w.turn();
    w.forwarded[1]!.settle.resolve({ ok: false, why: "busy" });
    await w.turn();
    expect(seen.answer).toBeUndefined();
    w.applied(decodeBatch(w.forwarded[0]!.bytes).serial, 1);
    await w.turn();
    expect(seen.answer).toEqual(accept({ value: 0, index: 7 }));
  });

  test("what the leader will never take is answered at once, with its reason", async () => {
    const w = world();
    w.leads(nodeId(2));
    const seen = w.submit();
    await w.turn();
    w.forwarded[0]!.settle.reject(new Fault("peer-refused", "task.finish was forwarded in a wrong shape", "never"));
    await w.turn();
    expect(seen.answer).toEqual(refuse("invalid", "task.finish was forwarded in a wrong shape"));
    expect(w.proposer.pending()).toBe(0);
  });

  test("one command that the leader will never take is refused alone: its neighbours are handed over again", async () => {
    const w = world();
    w.leads(nodeId(2));
    const [good, bad, other] = [w.submit("good"), w.submit("bad"), w.submit("other")];
    await w.turn();
    const refusal = new Fault("protocol", "bad is not a payload", "never");
    w.forwarded[0]!.settle.reject(refusal);
    await w.turn();
    const alone = w.forwarded.slice(1).map(({ bytes }) => decodeBatch(bytes));
    expect(alone.map((batch) => batch.commands.map((record) => record[4]))).toEqual([["good"], ["bad"], ["other"]]);
    w.forwarded[2]!.settle.reject(refusal);
    w.applied(alone[0]!.serial, 1);
    w.applied(alone[2]!.serial, 1);
    await w.turn();
    expect([good, bad, other].map((one) => one.answer?.ok)).toEqual([true, false, true]);
    expect(w.proposer.pending()).toBe(0);
  });

  test("too many writes under way are refused as busy, and there is room again when some have ended (L1)", async () => {
    const w = world();
    w.leads(w.self);
    const all = Array.from({ length: limits.pendingWrites + 1 }, () => w.submit(0));
    await w.turn();
    expect(all.filter((one) => one.answer !== undefined)).toEqual([all.at(-1)!]);
    expect(all.at(-1)!.answer?.ok === false && all.at(-1)!.answer).toMatchObject({ why: { code: "busy" } });
    expect(w.proposer.pending()).toBe(limits.pendingWrites);
    const [first] = w.batches();
    w.applied(first!.serial, first!.commands.length);
    const next = w.submit(0);
    await w.turn();
    expect(next.answer).toBeUndefined();
    expect(w.proposer.pending()).toBe(limits.pendingWrites - first!.commands.length + 1);
  });

  test("when the node stops every caller is answered: what was handed over as unknown, the rest as not done", async () => {
    const w = world();
    w.leads(nodeId(2));
    const handed = w.submit();
    await w.turn();
    w.forwarded[0]!.settle.resolve({ ok: true });
    await w.turn();
    const queued = w.submit();
    w.proposer.close();
    const late = w.submit();
    await w.turn();
    const retries = [handed, queued, late].map((one) => (one.answer?.ok === false ? one.answer.why : undefined));
    expect(retries.map((why) => [why?.code, why?.retry])).toEqual([
      ["unavailable", undefined],
      ["unavailable", "safe"],
      ["unavailable", "safe"],
    ]);
  });

  test("while the state stands still everybody is answered at once, the same way; afterwards writes go on", async () => {
    const w = world();
    w.leads(nodeId(2));
    const handed = w.submit();
    await w.turn();
    w.forwarded[0]!.settle.resolve({ ok: true });
    await w.turn();
    const queued = w.submit();
    w.proposer.standStill({ code: "unavailable", message: "no room", retry: "safe" });
    const late = w.submit();
    await w.turn();
    const retries = [handed, queued, late].map((one) => (one.answer?.ok === false ? one.answer.why : undefined));
    expect(retries.map((why) => [why?.message, why?.retry])).toEqual([
      ["no room", undefined],
      ["no room", "safe"],
      ["no room", "safe"],
    ]);
    expect(w.proposer.pending()).toBe(0);
    w.proposer.resume();
    const next = w.submit();
    await w.turn();
    w.applied(decodeBatch(w.forwarded.at(-1)!.bytes).serial, 1);
    await w.turn();
    expect(next.answer).toMatchObject({ ok: true });
  });

  test("serials of two starts never meet, and the floor never passes what is still open", async () => {
    const first = world(1);
    const second = world(2);
    for (const w of [first, second]) {
      w.leads(w.self);
      w.submit();
      await w.turn();
      w.submit();
      await w.turn();
    }
    const [a, b] = first.batches();
    expect(a!.serial).toBeLessThan(b!.serial);
    expect(b!.floor).toBe(a!.serial);
    expect(second.batches()[0]!.serial).toBeGreaterThan(first.batches()[1]!.serial);
    first.applied(a!.serial, 1);
    first.applied(b!.serial, 1);
    first.submit();
    await first.turn();
    expect(first.batches()[2]!.floor).toBe(first.batches()[2]!.serial);
  });
});
