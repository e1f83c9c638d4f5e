import { expect, test } from "bun:test";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import type { Message, MessageOf } from "../../src/raft/types.ts";
import { Cluster } from "./cluster.ts";

const isAppend = (message: Message): message is MessageOf<"append-request"> => message.kind === "append-request";
const terms = (cluster: Cluster, id: number): number[] =>
  cluster.get(id).store.entriesDurable.map((entry) => entry.term);

test("Figure 7: seven divergent logs converge to the leader's, in few probes", () => {
  const logs = [
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6],
    [1, 1, 1, 4],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
    [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
    [1, 1, 1, 4, 4, 4, 4],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
  ];
  const cluster = new Cluster();
  const nodes = logs.map((_, at) => nodeId(at + 1));
  logs.forEach((log, at) => cluster.addWithLog(nodes[at]!, nodes, log));
  // Term 7 was begun by node 5 alone; node 1 must have heard of it to win in a later one.
  const first = cluster.get(1);
  first.store.hardState = { ...first.store.hardState, term: term(7) };
  cluster.restart(first);
  cluster.elect(1);
  cluster.commit("last");
  cluster.tick(4);
  for (const { id } of cluster.members) expect(terms(cluster, id)).toEqual(terms(cluster, 1));
  const rejections = cluster.sent.filter((message) => message.kind === "append-rejection");
  for (const { id } of cluster.members) {
    expect(rejections.filter((message) => message.from === id).length).toBeLessThanOrEqual(3);
  }
});

test("Figure 8: an entry of an earlier term is not committed by counting", () => {
  const cluster = new Cluster();
  const nodes = [1, 2, 3, 4, 5].map(nodeId);
  cluster.addWithLog(nodes[0]!, nodes, [1, 2]);
  cluster.addWithLog(nodes[1]!, nodes, [1, 2]);
  cluster.addWithLog(nodes[2]!, nodes, [1]);
  cluster.addWithLog(nodes[3]!, nodes, [1]);
  cluster.addWithLog(nodes[4]!, nodes, [1, 3]);
  for (const id of [1, 2, 3, 4]) {
    const { store } = cluster.get(id);
    store.hardState = { ...store.hardState, term: term(3) };
    cluster.restart(cluster.get(id));
  }
  // Node 1 leads in term 4; its old entry reaches a majority, its no-op does not.
  const heal = cluster.drop((message) => isAppend(message) && message.entries.some((entry) => entry.term === 4));
  cluster.elect(1);
  for (const to of [2, 3]) {
    cluster.network.push({
      kind: "append-request",
      from: nodeId(1),
      to: nodeId(to),
      term: term(4),
      previousIndex: index(1),
      previousTerm: term(1),
      entries: [cluster.get(1).store.entriesDurable[1]!],
      commit: index(0),
    });
  }
  cluster.settle();
  for (const id of [1, 2, 3]) expect(cluster.get(id).store.holds(2, 2)).toBe(true);
  for (const id of [2, 3]) expect(cluster.raft(1).progress(nodeId(id))?.match).toBe(index(2));
  expect(cluster.raft(1).commit).toBe(index(0));
  // So node 5 may still overwrite it.
  cluster.crash(1);
  heal();
  cluster.noticeClosed(1);
  cluster.elect(5);
  cluster.restart(cluster.get(1));
  cluster.tick(6);
  for (const id of [1, 2, 3, 4, 5]) expect(cluster.get(id).store.holds(2, 3)).toBe(true);
});

test("appends are pipelined: no waiting for an answer while the window has room", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.sent = [];
  for (const text of ["a", "b", "c"]) {
    cluster.propose(1, text);
    cluster.drain(cluster.get(1));
  }
  const appends = cluster.sent.filter(isAppend).filter((message) => message.to === 2);
  expect(appends.map((message) => message.entries.length)).toEqual([1, 1, 1]);
  // Window of four: the no-op was acknowledged, so one more goes, the next waits.
  for (const text of ["d", "e"]) {
    cluster.propose(1, text);
    cluster.drain(cluster.get(1));
  }
  expect(cluster.sent.filter(isAppend).filter((message) => message.to === 2).length).toBe(4);
  cluster.settle();
  expect(cluster.get(3).commands()).toEqual(["a", "b", "c", "d", "e"]);
});

test("followers that get the same entries get the same array", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.sent = [];
  cluster.propose(1, "a");
  cluster.propose(1, "b");
  cluster.drain(cluster.get(1));
  const [first, second] = cluster.sent.filter(isAppend);
  expect(first!.entries.length).toBe(2);
  expect(second!.entries).toBe(first!.entries);
});

test("a window full of lost appends: a heartbeat's answer finds out and the follower recovers (etcd#10308)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => isAppend(message) && message.to === 3);
  for (let at = 0; at < 10; at++) cluster.commit(`c${at}`);
  heal();
  cluster.tick(8);
  expect(cluster.get(3).commands().length).toBe(10);
});

test("a single lost append without further traffic is sent again after a heartbeat", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => isAppend(message) && message.to === 3 && message.entries.length > 0);
  cluster.commit("a");
  heal();
  cluster.tick(6);
  expect(cluster.get(3).commands()).toEqual(["a"]);
});

test("a follower whose socket came back is probed and replicates again", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.raft(1).disconnected(nodeId(3));
  cluster.isolate(3);
  cluster.commit("a");
  expect(cluster.raft(1).progress(nodeId(3))?.mode).toBe("probe");
  cluster.heal();
  cluster.raft(1).connected(nodeId(3));
  cluster.settle();
  expect(cluster.raft(1).progress(nodeId(3))).toMatchObject({ mode: "replicate", match: cluster.raft(1).lastIndex });
  expect(cluster.get(3).commands()).toEqual(["a"]);
});

test("a delayed old append does not cut off what came after it (openraft 9540c904)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.sent = [];
  cluster.commit("a");
  cluster.commit("b");
  const delayed = cluster.sent.filter(isAppend).find((message) => message.to === 2 && message.entries.length === 1)!;
  const before = cluster.raft(2).lastIndex;
  cluster.deliver(delayed);
  cluster.settle();
  expect(cluster.raft(2).lastIndex).toBe(before);

  // Also where it is not committed yet.
  const follower = cluster.get(3);
  const heal = cluster.drop((message) => message.from === 3 || message.to === 2);
  cluster.propose(1, "c");
  cluster.drain(cluster.get(1));
  cluster.propose(1, "d");
  cluster.sent = [];
  cluster.settle();
  const last = follower.raft.lastIndex;
  const entry = follower.entryAt(last - 1);
  cluster.deliver({
    kind: "append-request",
    from: nodeId(1),
    to: nodeId(3),
    term: cluster.raft(1).term,
    previousIndex: index(last - 2),
    previousTerm: term(follower.termAt(last - 2)!),
    entries: [entry],
    commit: index(0),
  });
  expect(follower.raft.lastIndex).toBe(last);
  heal();
  cluster.settle();
  expect(follower.raft.lastIndex).toBe(last);
});

test("a follower acknowledges only what is synced, and the leader counts itself only then", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const before = cluster.raft(1).commit;
  for (const id of [2, 3]) cluster.get(id).diskStalled = true;
  cluster.propose(1, "a");
  cluster.settle();
  expect(cluster.raft(1).commit).toBe(before);
  for (const id of [2, 3]) cluster.get(id).diskStalled = false;
  cluster.settle();
  expect(cluster.raft(1).commit).toBe(index(before + 1));
  cluster.get(1).diskStalled = true;
  cluster.propose(1, "b");
  cluster.settle();
  // Committed by the others; applied here only once it is durable here (D2).
  expect(cluster.raft(1).commit).toBe(index(before + 2));
  expect(cluster.get(1).commands()).toEqual(["a"]);
  cluster.propose(1, "c");
  cluster.crash(3);
  cluster.settle();
  expect(cluster.raft(1).commit).toBe(index(before + 2));
  cluster.get(1).diskStalled = false;
  cluster.settle();
  expect(cluster.get(1).commands()).toEqual(["a", "b", "c"]);
});

test("one write and then silence: everybody has applied it without a tick (camunda PR#8357)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("a");
  expect(cluster.members.map((member) => member.commands())).toEqual([["a"], ["a"], ["a"]]);
});

test("a heartbeat tells no commit index beyond what the follower is known to have", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => isAppend(message) && message.to === 3);
  cluster.commit("a");
  const match = cluster.raft(1).progress(nodeId(3))!.match;
  cluster.sent = [];
  cluster.tick(2);
  for (const message of cluster.sent) {
    if (message.kind === "heartbeat-request" && message.to === 3) expect(message.commit).toBeLessThanOrEqual(match);
  }
  heal();
});

test("an append commits no further than it reaches: what follows may be of another log", () => {
  const cluster = new Cluster();
  const nodes = [1, 2, 3].map(nodeId);
  cluster.addWithLog(nodes[0]!, nodes, [1, 3, 3]);
  cluster.addWithLog(nodes[1]!, nodes, [1, 2, 2]);
  cluster.settle();
  const envelope = { from: nodeId(1), to: nodeId(2), term: term(3) };
  cluster.raft(2).step({
    ...envelope,
    kind: "append-request",
    previousIndex: index(1),
    previousTerm: term(1),
    entries: [],
    commit: index(3),
  });
  expect(cluster.raft(2).commit).toBe(index(1));
});

test("ABA: an append that finishes late does not make newer entries of the same index count as synced", () => {
  const cluster = new Cluster();
  const nodes = [1, 2, 3].map(nodeId);
  for (const node of nodes) cluster.addWithLog(node, nodes, [1]);
  cluster.settle();
  const member = cluster.get(3);
  member.diskStalled = true;
  const command = (at: number, entryTerm: number) =>
    ({ index: index(at), term: term(entryTerm), kind: "command", data: Buffer.from(`${at}/${entryTerm}`) }) as const;
  const append = (from: number, leaderTerm: number, entries: readonly ReturnType<typeof command>[]): void => {
    member.raft.step({
      kind: "append-request",
      from: nodeId(from),
      to: nodeId(3),
      term: term(leaderTerm),
      previousIndex: index(1),
      previousTerm: term(1),
      entries,
      commit: index(0),
    });
    cluster.drain(member);
  };
  append(1, 2, [command(2, 2), command(3, 2)]);
  append(2, 3, [command(2, 3)]);
  append(1, 4, [command(2, 2), command(3, 2)]);
  // The first write is done. Entries 2 and 3 of term 2 are in the log again, but the second write is about to replace them.
  cluster.sync(member, 1);
  expect(member.raft.durableIndex).toBe(index(1));
  cluster.sync(member, 1);
  expect(member.raft.durableIndex).toBe(index(1));
  cluster.sync(member, 1);
  expect(member.raft.durableIndex).toBe(index(3));
});

test("a proposal past the limit of uncommitted bytes is refused as busy, and taken again later", () => {
  const cluster = Cluster.of(3, { uncommittedBytes: 1000 });
  cluster.elect(1);
  expect(cluster.raft(1).uncommittedBytes).toBe(0);
  for (const id of [2, 3]) cluster.get(id).diskStalled = true;
  expect(cluster.propose(1, "x".repeat(900)).ok).toBe(true);
  cluster.settle();
  expect(cluster.propose(1, "x".repeat(900))).toEqual({ ok: false, why: "busy" });
  for (const id of [2, 3]) cluster.get(id).diskStalled = false;
  cluster.settle();
  expect(cluster.raft(1).uncommittedBytes).toBe(0);
  expect(cluster.propose(1, "x".repeat(5000)).ok).toBe(true);
});

test("a follower far behind is served from the reader, in messages of bounded size", () => {
  const cluster = Cluster.of(3, { logWindowBytes: 500, appendMessageBytes: 300 });
  cluster.elect(1);
  cluster.isolate(3);
  for (let at = 0; at < 60; at++) cluster.commit(`command ${at}`);
  cluster.heal();
  cluster.sent = [];
  cluster.tick(10);
  expect(cluster.get(3).commands().length).toBe(60);
  expect(Math.max(...cluster.sent.filter(isAppend).map((message) => message.entries.length))).toBeLessThanOrEqual(10);
});

test("nonsense from a peer is dropped and counted, and changes nothing", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const { raft } = cluster.get(2);
  const good: MessageOf<"append-request"> = {
    kind: "append-request",
    from: nodeId(1),
    to: nodeId(2),
    term: raft.term,
    previousIndex: raft.lastIndex,
    previousTerm: raft.term,
    entries: [],
    commit: raft.commit,
  };
  const entry = { index: index(raft.lastIndex + 1), term: raft.term, kind: "command", data: new Uint8Array(0) };
  const bad: unknown[] = [
    null,
    7,
    {},
    { kind: "x" },
    { ...good, kind: "later" },
    { ...good, to: 3 },
    { ...good, from: 2 },
    { ...good, from: 0 },
    { ...good, term: Number.NaN },
    { ...good, term: 2 ** 60 },
    { ...good, term: 1.5 },
    { ...good, previousIndex: -1 },
    { ...good, entries: {} },
    { ...good, entries: [null] },
    { ...good, entries: [{ ...entry, index: raft.lastIndex + 2 }] },
    { ...good, entries: [{ ...entry, term: raft.term + 1 }] },
    { ...good, entries: [{ ...entry, data: "text" }] },
    { ...good, entries: [{ ...entry, kind: "other" }] },
    { ...good, entries: [{ ...entry, kind: "configuration", data: Buffer.from("junk") }] },
    { ...good, commit: "1" },
    { kind: "append-response", from: 1, to: 2, term: raft.term },
    { kind: "vote-request", from: 1, to: 2, term: raft.term, lastIndex: 1, lastTerm: 1 },
  ];
  const before = { term: raft.term, last: raft.lastIndex, dropped: raft.dropped };
  for (const message of bad) raft.step(message as Message);
  expect(raft.dropped - before.dropped).toBe(bad.length);
  expect({ term: raft.term, last: raft.lastIndex }).toEqual({ term: before.term, last: before.last });
  // A leader is not impressed by an acknowledgement of what it never had, nor by a stranger's.
  const { raft: leader } = cluster.get(1);
  const { commit } = leader;
  leader.step({ kind: "append-response", from: nodeId(2), to: nodeId(1), term: leader.term, match: index(1000) });
  leader.step({ kind: "append-response", from: nodeId(9), to: nodeId(1), term: leader.term, match: leader.lastIndex });
  const answer = { kind: "heartbeat-response", from: nodeId(2), to: nodeId(1), term: leader.term } as const;
  leader.step({ ...answer, round: 1000, slowDisk: false });
  expect(leader.dropped).toBe(3);
  expect(leader.commit).toBe(commit);
});

test("what is written right after an election does not wait for the first answer of those who voted", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("before");
  cluster.crash(1);
  cluster.noticeClosed(1);
  const muffle = cluster.drop(({ kind }) => kind === "append-response");
  cluster.tickUntil("another one leads", () => cluster.leader() !== undefined);
  const { id, raft: leader } = cluster.leader()!;
  const voter = id === 2 ? 3 : 2;
  cluster.propose(id, "after");
  cluster.settle();
  expect([leader.progress(nodeId(voter))?.match, leader.commit]).toEqual([index(0), index(leader.lastIndex - 2)]);
  expect(cluster.get(voter).store.entriesDurable.at(-1)).toMatchObject({ index: leader.lastIndex, kind: "command" });
  // What was hoped is no acknowledgement; it comes when something is heard.
  muffle();
  cluster.tickUntil("it is committed", () => leader.commit === leader.lastIndex);
});

test("of a voter whose log is shorter the leader hopes in vain, and finds its end by the first refusal", () => {
  const cluster = new Cluster();
  const nodes = [1, 2, 3].map(nodeId);
  cluster.addWithLog(nodes[0]!, nodes, [1, 1, 2, 2, 2, 2, 2, 2]);
  cluster.addWithLog(nodes[1]!, nodes, [1, 1]);
  cluster.addWithLog(nodes[2]!, nodes, [1, 1, 1, 1, 1]);
  cluster.elect(1);
  cluster.commit("last");
  cluster.tick(4);
  for (const id of [2, 3]) expect(terms(cluster, id)).toEqual(terms(cluster, 1));
  const rejections = cluster.sent.filter((message) => message.kind === "append-rejection");
  for (const id of nodes.slice(1)) expect(rejections.filter(({ from }) => from === id).length).toBeLessThanOrEqual(2);
  expect(cluster.snapshotsWanted).toBe(0);
});
