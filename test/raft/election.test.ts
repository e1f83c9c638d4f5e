import { expect, test } from "bun:test";
import { index, nobody, nodeId, term } from "../../src/lib/ids.ts";
import { ElectionTimer } from "../../src/raft/election-timer.ts";
import { Cluster, testOptions } from "./cluster.ts";

test("a leader is elected within 2T and everybody knows it", () => {
  const cluster = Cluster.of(3);
  const ticks = cluster.tickUntil("a leader", () => cluster.leader() !== undefined);
  expect(ticks).toBeGreaterThan(10);
  expect(ticks).toBeLessThanOrEqual(20);
  cluster.settle();
  const leader = cluster.leader()!;
  expect(cluster.members.map((member) => member.leadership?.leader)).toEqual([leader.id, leader.id, leader.id]);
});

test("an election timeout lies in (T, 2T] and is never exactly T, however the draw falls", () => {
  const { electionTicks } = testOptions;
  const longest = 1 - 2 ** -32;
  const drawn = (random: () => number): number => {
    const timer = new ElectionTimer({ ...testOptions, id: nodeId(1), applied: index(0), random });
    let ticks = 1;
    while (!timer.tick()) ticks++;
    return ticks;
  };
  expect(drawn(() => 0)).toBe(electionTicks + 1);
  expect(drawn(() => longest)).toBe(2 * electionTicks);
});

test("a single voter elects itself and commits alone", () => {
  const cluster = Cluster.bootstrapped();
  cluster.raft(1).campaign();
  cluster.settle();
  cluster.commit("a");
  expect(cluster.get(1).commands()).toEqual(["a"]);
});

test("a single voter neither leads nor commits before its disk has synced (etcd#14370)", () => {
  const cluster = Cluster.bootstrapped();
  const node = cluster.get(1);
  node.diskStalled = true;
  node.raft.campaign();
  cluster.settle();
  expect(node.raft.role).toBe("candidate");
  node.diskStalled = false;
  cluster.settle();
  expect(node.raft.role).toBe("leader");
  node.diskStalled = true;
  cluster.propose(1, "a");
  cluster.settle();
  expect(node.commands()).toEqual([]);
  cluster.crash(1);
  cluster.restart(node);
  expect(node.raft.lastIndex).toBe(cluster.get(1).store.entriesDurable.length as never);
});

test("a vote and the request for votes leave only after the sync", () => {
  const cluster = Cluster.of(3);
  cluster.settle();
  for (const id of [1, 2, 3]) cluster.get(id).diskStalled = true;
  cluster.raft(1).campaign();
  cluster.settle();
  expect(cluster.raft(1).role).toBe("candidate");
  expect(cluster.sentKinds(1)).not.toContain("vote-request");
  cluster.get(1).diskStalled = false;
  cluster.settle();
  expect(cluster.sentKinds(1)).toContain("vote-request");
  expect(cluster.raft(2).term).toBe(cluster.raft(1).term);
  expect(cluster.sentKinds(2)).not.toContain("vote-response");
  cluster.get(2).diskStalled = false;
  cluster.settle();
  expect(cluster.raft(1).role).toBe("leader");
});

test("a node whose log is behind loses the pre-vote and disturbs nobody's term", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.commit("a");
  const before = cluster.raft(1).term;
  cluster.tick(100);
  expect(cluster.raft(3).role).toBe("pre-candidate");
  expect(cluster.raft(3).term).toBe(before);
  cluster.heal();
  cluster.tick(30);
  expect(cluster.raft(1).role).toBe("leader");
  expect(cluster.raft(1).term).toBe(before);
  expect(cluster.get(3).commands()).toEqual(["a"]);
});

test("who hears the leader gives no vote and does not take over the term", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const { term: before, lastIndex } = cluster.raft(2);
  const higher = term(before + 5);
  const request = {
    kind: "vote-request",
    from: nodeId(3),
    to: nodeId(2),
    term: higher,
    lastIndex,
    lastTerm: before,
  } as const;
  cluster.raft(2).step({ ...request, transfer: false });
  expect(cluster.raft(2).term).toBe(before);
  cluster.raft(2).step({ ...request, transfer: true });
  expect(cluster.raft(2).term).toBe(higher);
});

test("a leader that hears no quorum steps down within 2T", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.isolate(1);
  cluster.tick(20, 1);
  expect(cluster.raft(1).role).not.toBe("leader");
  cluster.tickUntil("a new leader", () => cluster.leader() !== undefined && cluster.leader()!.id !== 1);
});

test("one link down between leader and a follower: leader and term stay", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const { term } = cluster.raft(1);
  cluster.cut(1, 3);
  cluster.tick(1000);
  expect(cluster.raft(1).role).toBe("leader");
  expect(cluster.raft(1).term).toBe(term);
});

test("two spokes that each miss the leader of the hub do not force elections for ever", () => {
  const cluster = Cluster.of(5);
  cluster.elect(1);
  cluster.cut(1, 4);
  cluster.cut(1, 5);
  const { term } = cluster.raft(1);
  cluster.tick(500);
  expect(cluster.raft(1).term).toBe(term);
});

test("a leader on the minority side of a bridge loses its lead, the connected quorum elects", () => {
  const cluster = Cluster.of(5);
  cluster.elect(1);
  // 1 reaches only 2; 2 is the bridge to 3, 4, 5.
  for (const other of [3, 4, 5]) cluster.cut(1, other);
  cluster.tickUntil("a leader beside 1", () => (cluster.leader()?.id ?? 1) !== 1);
  cluster.commit("a");
});

test("the longest log is in an older term, the newest term has a shorter log: still elects (openraft#1796)", () => {
  const cluster = new Cluster();
  const voters = [1, 2].map(nodeId);
  cluster.addWithLog(voters[0]!, voters, [1, 2, 2, 2]);
  cluster.addWithLog(voters[1]!, voters, [1, 1]);
  const ahead = cluster.get(2);
  ahead.store.hardState = { ...ahead.store.hardState, term: term(9), vote: nobody };
  cluster.restart(ahead);
  cluster.tickUntil("a leader", () => cluster.leader()?.id === 1);
});

test("pre-candidates that lost a silent leader grant each other", () => {
  const cluster = Cluster.of(4);
  cluster.elect(1);
  cluster.crash(1);
  cluster.tickUntil("a leader", () => cluster.leader() !== undefined, 60);
});

test("a promoted voter that does not know it yet is asked for its vote and gives it (etcd#10998)", () => {
  const cluster = Cluster.bootstrapped();
  cluster.addBlank(2);
  cluster.addBlank(3);
  cluster.raft(1).campaign();
  cluster.settle();
  for (const id of [2, 3]) cluster.change("add-learner", id);
  cluster.tick(4);
  expect(cluster.change("promote", 2).ok).toBe(true);
  // The promotion of 3 is committed by 1 and 2, and 3 never hears of it.
  const heal = cluster.drop((message) => message.to === 3);
  expect(cluster.change("promote", 3).ok).toBe(true);
  heal();
  expect(cluster.raft(3).configuration.voters).not.toContain(nodeId(3));
  cluster.crash(1);
  cluster.network = [];
  cluster.tickUntil("node 2 leads", () => cluster.leader()?.id === 2);
});

test("learners and strangers never campaign", () => {
  const cluster = Cluster.bootstrapped();
  cluster.addBlank(2);
  cluster.addBlank(3);
  cluster.raft(1).campaign();
  cluster.settle();
  cluster.change("add-learner", 2);
  cluster.crash(1);
  cluster.tick(200);
  expect(cluster.sent.some((message) => message.from !== 1 && message.kind.endsWith("vote-request"))).toBe(false);
});

test("no vote for a log that is behind, by term or by length", () => {
  const cluster = new Cluster();
  const nodes = [1, 2].map(nodeId);
  const { raft } = cluster.addWithLog(nodes[0]!, nodes, [1, 2, 2]);
  const ask = (inTerm: number, lastIndex: number, lastTerm: number): boolean => {
    cluster.sent = [];
    raft.step({
      kind: "vote-request",
      from: nodes[1]!,
      to: nodes[0]!,
      term: term(inTerm),
      lastIndex: index(lastIndex),
      lastTerm: term(lastTerm),
      transfer: false,
    });
    cluster.settle();
    return cluster.sent.some((message) => message.kind === "vote-response" && message.granted);
  };
  expect(ask(5, 9, 1)).toBe(false);
  expect(ask(6, 2, 2)).toBe(false);
  expect(ask(7, 3, 2)).toBe(true);
  expect(ask(8, 1, 3)).toBe(true);
});

test("a node that is ahead in terms is not shut out: the leader hears of the term and a new one is found", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const ahead = cluster.get(3);
  cluster.crash(3);
  ahead.store.hardState = { ...ahead.store.hardState, term: term(cluster.raft(1).term + 5), vote: nobody };
  cluster.restart(ahead);
  cluster.tickUntil("all in one term", () =>
    cluster.members.every((member) => member.raft.leader === cluster.leader()?.id),
  );
  cluster.commit("a");
  expect(ahead.commands()).toEqual(["a"]);
});
