import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Message } from "../../src/raft/types.ts";
import { Cluster } from "./cluster.ts";

test("a read on the leader is answered after one round, with the commit index", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("a");
  cluster.sent = [];
  for (const ticket of [1, 2, 3]) cluster.raft(1).readIndex(ticket);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([1, 2, 3].map((ticket) => ({ ticket, index: cluster.raft(1).commit })));
  // One round for all of them.
  expect(cluster.sentKinds(1)).toEqual(["heartbeat-request", "heartbeat-request"]);
});

test("a read elsewhere is answered at once: ask the leader", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.raft(2).readIndex(7);
  cluster.settle();
  expect(cluster.get(2).reads).toEqual([{ ticket: 7, index: undefined }]);
});

test("a single voter confirms its own reads", () => {
  const cluster = Cluster.bootstrapped();
  cluster.raft(1).campaign();
  cluster.settle();
  cluster.raft(1).readIndex(1);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([{ ticket: 1, index: cluster.raft(1).commit }]);
});

test("a new leader answers no read before an entry of its own term is committed (etcd#7331)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  // 1 commits "a" and nobody else hears of the commit.
  const heal = cluster.drop(
    (message) => message.from === 1 && "commit" in message && message.kind === "heartbeat-request",
  );
  cluster.propose(1, "a");
  cluster.drain(cluster.get(1));
  const committed = cluster.raft(1).lastIndex;
  cluster.settle();
  cluster.crash(1);
  heal();
  const stop = cluster.drop((message) => message.kind === "append-response");
  cluster.tickUntil("another leader", () => cluster.leader() !== undefined);
  const leader = cluster.leader()!;
  leader.raft.readIndex(1);
  cluster.tick(2);
  expect(leader.reads).toEqual([]);
  stop();
  cluster.tick(4);
  expect(leader.reads.length).toBe(1);
  expect(leader.reads[0]!.index).toBeGreaterThanOrEqual(committed);
});

test("answers to an old round, delayed and doubled, confirm no newer read (etcd-io/raft#397)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.raft(1).readIndex(1);
  cluster.sent = [];
  cluster.settle();
  const old = cluster.sent.filter((message): message is Message => message.kind === "heartbeat-response");
  expect(old.length).toBe(2);
  // 1 is cut off and another leads; what 1 gets are the answers of before, over and over.
  cluster.isolate(1);
  cluster.crash(2);
  cluster.raft(1).readIndex(2);
  cluster.settle();
  for (const message of [...old, ...old]) cluster.raft(1).step(message);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([{ ticket: 1, index: cluster.raft(1).commit }]);
  cluster.tick(20, 1);
  expect(cluster.get(1).reads[1]).toEqual({ ticket: 2, index: undefined });
});

test("a lost round is repeated by the next heartbeat", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => message.kind === "heartbeat-request");
  cluster.raft(1).readIndex(1);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([]);
  heal();
  cluster.tick(2);
  expect(cluster.get(1).reads).toEqual([{ ticket: 1, index: cluster.raft(1).commit }]);
});

test("reads that wait are bounded: one more is answered at once, as if this node did not lead, and is taken when there is room again", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => message.kind === "heartbeat-request");
  for (let ticket = 1; ticket <= limits.pendingReads; ticket++) cluster.raft(1).readIndex(ticket);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([]);
  const tooMany = limits.pendingReads + 1;
  cluster.raft(1).readIndex(tooMany);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([{ ticket: tooMany, index: undefined }]);
  heal();
  cluster.tick(2);
  expect(cluster.get(1).reads.length).toBe(tooMany);
  cluster.raft(1).readIndex(tooMany + 1);
  cluster.settle();
  expect(cluster.get(1).reads.at(-1)).toEqual({ ticket: tooMany + 1, index: cluster.raft(1).commit });
});

test("a learner's answer proves nothing", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.addBlank(4);
  cluster.change("add-learner", 4);
  cluster.tick(4);
  cluster.cut(1, 2);
  cluster.cut(1, 3);
  cluster.raft(1).readIndex(1);
  cluster.settle();
  expect(cluster.get(1).reads).toEqual([]);
  expect(cluster.raft(1).progress(nodeId(4))?.mode).toBe("replicate");
});
