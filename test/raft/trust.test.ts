import { expect, test } from "bun:test";
import { index } from "../../src/lib/ids.ts";
import { Cluster } from "./cluster.ts";

/** A node whose state is not to be trusted (S1): its log is, and goes on counting. */

test("it resigns at once in favour of another voter, and asks for votes no more", () => {
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
  cluster.tickUntil("the third one leads", () => other.raft.role === "leader");
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
