import { expect, test } from "bun:test";
import { index } from "../../src/lib/ids.ts";
import { Cluster } from "./cluster.ts";

/** Three nodes, of which the third has lost the end of its log without knowing it: what was synced is not there any more. */
function withShortened(by: number): Cluster {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  for (const text of ["a", "b", "c", "d"]) cluster.commit(text);
  cluster.tick(4);
  cluster.crash(3);
  const member = cluster.get(3);
  const { store } = member;
  store.entriesDurable.length -= by;
  store.hardState = { ...store.hardState, commit: index(Math.min(store.hardState.commit, store.lastIndex)) };
  // The state would tell: it lost as much.
  member.appliedDurable = Math.min(member.appliedDurable, store.lastIndex);
  cluster.noticeClosed(3);
  cluster.restart(member);
  return cluster;
}

test("a follower whose log ends before what it has acknowledged learns it from the leader, says nothing more, and gets no storm of appends", () => {
  const cluster = withShortened(2);
  const from = cluster.sent.length;
  cluster.tickUntil("node 3 knows", () => cluster.raft(3).lostUntil !== undefined);
  expect(cluster.raft(3).lostUntil).toBe(index(cluster.raft(1).commit));
  const silentFrom = cluster.sent.length;
  expect(silentFrom - from).toBeLessThan(20);
  cluster.tick(30);
  const sent = cluster.sent.slice(silentFrom);
  expect(sent.filter((message) => message.from === 3)).toEqual([]);
  // The others go on, and it votes for nobody.
  cluster.commit("e");
  cluster.crash(1);
  cluster.tick(60);
  expect(cluster.leader()).toBeUndefined();
});

test("one whose log lost nothing that it has acknowledged is fed as ever", () => {
  const cluster = withShortened(0);
  cluster.commit("e");
  cluster.tick(10);
  expect(cluster.raft(3).lostUntil).toBeUndefined();
  expect(cluster.raft(3).lastIndex).toBe(cluster.raft(1).lastIndex);
});
