import { expect, test } from "bun:test";
import { index, nodeId, nobody, term, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { EntryChain } from "../../src/node/relay-chain.ts";
import { RelayFollower } from "../../src/node/relay-follow.ts";
import { encodePullAnswer, parsePull, type PullAnswer } from "../../src/node/relay-frames.ts";
import type { Entry, Fed, LogReader } from "../../src/raft/types.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function entriesOf(first: number, last: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    index: index(first + at),
    term: term(1 + Math.floor((first + at) / 300)),
    kind: "command" as const,
    data: bytes(`entry ${first + at}`),
  }));
}

const readerOf = (entries: readonly Entry[]): LogReader => ({
  // A few at a time, as a reader may.
  entries: (from, to) => entries.slice(from - 1, Math.min(to - 1, from + 99)),
});

const none: LogReader = { entries: () => [] };

test("a node that restarts anywhere has the value that the others have, as long as its log holds the stretch", () => {
  const all = entriesOf(1, 1000);
  const whole = new EntryChain(0, 0, none);
  whole.advance(all);
  for (const applied of [1, 255, 256, 257, 511, 512, 700, 1000]) {
    const restarted = new EntryChain(applied, 0, readerOf(all));
    expect(restarted.value).toBe(whole.at(applied));
    restarted.advance(all.slice(applied));
    expect(restarted.value).toBe(whole.value);
  }
  // Compacted within the stretch: not known before the next one.
  const compacted = new EntryChain(700, 650, readerOf(all));
  expect(compacted.value).toBe("");
  compacted.advance(all.slice(700));
  expect(compacted.at(767)).toBe("");
  expect(compacted.at(769)).toBe(whole.at(769));
  expect(compacted.value).toBe(whole.value);
});

test("after a snapshot the value is taken over once, and never instead of a known one", () => {
  const all = entriesOf(1, 400);
  const whole = new EntryChain(0, 0, none);
  whole.advance(all);
  const chain = new EntryChain(0, 0, none);
  chain.reset(300);
  expect(chain.value).toBe("");
  chain.adopt(whole.at(300));
  chain.adopt("123");
  chain.adopt("not a value");
  expect(chain.value).toBe(whole.at(300));
  expect(chain.leadsTo(all.slice(300), whole.value)).toBe(true);
});

test("a state that jumps past what was handed out leaves no gap behind which the chain would stand still, and one that goes back changes nothing", () => {
  const all = entriesOf(1, 400);
  const whole = new EntryChain(0, 0, none);
  whole.advance(all);
  const chain = new EntryChain(0, 0, none);
  chain.advance(all.slice(0, 290));
  chain.skipTo(280);
  expect([chain.head, chain.value]).toEqual([290, whole.at(290)]);
  chain.skipTo(300);
  expect([chain.head, chain.value, chain.at(290)]).toEqual([300, "", ""]);
  chain.advance(all.slice(300, 320));
  expect([chain.head, chain.value]).toEqual([320, ""]);
  chain.adopt(whole.at(320));
  chain.advance(all.slice(320));
  expect([chain.head, chain.value]).toEqual([400, whole.value]);
});

test("one flipped bit, another term, a place that was swapped: each leads to another value", () => {
  const all = entriesOf(1, 40);
  const whole = new EntryChain(0, 0, none);
  whole.advance(all);
  const fresh = new EntryChain(0, 0, none);
  expect(fresh.leadsTo(all, whole.value)).toBe(true);
  for (let at = 0; at < all.length; at++) {
    const data = Uint8Array.from(all[at]!.data);
    data[at % data.length]! ^= 1 << (at % 8);
    expect(fresh.leadsTo(all.with(at, { ...all[at]!, data }), whole.value)).toBe(false);
    expect(fresh.leadsTo(all.with(at, { ...all[at]!, term: term(9) }), whole.value)).toBe(false);
    expect(fresh.leadsTo(all.with(at, { ...all[at]!, kind: "noop" }), whole.value)).toBe(false);
  }
  const swapped = all.with(3, { ...all[3]!, data: all[4]!.data }).with(4, { ...all[4]!, data: all[3]!.data });
  expect(fresh.leadsTo(swapped, whole.value)).toBe(false);
});

test("what is older than what is remembered is not known, rather than wrong", () => {
  const chain = new EntryChain(0, 0, none);
  chain.advance(entriesOf(1, limits.relayChainKept + 100));
  expect(chain.at(100)).toBe("");
  expect(chain.at(101)).not.toBe("");
  expect(chain.at(limits.relayChainKept + 101)).toBe("");
});

/** A learner among feeders that this test plays. */
function learner(answer: (feeder: NodeId, after: number) => PullAnswer | undefined): {
  readonly follower: RelayFollower;
  readonly chain: EntryChain;
  readonly fed: Fed[];
  readonly asked: NodeId[];
  readonly warnings: string[];
} {
  const chain = new EntryChain(0, 0, none);
  const fed: Fed[] = [];
  const asked: NodeId[] = [];
  const warnings: string[] = [];
  const follower = new RelayFollower({
    self: nodeId(9),
    improveMs: limits.relayImproveMs,
    chain,
    isRelayed: () => true,
    feeders: () => [nodeId(1), nodeId(2)],
    request: async (feeder, body) => {
      const { after } = parsePull(body);
      asked.push(feeder);
      const said = answer(feeder, after);
      if (said === undefined) return await new Promise(() => {});
      // Through bytes, as on a socket.
      return encodePullAnswer(said);
    },
    feed: (one) => {
      fed.push(one);
      return "taken";
    },
    lost: () => {},
    room: () => Promise.resolve(),
    changed: () => {},
    log: (_, message) => warnings.push(message),
  });
  return { follower, chain, fed, asked, warnings };
}

const news = { term: term(9), leader: nodeId(3), ageMs: 0 };

/** What a right feeder answers, of these entries. */
function rightAnswer(feeder: NodeId, after: number, all: readonly Entry[]): PullAnswer | undefined {
  const whole = new EntryChain(0, 0, none);
  whole.advance(all);
  const entries = all.slice(after, after + 10);
  if (entries.length === 0) return undefined;
  const [before, last] = [after === 0 ? "" : whole.at(after), whole.at(after + entries.length)];
  const previousTerm = term(after === 0 ? 0 : all[after - 1]!.term);
  return { kind: "entries", ...news, path: [feeder], previousTerm, before, after: last, entries };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("a wrong entry is refused before consensus sees it, and another feeder is asked from the same place on", async () => {
  const all = entriesOf(1, 30);
  const node = learner((feeder, after) => {
    const right = rightAnswer(feeder, after, all);
    if (feeder !== 1 || right?.kind !== "entries" || after !== 10) return right;
    const [first, ...rest] = right.entries;
    return { ...right, entries: [{ ...first!, data: bytes("wrong") }, ...rest] };
  });
  node.follower.start();
  await until(() => node.chain.head === 30);
  node.follower.stop();
  expect(node.fed.flatMap((one) => one.entries.map((entry) => Buffer.from(entry.data).toString()))).toEqual(
    all.map((entry) => Buffer.from(entry.data).toString()),
  );
  expect(node.asked.slice(0, 3).map(Number)).toEqual([1, 1, 2]);
  expect(node.asked.slice(2)).not.toContain(nodeId(1));
  expect(node.warnings.join()).toContain("does not fit the hash chain");
});

test("a feeder whose history is another one from the start is refused", async () => {
  const [all, other] = [entriesOf(1, 30), entriesOf(1, 30).with(4, { ...entriesOf(5, 5)[0]!, data: bytes("other") })];
  const node = learner((feeder, after) => rightAnswer(feeder, after, feeder === 1 && after > 0 ? other : all));
  node.follower.start();
  await until(() => node.chain.head === 30);
  node.follower.stop();
  expect(node.asked.filter((feeder) => feeder === 1).length).toBe(2);
  expect(node.follower.feeder === nodeId(2) || node.follower.feeder === nobody).toBe(true);
});

test("a feeder whose word of the leader is old, or whose path leads back, is left", async () => {
  const all = entriesOf(1, 20);
  for (const wrong of [{ ageMs: 60_000 }, { path: [nodeId(1), nodeId(9), nodeId(4)] }]) {
    const node = learner((feeder, after) => {
      const right = rightAnswer(feeder, after, all);
      return feeder === 1 && right !== undefined ? { ...right, ...wrong } : right;
    });
    node.follower.start();
    await until(() => node.chain.head === 20);
    node.follower.stop();
    expect(node.asked.filter((feeder) => feeder === 1).length).toBe(1);
  }
});
