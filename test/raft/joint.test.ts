import { describe, expect, test } from "bun:test";
import { index, nodeId } from "../../src/lib/ids.ts";
import { decodeConfiguration, isJoint } from "../../src/raft/configuration.ts";
import { Progress } from "../../src/raft/progress.ts";
import { Cluster } from "./cluster.ts";

/** Three voters, of which node 1 leads, and two learners that have caught up. */
function withLearners(): Cluster {
  const cluster = Cluster.of(3);
  cluster.elect(1);
  for (const id of [4, 5]) {
    cluster.addBlank(id);
    expect(cluster.change("add-learner", id).ok).toBe(true);
    cluster.tick(4);
  }
  return cluster;
}

const changesOf = (cluster: Cluster): string[] =>
  cluster.referee.committedEntries
    .filter((entry) => entry.kind === "configuration")
    .map((entry) => decodeConfiguration(entry.data)!)
    .map(({ voters, outgoing, learners, learnersNext }) => [voters, outgoing, learners, learnersNext].join("|"));

describe("any members in one change", () => {
  test("goes through a joint configuration and leaves it once, by itself", () => {
    const cluster = withLearners();
    expect(cluster.replace([1, 4, 5], [2]).ok).toBe(true);
    cluster.tick(20);
    expect(changesOf(cluster).slice(-2)).toEqual(["1,4,5|1,2,3||2", "1,4,5||2|"]);
    expect(cluster.raft(1).isChangePending).toBe(false);
  });

  test("one voter that differs needs no joint configuration", () => {
    const cluster = withLearners();
    expect(cluster.replace([1, 2, 3, 4], [5]).ok).toBe(true);
    expect(changesOf(cluster).at(-1)).toBe("1,2,3,4||5|");
  });

  test("is decided by both majorities: with the new half cut off it waits, and so does everything after it", () => {
    const cluster = withLearners();
    cluster.isolate(4);
    cluster.isolate(5);
    expect(cluster.replace([1, 4, 5], []).ok).toBe(true);
    const proposed = cluster.propose(1, "after");
    cluster.settle();
    expect(proposed.ok && cluster.raft(1).commit < proposed.index).toBe(true);
    expect(isJoint(cluster.raft(1).configuration)).toBe(true);
    cluster.heal();
    cluster.tickUntil("both halves agree", () => cluster.leader()?.raft.configuration.voters.join() === "1,4,5", 400);
  });

  test("a leader that was elected while the configuration is joint leads the way out", () => {
    const cluster = withLearners();
    // Everybody has the entry; the leader dies before it is committed.
    cluster.drop((message) => message.kind === "append-response");
    expect(cluster.replace([2, 4, 5], []).ok).toBe(true);
    cluster.crash(1);
    cluster.heal();
    cluster.noticeClosed(1);
    cluster.tickUntil("joint no more", () => cluster.leader()?.raft.configuration.outgoing.length === 0, 400);
    cluster.tick(10);
    expect(changesOf(cluster).slice(-2)).toEqual(["2,4,5|1,2,3||", "2,4,5|||"]);
  });

  test("a removed leader leads until it has left the joint configuration, and then steps down for good", () => {
    const cluster = withLearners();
    const leaders: string[] = [];
    expect(cluster.replace([2, 4, 5], [3]).ok).toBe(true);
    for (let tick = 0; tick < 60; tick++) {
      cluster.tick();
      leaders.push(`${cluster.leader()?.id}${isJoint(cluster.raft(1).configuration) ? " joint" : ""}`);
    }
    expect(cluster.raft(1).role).toBe("follower");
    expect(cluster.leader()!.id).not.toBe(nodeId(1));
    expect(leaders.at(-1)).not.toContain("joint");
    expect(cluster.propose(cluster.leader()!.id, "still here").ok).toBe(true);
  });

  test("refusals: a second change, an old base, learners that lag, nobody left, one node in two roles, nothing to do", () => {
    const cluster = withLearners();
    const leader = cluster.raft(1);
    const ask = (voters: number[], learners: number[], basedOn = leader.configuration): string => {
      const change = { kind: "replace", voters: voters.map(nodeId), learners: learners.map(nodeId) } as const;
      const proposed = leader.proposeConfiguration(change, basedOn);
      return proposed.ok ? "ok" : proposed.why;
    };
    expect(ask([], [])).toBe("last-voter");
    expect(ask([1, 2], [2])).toBe("joint");
    expect(ask([1, 2, 3], [4, 5])).toBe("no-change");
    expect(ask([1, 2, 6], [])).toBe("not-caught-up");
    expect(ask([1, 2, 4], [], { ...leader.configuration, learners: [] })).toBe("stale-configuration");
    cluster.isolate(4);
    for (let count = 0; count < 20; count++) cluster.propose(1, `${count}`);
    cluster.settle();
    expect(ask([1, 4, 5], [])).toBe("not-caught-up");
    cluster.heal();
    cluster.tick(10);
    expect(ask([1, 4, 5], [])).toBe("ok");
    expect(ask([1, 2, 3], [])).toBe("change-pending");
    cluster.settle();
  });

  test("leadership may be handed over in a joint configuration, to a voter of its new half", () => {
    const cluster = withLearners();
    cluster.cut(1, 5);
    cluster.cut(1, 4);
    expect(cluster.replace([2, 4, 5], []).ok).toBe(true);
    expect(cluster.raft(1).transfer(nodeId(3))).toEqual({ ok: false, why: "not-voter" });
    cluster.heal();
    expect(cluster.raft(1).transfer(nodeId(4))).toEqual({ ok: true });
    cluster.tickUntil("node 4 leads", () => cluster.leader()?.id === nodeId(4), 100);
    cluster.tickUntil("joint no more", () => cluster.raft(4).configuration.outgoing.length === 0, 100);
  });
});

describe("compaction and snapshots", () => {
  test("a follower that was away for longer than the log goes back gets a snapshot, then the log", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.isolate(3);
    for (let count = 0; count < 20; count++) cluster.commit(`${count}`);
    cluster.get(1).appliedDurable = cluster.get(1).applied;
    cluster.compact(1);
    expect(cluster.raft(1).baseIndex).toBe(index(cluster.get(1).applied));
    cluster.heal();
    cluster.tickUntil("node 3 is back", () => cluster.get(3).applied >= cluster.get(1).applied, 100);
    expect(cluster.snapshotsInstalled).toBe(1);
    cluster.commit("after");
    cluster.tick(4);
    expect(cluster.get(3).commands()).toEqual(cluster.get(1).commands());
  });

  test("a snapshot that does not arrive is wanted again, with the next sign of life and not before", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.isolate(3);
    cluster.commit("x");
    cluster.get(1).appliedDurable = cluster.get(1).applied;
    cluster.compact(1);
    cluster.heal();
    const stop = cluster.drop((message) => message.kind === "snapshot-request");
    cluster.tick(7);
    expect(cluster.raft(1).progress(nodeId(3))?.mode).not.toBe("replicate");
    expect(cluster.snapshotsInstalled).toBe(0);
    stop();
    cluster.tickUntil("node 3 is back", () => cluster.get(3).applied >= cluster.get(1).applied, 100);
  });

  test("a follower that a new leader loses before its first answer is probed for where it is: it needs no snapshot, and would take none", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    for (let count = 0; count < 5; count++) cluster.commit(`${count}`);
    cluster.tick(4);
    // Its log goes back to its last entry only, as those of nodes that restart often do.
    const second = cluster.get(2);
    second.appliedDurable = second.applied;
    cluster.compact(2);
    const stop = cluster.drop(({ from, to }) => from === 3 || to === 3);
    cluster.crash(1);
    cluster.noticeClosed(1);
    cluster.raft(2).disconnected(nodeId(3));
    stop();
    // Node 2 leads by the vote of 3, and the socket to it closes before it has acknowledged anything.
    const muffle = cluster.drop(({ kind, from }) => from === 3 && /^append|^heartbeat/.test(kind));
    cluster.tickUntil("node 2 leads", () => cluster.leader()?.id === 2);
    cluster.raft(2).disconnected(nodeId(3));
    cluster.settle();
    muffle();
    cluster.raft(2).connected(nodeId(3));
    cluster.tickUntil("node 3 is fed", () => cluster.raft(2).progress(nodeId(3))?.mode === "replicate", 60);
    expect(cluster.snapshotsWanted).toBe(0);
    cluster.commit("after");
  });

  test("a snapshot that is not wanted, because the follower has more: what follows on from it is sent", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    for (let count = 0; count < 5; count++) cluster.commit(`${count}`);
    cluster.tick(4);
    const progress = new Progress(nodeId(3), 3, 4, 1024);
    progress.awaitSnapshot();
    progress.snapshotEnded(0, 5);
    expect([progress.mode, progress.next, progress.paused]).toEqual(["probe", 6, true]);
    // One that is really behind says so, and waits for the next one.
    progress.heartbeatAnswered(9, false);
    expect(progress.refused(5, 2)).toBe(true);
    expect(progress.next).toBe(3);
  });

  test("an older snapshot that arrives late changes nothing", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.commit("a");
    const old = cluster.referee.metaAt(cluster.get(1).applied);
    cluster.commit("b");
    cluster.tick(4);
    const { applied } = cluster.get(3);
    const raft = cluster.raft(3);
    raft.step({ kind: "snapshot-request", from: nodeId(1), to: nodeId(3), term: raft.term, snapshot: old });
    cluster.settle();
    expect(cluster.get(3).applied).toBe(applied);
    expect(cluster.snapshotsInstalled).toBe(0);
  });

  test("a node killed between the new state and the new log goes on from the state", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.isolate(3);
    for (let count = 0; count < 5; count++) cluster.commit(`${count}`);
    cluster.get(1).appliedDurable = cluster.get(1).applied;
    cluster.compact(1);
    cluster.heal();
    cluster.get(3).diskStalled = true;
    cluster.tickUntil("the state is installed", () => cluster.snapshotsInstalled === 1, 100);
    cluster.crash(3);
    cluster.get(3).diskStalled = false;
    cluster.restart(cluster.get(3));
    expect(cluster.raft(3).baseIndex).toBe(index(cluster.get(3).applied));
    cluster.commit("after");
    cluster.tickUntil("node 3 is in step", () => cluster.get(3).applied === cluster.get(1).applied, 100);
  });
});

describe("damaged entries (D3)", () => {
  /** Node 3 has acknowledged everything, and loses the last entries of its log. */
  function damaged(): Cluster {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    for (const text of ["a", "b", "c"]) cluster.commit(text);
    cluster.tick(4);
    cluster.crash(3);
    cluster.get(3).store.damage(3);
    cluster.restart(cluster.get(3));
    return cluster;
  }

  test("the node does not ask for votes and gives its own to nobody who has less than it had", () => {
    const cluster = damaged();
    expect(cluster.raft(3).isRepairing).toBe(true);
    const { lastIndex } = cluster.raft(1);
    const request = (at: number): boolean | undefined => {
      const raft = cluster.raft(3);
      const envelope = { from: nodeId(2), to: nodeId(3), term: cluster.raft(1).term };
      const asked = { ...envelope, lastIndex: index(at), lastTerm: cluster.raft(1).term } as const;
      raft.step({ kind: "pre-vote-request", ...asked, term: (asked.term + 1) as never });
      const answer = raft.drain().messages.find((message) => message.kind === "pre-vote-response");
      return answer?.granted;
    };
    expect(request(lastIndex - 1)).toBe(false);
    expect(request(lastIndex)).toBe(true);
    cluster.isolate(3);
    cluster.tick(60, 3);
    expect(cluster.raft(3).role).toBe("follower");
  });

  test("its leader, who counted on the lost entries, sends them again, and it has a full voice then", () => {
    const cluster = damaged();
    cluster.tickUntil("repaired", () => !cluster.raft(3).isRepairing, 100);
    expect(cluster.get(3).store.repair).toBeUndefined();
    cluster.tickUntil("in step", () => cluster.get(3).applied === cluster.get(1).applied, 100);
  });

  test("an entry that a running leader cannot read any more: who lacks it gets a snapshot once the log begins after it", () => {
    const cluster = Cluster.of(3, { logWindowBytes: 100 });
    cluster.elect(1);
    cluster.isolate(3);
    for (let count = 0; count < 20; count++) cluster.commit(`${count}`);
    const leader = cluster.get(1);
    for (const at of [5, 7]) leader.store.unreadable.add(at);
    cluster.heal();
    cluster.tick(8);
    // What is whole before it was sent, and nothing is asked for over and over.
    expect(cluster.get(3).applied).toBe(4);
    expect(leader.raft.hasReady()).toBe(false);
    leader.appliedDurable = leader.applied;
    cluster.compact(1, 5);
    cluster.tickUntil("node 3 has a snapshot", () => cluster.snapshotsInstalled === 1, 100);
    cluster.tickUntil("node 3 is back", () => cluster.get(3).applied === leader.applied, 100);
    expect(cluster.get(3).commands()).toEqual(leader.commands());
  });

  test("an entry that could not be read and was never committed is forgotten with what comes in its place", () => {
    const cluster = Cluster.of(3);
    cluster.elect(1);
    cluster.commit("a");
    const first = cluster.get(1);
    cluster.isolate(1);
    for (let count = 0; count < 6; count++) cluster.propose(1, `lost ${count}`);
    cluster.settle();
    const unreadable = first.store.lastIndex - 2;
    cluster.crash(1);
    cluster.heal();
    const others = cluster.drop((message) => message.kind === "pre-vote-request" && message.from !== 1);
    cluster.noticeClosed(1);
    first.store.windowEntries = 0;
    first.store.unreadable.add(unreadable);
    cluster.restart(first);
    // It leads, and finds that it cannot read what the others lack.
    cluster.tickUntil("node 1 leads", () => cluster.leader()?.id === nodeId(1), 400);
    cluster.tick(4);
    others();
    expect(cluster.get(2).store.lastIndex).toBe(unreadable - 1);
    cluster.isolate(1);
    first.store.unreadable.clear(); // what is written in its place is whole
    cluster.tickUntil("another one leads", () => [2, 3].includes(cluster.leader()?.id ?? 1), 400);
    for (let count = 0; count < 6; count++) cluster.commit(`kept ${count}`);
    cluster.heal();
    cluster.tickUntil("node 1 is in step", () => first.applied === cluster.leader()!.applied, 400);
    expect(first.commands()).toEqual(cluster.get(2).commands());
    expect(first.commands()).toContain("kept 5");
  });

  test("an entry that cannot be read before it was applied stops apply there, and nothing else", () => {
    const cluster = Cluster.of(3, { logWindowBytes: 100 });
    cluster.elect(1);
    for (let count = 0; count < 20; count++) cluster.commit(`${count}`);
    const away = cluster.get(2);
    away.appliedDurable = 3;
    cluster.crash(2);
    away.store.unreadable.add(9);
    cluster.restart(away);
    cluster.tick(20);
    expect(away.applied).toBe(8);
    expect(away.raft.hasReady()).toBe(false);
    cluster.commit("more");
    cluster.tick(4);
    expect(away.raft.commit).toBe(cluster.raft(1).commit);
  });
});
