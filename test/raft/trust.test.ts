import { expect, test } from "bun:test";
import { index, nodeId } from "../../src/lib/ids.ts";
import { Cluster, testOptions } from "./cluster.ts";

/** A node whose state is not to be trusted (S1): its log is, and goes on counting. */

test("it resigns at once in favour of another voter, and others lead before it does", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("a");
  cluster.raft(1).trustState(false);
  cluster.settle();
  expect(cluster.leader()?.id).not.toBe(1);
  cluster.tickUntil("another leader", () => cluster.leader() !== undefined);
  const leader = cluster.leader()!;
  cluster.isolate(leader.id);
  const other = cluster.members.find(({ id }) => id !== 1 && id !== leader.id)!;
  cluster.sent = [];
  cluster.tickUntil("the third one leads", () => other.raft.role === "leader");
  expect(cluster.sentKinds(1)).not.toContain("pre-vote-request");
  expect(cluster.raft(1).role).toBe("follower");
  cluster.raft(1).campaign();
  cluster.settle();
  expect(cluster.raft(1).role).toBe("follower");
});

test("it still stores entries and votes, so that a quorum stays one, and leads again once it is trusted", () => {
  const cluster = Cluster.of(3);
  cluster.elect(2);
  cluster.raft(1).trustState(false);
  cluster.isolate(3);
  cluster.commit("a");
  cluster.heal();
  cluster.tickUntil("node 3 has it too", () => cluster.raft(3).lastIndex === cluster.raft(2).lastIndex);
  cluster.crash(2);
  cluster.tickUntil("node 3 leads by the vote of node 1", () => cluster.raft(3).role === "leader");
  cluster.raft(1).trustState(true);
  cluster.raft(3).transfer(cluster.get(1).id);
  cluster.tickUntil("node 1 leads", () => cluster.raft(1).role === "leader");
});

/** Of three voters the leader, node 1, is gone for good; node 2 has the longest log and a wrong state, node 3 lacks an entry. */
function withLongestLogUntrusted(): Cluster {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("everywhere");
  cluster.raft(2).trustState(false);
  cluster.cut(1, 3);
  cluster.commit("not on node 3");
  cluster.crash(1);
  cluster.heal();
  return cluster;
}

test("with the longest log it is elected, takes nothing, and gives its log and the leadership to another voter", () => {
  const cluster = withLongestLogUntrusted();
  const { raft } = cluster.get(2);
  const endLoss = cluster.drop(({ kind, from }) => kind === "append-request" && from === 2);
  cluster.tickUntil("node 2 leads, for want of another", () => raft.role === "leader");
  expect(cluster.propose(2, "a")).toEqual({ ok: false, why: "transferring" });
  const learner = { kind: "add-learner", node: nodeId(4) } as const;
  expect(raft.proposeConfiguration(learner, raft.configuration)).toEqual({ ok: false, why: "transferring" });
  raft.readIndex(7);
  cluster.settle();
  expect(cluster.get(2).reads).toEqual([{ ticket: 7, index: undefined }]);
  expect(cluster.raft(3).role).toBe("follower");
  endLoss();
  cluster.tickUntil("node 3 leads", () => cluster.raft(3).role === "leader");
  cluster.commit("b");
  expect(cluster.get(3).commands()).toEqual(["everywhere", "not on node 3", "b"]);
  expect(raft.role).toBe("follower");
});

test("a hand-over that is lost is tried again, and goes to each in turn, for others may have wrong states as well", () => {
  const cluster = Cluster.of(5);
  cluster.elect(1);
  for (const id of [2, 3]) cluster.raft(id).trustState(false);
  cluster.cut(1, 4);
  cluster.cut(1, 5);
  cluster.commit("not on nodes 4 and 5");
  cluster.crash(1);
  cluster.heal();
  const endLoss = cluster.drop(({ kind }) => kind === "timeout-now");
  cluster.tickUntil("one of them leads", () => cluster.leader() !== undefined);
  const leader = cluster.leader()!;
  expect([2, 3]).toContain(leader.id);
  cluster.sent = [];
  cluster.tick(4 * testOptions.electionTicks);
  const asked = cluster.sent.flatMap(({ kind, to }) => (kind === "timeout-now" ? [to as number] : []));
  expect(new Set(asked)).toEqual(new Set([2, 3, 4, 5].filter((id) => id !== leader.id)));
  expect(leader.raft.role).toBe("leader");
  endLoss();
  cluster.tickUntil("node 4 or 5 leads", () => cluster.raft(4).role === "leader" || cluster.raft(5).role === "leader");
  cluster.commit("a");
});

test("found to be wrong while it asks for votes, it hands over once it leads", () => {
  const cluster = withLongestLogUntrusted();
  const { raft } = cluster.get(2);
  raft.trustState(true);
  const endLoss = cluster.drop(({ kind }) => kind === "vote-response");
  cluster.tickUntil("it asks for votes", () => raft.role === "candidate");
  raft.trustState(false);
  endLoss();
  cluster.tickUntil("node 3 leads", () => cluster.raft(3).role === "leader");
  expect(cluster.referee.committedEntries.map(({ kind }) => kind)).toContain("noop");
  cluster.commit("a");
  raft.trustState(true);
  expect(cluster.raft(3).transfer(nodeId(2))).toEqual({ ok: true });
  cluster.tickUntil("node 2 leads", () => raft.role === "leader");
  cluster.commit("b");
});

test("after a rewind what follows is handed out again, in order", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  for (const text of ["a", "b", "c"]) cluster.commit(text);
  const { raft } = cluster.get(2);
  const { commit } = raft;
  expect(raft.drain().committed).toEqual([]);
  raft.rewind(index(commit - 2));
  expect(raft.hasReady()).toBe(true);
  expect(raft.drain().committed.map((entry) => entry.index)).toEqual([index(commit - 1), commit]);
  expect(() => raft.rewind(index(commit + 1))).toThrow("the log follows on from the state");
});
