/** Leadership and admission are tied to the disk: what a slow, stalled or full one means for elections, hand-overs and proposals. */
import { describe, expect, test } from "bun:test";
import { index, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { bootstrap } from "../../src/raft/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import { Writes } from "../../src/raft/writes.ts";
import { Cluster, testOptions } from "./cluster.ts";
import { ModelStore } from "./model-store.ts";

const { electionTicks } = testOptions;

describe("a disk that hangs", () => {
  test("a leader steps down when its oldest write is older than T, although newer ones go on being finished", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    const leader = cluster.get(1);
    leader.diskStalled = true;
    let stepped = 0;
    // Every few ticks the oldest write is finished, never the one that has just been handed over: each waits for two rounds.
    for (let tick = 1; tick <= 6 * electionTicks && stepped === 0; tick++) {
      if (cluster.propose(1, `${tick}`).ok) cluster.settle();
      cluster.tick();
      if (tick % 4 === 0) cluster.sync(leader, 2);
      if (leader.raft.role !== "leader") stepped = tick;
    }
    expect(stepped).toBeGreaterThan(electionTicks);
    cluster.tickUntil("another leader", () => (cluster.leader()?.id ?? 1) !== 1);
  });

  test("a node on such a disk asks for no votes: its term stays, and the leader that is found later is left alone", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    const stalled = cluster.get(3);
    stalled.diskStalled = true;
    cluster.propose(1, "a");
    cluster.settle();
    cluster.crash(1);
    cluster.crash(2);
    const before = stalled.raft.term;
    cluster.tick(10 * electionTicks, 3);
    expect(stalled.raft.term).toBe(before);
    expect(stalled.raft.role).toBe("follower");
    stalled.diskStalled = false;
    for (const id of [1, 2]) cluster.restart(cluster.get(id));
    cluster.tickUntil("a leader", () => cluster.leader() !== undefined);
  });

  test("a resigned leader stays quiet until its disk works again", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.isolate(2);
    cluster.isolate(3);
    cluster.get(1).diskStalled = true;
    cluster.propose(1, "a");
    cluster.tick(electionTicks + 1, 1);
    expect(cluster.raft(1).role).toBe("follower");
    cluster.sent = [];
    cluster.tick(5 * electionTicks, 1);
    expect(cluster.sentKinds(1)).toEqual([]);
  });
});

describe("a disk that is slow", () => {
  /** Node 2 has everything but says that its disk is slow; node 3 lags by one entry. */
  function withSlowFollower(): Cluster {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.get(2).diskStalled = true;
    cluster.propose(1, "a");
    cluster.tick(electionTicks - 1);
    cluster.get(2).diskStalled = false;
    cluster.tick(4);
    expect(cluster.raft(1).progress(nodeId(2))?.slowDisk).toBe(true);
    expect(cluster.raft(1).progress(nodeId(3))?.slowDisk).toBe(false);
    const heal = cluster.drop((message) => message.to === 3);
    cluster.commit("b");
    expect(cluster.raft(1).lag(nodeId(3))).toBe(1);
    heal();
    return cluster;
  }

  test("is told to the leader, which hands over to another voter although that one is less close", () => {
    const cluster = withSlowFollower();
    cluster.sent = [];
    cluster.raft(1).resign();
    cluster.drain(cluster.get(1));
    const asked = cluster.sent.filter((message) => message.kind === "timeout-now");
    expect(asked.map((message) => message.to)).toEqual([nodeId(3)]);
  });

  test("still leads while nobody else can", () => {
    const cluster = withSlowFollower();
    cluster.crash(3);
    cluster.noticeClosed(3);
    cluster.sent = [];
    cluster.raft(1).resign();
    cluster.drain(cluster.get(1));
    expect(cluster.sent.filter((message) => message.kind === "timeout-now").map(({ to }) => to)).toEqual([nodeId(2)]);
  });

  test("is forgiven with the next fast write", () => {
    const cluster = withSlowFollower();
    cluster.commit("c");
    cluster.tick(4);
    expect(cluster.raft(1).progress(nodeId(2))?.slowDisk).toBe(false);
  });

  test("its age is that of the oldest write, and of the last one when none is under way", () => {
    const writes = new Writes(0, 1, nodeId(1));
    const first = writes.start(1, nodeId(1), 1, 10);
    writes.tick();
    const second = writes.start(1, nodeId(1), 2, 20);
    writes.tick();
    expect([writes.age, writes.slowness, writes.bytes]).toEqual([2, 2, 30]);
    writes.finished(first);
    expect([writes.age, writes.slowness, writes.bytes]).toEqual([1, 2, 20]);
    writes.finished(second);
    writes.tick();
    expect([writes.age, writes.slowness, writes.bytes]).toEqual([0, 1, 0]);
  });
});

describe("what is under way is bounded, and more is refused as busy (L1)", () => {
  test("bytes that wait for the leader's own disk, though the others have committed them", () => {
    const cluster = Cluster.of(3, { uncommittedBytes: 1000 });
    cluster.elect(1);
    cluster.get(1).diskStalled = true;
    expect(cluster.propose(1, "x".repeat(900)).ok).toBe(true);
    cluster.settle();
    expect(cluster.raft(1).uncommittedBytes).toBe(0);
    expect(cluster.propose(1, "y".repeat(900))).toEqual({ ok: false, why: "busy" });
    cluster.get(1).diskStalled = false;
    cluster.settle();
    expect(cluster.propose(1, "y".repeat(900)).ok).toBe(true);
  });

  test("bytes that wait for the leader's state", () => {
    const self = nodeId(1);
    const store = new ModelStore();
    const { append, restored } = bootstrap(self);
    store.append(append);
    store.sync();
    const { uncommittedBytes } = limits;
    const options = { ...testOptions, id: self, random: () => 0.5, uncommittedBytes, applied: index(0) };
    const raft = new Raft(options, restored, store);
    let handed = index(0);
    const run = (): void => {
      while (raft.hasReady()) {
        const { append, committed } = raft.drain();
        handed = committed.at(-1)?.index ?? handed;
        if (append === undefined) continue;
        store.append(append);
        raft.appended(store.sync()!);
      }
    };
    raft.campaign();
    run();
    const data = new Uint8Array(8 * 1024 * 1024);
    let taken = 0;
    for (; taken < 20 && raft.propose(data).ok; taken++) run();
    expect(taken).toBe(limits.unappliedBytes / data.length);
    expect(raft.propose(data)).toEqual({ ok: false, why: "busy" });
    raft.applied(handed);
    run();
    expect(raft.propose(data).ok).toBe(true);
  });
});
