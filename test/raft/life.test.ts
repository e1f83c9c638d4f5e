import { expect, test } from "bun:test";
import { index, nobody, nodeId, term } from "../../src/lib/ids.ts";
import { bootstrap } from "../../src/raft/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import { Cluster, testOptions } from "./cluster.ts";
import { ModelStore } from "./model-store.ts";

/** Restart, hand-over, closed sockets, stalled disks. */

test("after a restart the log is there and nothing applied is handed out again", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  for (const text of ["a", "b", "c", "d", "e", "f"]) cluster.commit(text);
  const member = cluster.get(2);
  const { lastIndex, term } = member.raft;
  member.appliedDurable = member.applied - 2;
  cluster.crash(2);
  cluster.restart(member);
  expect(member.raft.lastIndex).toBe(lastIndex);
  expect(member.raft.term).toBe(term);
  expect(member.raft.leader).toBe(nobody);
  cluster.tick(4);
  // The referee fails if anything is applied twice or left out.
  expect(member.commands()).toEqual(["a", "b", "c", "d", "e", "f"]);
});

test("every node dies at once: what was committed is there again", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  for (const text of ["a", "b"]) cluster.commit(text);
  for (const id of [1, 2, 3]) cluster.crash(id);
  for (const member of cluster.members) cluster.restart(member);
  cluster.tickUntil("a leader", () => cluster.leader() !== undefined);
  cluster.commit("c");
  for (const member of cluster.members) expect(member.commands()).toEqual(["a", "b", "c"]);
});

test("a node that voted, died and came back does not vote again in that term (hiqlite#361)", () => {
  const cluster = Cluster.of(3);
  cluster.settle();
  cluster.raft(1).campaign();
  cluster.settle();
  const { term, lastIndex } = cluster.raft(1);
  cluster.crash(2);
  cluster.restart(cluster.get(2));
  cluster.sent = [];
  const request = {
    kind: "vote-request",
    from: nodeId(3),
    to: nodeId(2),
    term,
    lastIndex,
    lastTerm: term,
    transfer: true,
  } as const;
  cluster.deliver(request);
  cluster.settle();
  expect(cluster.sent.find((message) => message.from === 2)).toMatchObject({ kind: "vote-response", granted: false });
});

test("a crash before the sync: the vote had not left, and may be given to another", () => {
  const cluster = Cluster.of(3);
  cluster.settle();
  cluster.get(2).diskStalled = true;
  cluster.cut(1, 3);
  cluster.raft(1).campaign();
  cluster.settle();
  expect(cluster.sentKinds(2)).not.toContain("vote-response");
  cluster.crash(2);
  cluster.get(2).diskStalled = false;
  cluster.restart(cluster.get(2));
  expect(cluster.raft(2).term).toBeLessThan(cluster.raft(1).term);
});

test("the leader's socket closes: a new leader within disconnectTicks and no timeout", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const cluster = Cluster.of(3, {}, seed);
    cluster.elect(1);
    cluster.commit("a");
    cluster.crash(1);
    cluster.noticeClosed(1);
    // 2 ticks to begin; split rounds are repeated within 5 each.
    const ticks = cluster.tickUntil("a new leader", () => cluster.leader() !== undefined);
    expect(ticks).toBeLessThanOrEqual(2 + 3 * 5);
    cluster.commit("b");
  }
});

test("one follower's socket to a living leader closes: refused by those who hear it, and it comes back", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const { term } = cluster.raft(1);
  cluster.cut(1, 3);
  cluster.raft(3).disconnected(nodeId(1));
  expect(cluster.raft(3).leader).toBe(nobody);
  cluster.tick(30);
  expect(cluster.raft(1).role).toBe("leader");
  expect(cluster.raft(1).term).toBe(term);
  cluster.heal();
  cluster.raft(3).connected(nodeId(1));
  cluster.tick(3);
  expect(cluster.raft(3).leader).toBe(nodeId(1));
});

test("after a closed socket a minority asks hastily for a while only", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.crash(1);
  cluster.crash(2);
  cluster.raft(3).disconnected(nodeId(1));
  cluster.raft(3).disconnected(nodeId(2));
  cluster.tick(40);
  cluster.sent = [];
  cluster.tick(200);
  // Timeouts are drawn from (10, 20] again.
  expect(
    cluster.sent.filter((message) => message.kind === "pre-vote-request" && message.to === 1).length,
  ).toBeLessThanOrEqual(20);
});

test("a hand-over: the target leads in the next term, nothing is refused in between but by name", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("a");
  const { term } = cluster.raft(1);
  expect(cluster.raft(1).transfer(nodeId(3))).toEqual({ ok: true });
  expect(cluster.propose(1, "x")).toEqual({ ok: false, why: "transferring" });
  expect(cluster.raft(1).transfer(nodeId(2))).toEqual({ ok: false, why: "transferring" });
  cluster.settle();
  expect(cluster.leader()!.id).toBe(nodeId(3));
  expect(cluster.raft(3).term).toBe((term + 1) as never);
  cluster.commit("b");
  expect(cluster.get(1).commands()).toEqual(["a", "b"]);
});

test("a hand-over waits until the target has everything", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const heal = cluster.drop((message) => message.to === 3 && message.kind === "append-request");
  for (const text of ["a", "b"]) cluster.commit(text);
  cluster.raft(1).transfer(nodeId(3));
  cluster.settle();
  expect(cluster.sentKinds(1)).not.toContain("timeout-now");
  heal();
  cluster.tick(4);
  expect(cluster.leader()!.id).toBe(nodeId(3));
});

test("a hand-over to a node that does not answer is given up after an election timeout", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.raft(1).transfer(nodeId(3));
  cluster.tick(9);
  expect(cluster.propose(1, "a")).toEqual({ ok: false, why: "transferring" });
  cluster.tick(2);
  expect(cluster.propose(1, "a").ok).toBe(true);
});

test("a hand-over to a node whose socket closes is given up at once: writes are not refused until the timeout", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.isolate(3);
  cluster.raft(1).transfer(nodeId(3));
  expect(cluster.propose(1, "a")).toEqual({ ok: false, why: "transferring" });
  cluster.raft(1).disconnected(nodeId(2));
  expect(cluster.propose(1, "a")).toEqual({ ok: false, why: "transferring" });
  cluster.raft(1).disconnected(nodeId(3));
  expect(cluster.propose(1, "a").ok).toBe(true);
});

test("hand-overs that make no sense are refused", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  expect(cluster.raft(2).transfer(nodeId(3))).toEqual({ ok: false, why: "not-leader" });
  expect(cluster.raft(1).transfer(nodeId(1))).toEqual({ ok: false, why: "not-voter" });
  expect(cluster.raft(1).transfer(nodeId(9))).toEqual({ ok: false, why: "not-voter" });
});

test("a leader whose disk hangs is replaced although its heartbeats go on (hashicorp/raft#503)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.get(1).diskStalled = true;
  cluster.propose(1, "a");
  cluster.tick(12);
  expect(cluster.raft(1).role).toBe("follower");
  cluster.tickUntil("another leader", () => (cluster.leader()?.id ?? 1) !== 1);
  cluster.commit("b");
});

test("a leader that resigns hands over to the closest voter at once", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.raft(1).resign();
  cluster.settle();
  expect(cluster.leader()!.id).not.toBe(nodeId(1));
});

test("a follower whose disk hung catches up without a new leader (hashicorp/raft#612)", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.get(3).diskStalled = true;
  for (let at = 0; at < 20; at++) {
    cluster.commit(`c${at}`);
    cluster.tick(2);
  }
  cluster.get(3).diskStalled = false;
  cluster.tick(4);
  expect(cluster.get(3).commands().length).toBe(20);
  expect(cluster.raft(1).role).toBe("leader");
});

test("committed entries are handed to apply in order and not without bound", () => {
  const cluster = Cluster.of(1, { logWindowBytes: 1000 });
  cluster.elect(1);
  const member = cluster.get(1);
  for (let at = 0; at < 100; at++) cluster.propose(1, `c${at}`);
  cluster.settle();
  expect(member.commands().length).toBe(100);
  // A window of 1000 bytes holds few of them: the rest is read when it is needed again.
  member.appliedDurable = 0;
  cluster.crash(1);
  cluster.restart(member);
  cluster.elect(1);
  expect(member.commands().length).toBe(100);
  expect(member.raft.commit).toBe(index(member.applied));
});

test("memory stays bounded while apply is behind: what is committed and durable is read back (L1)", () => {
  const self = nodeId(1);
  const store = new ModelStore();
  let reads = 0;
  const { append, restored } = bootstrap(self);
  store.append(append);
  store.sync();
  const options = {
    id: self,
    random: () => 0.5,
    heartbeatTicks: 5,
    electionTicks: 60,
    disconnectTicks: 2,
    retryTicks: 5,
    appendMessageBytes: 1000,
    inflightAppends: 8,
    uncommittedBytes: 100_000,
    logWindowBytes: 10_000,
    promoteLagEntries: 100,
    directLearners: 8,
    applied: index(0),
  };
  const raft = new Raft(options, restored, {
    entries: (from, to, maxBytes) => {
      reads++;
      return store.entries(from, to, maxBytes);
    },
  });
  /** Everything but telling that something was applied. */
  const run = (): void => {
    while (raft.hasReady()) {
      const { append } = raft.drain();
      if (append === undefined) continue;
      store.append(append);
      raft.appended(store.sync()!);
    }
  };
  raft.campaign();
  run();
  expect(raft.role).toBe("leader");
  for (let at = 0; at < 100; at++) {
    expect(raft.propose(new Uint8Array(1000)).ok).toBe(true);
    run();
  }
  expect(raft.commit).toBe(raft.lastIndex);
  expect(reads).toBe(0);
  // A learner that has nothing shows what is still in memory: its first entries come from the disk.
  expect(raft.proposeConfiguration({ kind: "add-learner", node: nodeId(2) }, raft.configuration).ok).toBe(true);
  raft.connected(nodeId(2));
  run();
  const envelope = { from: nodeId(2), to: self, term: raft.term };
  const rejection = { rejected: raft.lastIndex, hintIndex: index(0), hintTerm: term(0) };
  raft.step({ kind: "append-rejection", ...envelope, ...rejection, repairing: false });
  run();
  expect(reads).toBeGreaterThan(0);
});

test("an idle leader leaves out every second heartbeat, and none once there is something to replicate", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  cluster.commit("a");
  let heartbeats = 0;
  cluster.drop((message) => {
    if (message.kind === "heartbeat-request" && message.to === 2) heartbeats += 1;
    return false;
  });
  const counted = (ticks: number): number => {
    heartbeats = 0;
    cluster.tick(ticks);
    return heartbeats;
  };
  const every = testOptions.heartbeatTicks;
  expect(counted(10 * every)).toBe(10); // not at rest for long enough
  cluster.tick(30 * every);
  expect(counted(20 * every)).toBe(10);
  expect(cluster.leader()?.id).toBe(nodeId(1)); // followers still hear of it in time
  const heal = cluster.drop((message) => message.kind === "append-request" && message.to === 3);
  cluster.get(1).raft.propose(new Uint8Array([1]));
  expect(counted(10 * every)).toBe(10); // node 3 lacks an entry
  heal();
});

test("other intervals hold from the moment they are told: heartbeats come as often, and a follower waits as long", () => {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  const { heartbeatTicks, electionTicks } = testOptions;
  let heartbeats = 0;
  const heal = cluster.drop((message) => {
    if (message.kind === "heartbeat-request" && message.to === 2) heartbeats += 1;
    return false;
  });
  for (const { raft } of cluster.members)
    raft.retime({ heartbeatTicks: 3 * heartbeatTicks, electionTicks: 3 * electionTicks });
  cluster.tick(12 * heartbeatTicks);
  expect(heartbeats).toBe(4);
  heal();
  // The leader falls silent: nobody asks for votes before the new T is over, and somebody does before twice as long.
  cluster.isolate(1);
  cluster.tick(3 * electionTicks - 6 * heartbeatTicks); // at rest the last heartbeat may be two intervals old
  expect(cluster.raft(2).role).toBe("follower");
  expect(cluster.raft(3).role).toBe("follower");
  const { term } = cluster.raft(2);
  cluster.tick(6 * electionTicks);
  expect(cluster.raft(2).term).toBeGreaterThan(term);
});
