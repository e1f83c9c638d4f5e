import { expect, test } from "bun:test";
import type { Configuration } from "../../src/lib/configuration.ts";
import { index, nodeId, term, type NodeId } from "../../src/lib/ids.ts";
import { EntryChain } from "../../src/node/relay-chain.ts";
import { RelayFeeder } from "../../src/node/relay-feed.ts";
import type { PullAnswer } from "../../src/node/relay-frames.ts";
import { relayLimits } from "../../src/node/relay-tree.ts";
import type { Entry } from "../../src/raft/types.ts";

const learners = Array.from({ length: 20 }, (_, at) => nodeId(at + 6));
const configuration: Configuration = {
  voters: [1, 2, 3, 4, 5].map(nodeId),
  outgoing: [],
  learners,
  learnersNext: [],
};

function entryOf(at: number): Entry {
  return { index: index(at), term: term(1), kind: "command", data: new TextEncoder().encode(`entry ${at}`) };
}

/** A feeder with a log of its own, as node 2 (a voter) or as a learner. */
function feeder(self: number, path: readonly NodeId[] = []) {
  const chain = new EntryChain(0, 0, { entries: () => [] });
  const log: Entry[] = [];
  const wanted: NodeId[] = [];
  const base = { index: 0 };
  const one = new RelayFeeder({
    self: nodeId(self),
    limits: relayLimits,
    chain,
    configuration: () => configuration,
    end: () => chain.head,
    committedFrom: (from, to) =>
      from <= base.index ? undefined : { previousTerm: term(1), entries: log.slice(from - 1, to - 1) },
    isEvicted: () => false,
    leadership: () => ({ term: term(1), leader: nodeId(1) }),
    ageMs: () => 0,
    path: () => path,
    wantSnapshot: (child) => wanted.push(child),
  });
  const commit = (count: number): void => {
    const entries = Array.from({ length: count }, (_, at) => entryOf(log.length + 1 + at));
    log.push(...entries);
    chain.advance(entries);
    one.onCommitted();
  };
  const pull = (child: number, after = 0, insists = false): Promise<PullAnswer> =>
    one.pull(nodeId(child), { after, chain: chain.at(after), insists });
  return { one, chain, commit, pull, wanted, base };
}

const whyOf = (answer: PullAnswer): string => (answer.kind === "refused" ? answer.why : answer.kind);
const lastOf = (answer: PullAnswer): number => (answer.kind === "entries" ? (answer.entries.at(-1)?.index ?? 0) : -1);

test("a question waits for something to tell, and what gathers meanwhile goes down in one answer with its chain value", async () => {
  const { one, chain, commit, pull } = feeder(2);
  const asked = pull(6);
  commit(1);
  commit(2);
  const answer = await asked;
  expect(lastOf(answer)).toBe(3);
  expect(answer).toMatchObject({ kind: "entries", leader: 1, path: [2], after: chain.value });
  // Nothing new: answered all the same, so that silence means something.
  const idle = await pull(6, 3);
  expect(idle).toMatchObject({ kind: "entries", entries: [] });
  one.stop();
});

test("eight are fed, the ninth is not, unless it insists and has the smaller id", async () => {
  const { one, pull } = feeder(2);
  const waiting = [7, 8, 9, 10, 11, 12, 13, 14].map((child) => pull(child));
  expect(whyOf(await pull(15))).toBe("full");
  expect(whyOf(await pull(15, 0, true))).toBe("full");
  expect(whyOf(await pull(6))).toBe("full");
  const sixth = pull(6, 0, true);
  expect(whyOf(await waiting.at(-1)!)).toBe("full");
  expect(one.children.map(Number).toSorted((a, b) => a - b)).toEqual([6, 7, 8, 9, 10, 11, 12, 13]);
  one.stop();
  expect(whyOf(await sixth)).toBe("stopping");
});

test("no loops: not one's own root, nor a smaller id below a learner; and voters feed nobody who votes", async () => {
  const relay = feeder(9, [nodeId(12), nodeId(2)]);
  expect(whyOf(await relay.pull(12))).toBe("loop");
  expect(whyOf(await relay.pull(8))).toBe("order");
  expect(whyOf(await relay.pull(3))).toBe("direct");
  relay.one.stop();
});

test("a learner whose history differs is refused, and one that lacks what is compacted gets the state", async () => {
  const { one, commit, pull, wanted, base } = feeder(2);
  commit(10);
  expect(whyOf(await one.pull(nodeId(6), { after: 4, chain: "abc", insists: false }))).toBe("chain");
  base.index = 5;
  expect(whyOf(await pull(6, 3))).toBe("snapshot");
  expect(wanted).toEqual([nodeId(6)]);
  expect(lastOf(await pull(6, 5))).toBe(10);
  one.stop();
});

test("who leads is told at once, and a child ahead of its feeder is told nothing else", async () => {
  const { one, commit, pull } = feeder(2);
  commit(3);
  const asked = one.pull(nodeId(6), { after: 7, chain: "", insists: false });
  one.onNews();
  expect(await asked).toMatchObject({ kind: "entries", entries: [], leader: 1 });
  expect(one.needed).toBe(7);
  const other = pull(7, 1);
  expect(one.needed).toBe(1);
  await other;
  one.stop();
});
