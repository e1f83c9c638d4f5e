import { expect, test } from "bun:test";
import { index, nobody, nodeId, term } from "../../src/lib/ids.ts";
import type { Entry, Fed } from "../../src/raft/types.ts";
import { Cluster } from "./cluster.ts";

/** Node 1 leads three voters; node 4 is a learner that others feed. */
function withRelayedLearner(): Cluster {
  const cluster = Cluster.bootstrapped({ directLearners: 0 });
  cluster.raft(1).campaign();
  cluster.settle();
  for (const id of [2, 3]) {
    cluster.addBlank(id);
    cluster.change("add-learner", id);
    cluster.raft(1).feedDirectly(nodeId(id));
    cluster.tick(3);
    expect(cluster.change("promote", id).ok).toBe(true);
  }
  cluster.addBlank(4);
  cluster.change("add-learner", 4);
  cluster.tick(3);
  return cluster;
}

/** What node `from` would feed after the entry `after`. */
function fedBy(cluster: Cluster, from: number, after: number, leader = 1): Fed {
  const raft = cluster.raft(from);
  const { previousTerm, entries } = raft.committedFrom(index(after + 1), index(raft.commit + 1), 1 << 20)!;
  return { term: raft.term, leader: nodeId(leader), previousIndex: index(after), previousTerm, entries };
}

function feed(cluster: Cluster, to: number, fed: Fed): string {
  const outcome = cluster.raft(to).feed(fed);
  cluster.settle();
  return outcome;
}

test("a learner in a mesh that relays is sent nothing by the leader, holds up nothing, and applies what others feed it", () => {
  const cluster = withRelayedLearner();
  cluster.sent = [];
  cluster.commit("a");
  cluster.tick(20);
  expect(cluster.sent.filter((message) => message.to === 4 || message.from === 4)).toEqual([]);
  expect(cluster.raft(1).progress(nodeId(4))?.mode).toBe("relay");
  expect(cluster.get(4).commands()).toEqual([]);
  expect(feed(cluster, 4, fedBy(cluster, 2, 0))).toBe("taken");
  expect(cluster.get(4).commands()).toEqual(["a"]);
  expect(cluster.raft(4).leader).toBe(nodeId(1));
  expect(cluster.sent.filter((message) => message.from === 4)).toEqual([]);
  cluster.commit("b");
  expect(feed(cluster, 4, fedBy(cluster, 3, cluster.raft(4).commit))).toBe("taken");
  expect(cluster.get(4).commands()).toEqual(["a", "b"]);
});

test("what is said of a relayed learner moves its lag and never the commit index", () => {
  const cluster = withRelayedLearner();
  cluster.isolate(2);
  cluster.isolate(3);
  const before = cluster.raft(1).commit;
  expect(cluster.propose(1, "a").ok).toBe(true);
  cluster.settle();
  cluster.raft(1).relayed(nodeId(4), cluster.raft(1).lastIndex);
  cluster.settle();
  expect(cluster.raft(1).lag(nodeId(4))).toBe(0);
  expect(cluster.raft(1).commit).toBe(before);
  // A voter is never taken for relayed.
  cluster.raft(1).relayed(nodeId(2), cluster.raft(1).lastIndex);
  expect(cluster.raft(1).progress(nodeId(2))?.mode).not.toBe("relay");
});

test("hearsay promotes nobody: a learner is fed directly first, and counts by its own acknowledgements", () => {
  const cluster = withRelayedLearner();
  cluster.commit("a");
  // A lie, or a report of another time: it has nothing.
  cluster.raft(1).relayed(nodeId(4), cluster.raft(1).lastIndex);
  expect(cluster.change("promote", 4)).toMatchObject({ ok: false, why: "not-caught-up" });
  cluster.raft(1).feedDirectly(nodeId(4));
  expect(cluster.raft(1).progress(nodeId(4))?.match).toBe(index(0));
  cluster.tick(6);
  expect(cluster.get(4).commands()).toEqual(["a"]);
  expect(cluster.change("promote", 4).ok).toBe(true);
  expect(feed(cluster, 4, fedBy(cluster, 2, 0))).toBe("not-learner");
});

test("what a wrong feeder sends is refused, without a trace: other terms, other entries, gaps, nonsense", () => {
  const cluster = withRelayedLearner();
  for (const text of ["a", "b", "c"]) cluster.commit(text);
  const right = fedBy(cluster, 2, 0);
  const half = { ...right, entries: right.entries.slice(0, -2) };
  expect(feed(cluster, 4, half)).toBe("taken");
  const { commit } = cluster.raft(4);
  const rest = fedBy(cluster, 2, commit);
  const other = (entry: Entry): Entry => ({ ...entry, term: term(entry.term + 1) });
  expect(feed(cluster, 4, { ...rest, previousTerm: term(rest.previousTerm + 1) })).toBe("conflict");
  expect(feed(cluster, 4, { ...rest, entries: rest.entries.map(other) })).toBe("conflict");
  expect(feed(cluster, 4, fedBy(cluster, 2, commit + 1))).toBe("gap");
  expect(feed(cluster, 4, { ...rest, leader: nodeId(4) })).toBe("conflict");
  expect(feed(cluster, 4, { ...rest, entries: [{ ...rest.entries[0]!, kind: "configuration" }] })).toBe("conflict");
  expect(cluster.raft(4).commit).toBeLessThanOrEqual(cluster.raft(2).commit);
  expect(feed(cluster, 4, fedBy(cluster, 2, cluster.raft(4).commit))).toBe("taken");
  expect(cluster.get(4).commands()).toEqual(["a", "b", "c"]);
});

test("a feeder that is wrong about who leads does not stop a learner from following the leader itself", () => {
  const cluster = withRelayedLearner();
  cluster.commit("a");
  expect(feed(cluster, 4, fedBy(cluster, 2, 0, 3))).toBe("taken");
  expect(cluster.raft(4).leader).toBe(nodeId(3));
  cluster.raft(1).feedDirectly(nodeId(4));
  cluster.tick(6);
  expect(cluster.raft(4).leader).toBe(nodeId(1));
  expect(feed(cluster, 4, { ...fedBy(cluster, 2, cluster.raft(4).commit), leader: nobody })).toBe("taken");
  cluster.tick(6);
  expect(cluster.raft(4).leader).toBe(nodeId(1));
});

test("what a learner got from a leader that lost it gives way to what was committed instead", () => {
  const cluster = withRelayedLearner();
  cluster.raft(1).feedDirectly(nodeId(4));
  cluster.tick(6);
  // Only the learner gets it.
  cluster.isolate(2);
  cluster.isolate(3);
  expect(cluster.propose(1, "lost").ok).toBe(true);
  cluster.settle();
  cluster.heal();
  cluster.isolate(1);
  cluster.isolate(4);
  cluster.tickUntil("another leader", () => [2, 3].some((id) => cluster.raft(id).role === "leader"));
  const leader = [2, 3].find((id) => cluster.raft(id).role === "leader")!;
  cluster.propose(leader, "kept");
  cluster.settle();
  expect(feed(cluster, 4, fedBy(cluster, leader, cluster.raft(4).commit, leader))).toBe("taken");
  expect(cluster.get(4).commands()).toEqual(["kept"]);
  expect(cluster.raft(4).term).toBe(cluster.raft(leader).term);
});

test("a vote is given as ever by a learner that hears of its leader from others", () => {
  const cluster = withRelayedLearner();
  cluster.commit("a");
  expect(feed(cluster, 4, fedBy(cluster, 2, 0))).toBe("taken");
  const { commit, term: now } = cluster.raft(4);
  const ask = { from: nodeId(2), to: nodeId(4), term: term(now + 1), lastTerm: now, transfer: false } as const;
  // Sticky while what it hears is fresh, and not for longer.
  cluster.raft(4).step({ kind: "vote-request", ...ask, lastIndex: commit });
  cluster.settle();
  expect(cluster.raft(4).term).toBe(now);
  for (let tick = 0; tick < 21; tick++) cluster.raft(4).tick();
  cluster.raft(4).step({ kind: "vote-request", ...ask, lastIndex: commit });
  expect(cluster.raft(4).term).toBe(term(now + 1));
});

test("a learner that hears of its leader from others keeps it for as long as they say so, whatever the timeout", () => {
  const cluster = withRelayedLearner();
  cluster.commit("a");
  expect(feed(cluster, 4, fedBy(cluster, 2, 0))).toBe("taken");
  for (let tick = 0; tick < 100; tick++) cluster.raft(4).tick();
  expect(cluster.raft(4).leader).toBe(nodeId(1));
  cluster.raft(4).forgetHearsay();
  expect(cluster.raft(4).leader).toBe(nobody);
  // The leader's own word is not hearsay.
  cluster.raft(1).feedDirectly(nodeId(4));
  cluster.tick(6);
  cluster.raft(4).forgetHearsay();
  expect(cluster.raft(4).leader).toBe(nodeId(1));
  cluster.isolate(4);
  for (let tick = 0; tick < 100; tick++) cluster.raft(4).tick();
  expect(cluster.raft(4).leader).toBe(nobody);
});

test("a new leader that nobody has told of a relayed learner gives it no snapshot that it does not need", () => {
  const cluster = withRelayedLearner();
  for (const command of ["a", "b", "c"]) cluster.commit(command);
  expect(feed(cluster, 4, fedBy(cluster, 2, 0))).toBe("taken");
  cluster.tick(20);
  for (const id of [2, 3]) {
    cluster.get(id).appliedDurable = cluster.get(id).applied;
    cluster.compact(id);
  }
  cluster.crash(1);
  for (let tick = 0; tick < 100 && cluster.leader() === undefined; tick++) cluster.tick(1);
  const { raft: leader } = cluster.leader()!;
  expect(leader.baseIndex).toBeGreaterThan(1);
  leader.feedDirectly(nodeId(4));
  cluster.tick(6);
  expect(leader.progress(nodeId(4))?.mode).toBe("replicate");
  expect(cluster.snapshotsWanted).toBe(0);
  cluster.commit("d");
  cluster.tick(6);
  expect(cluster.get(4).commands()).toEqual(["a", "b", "c", "d"]);
});
