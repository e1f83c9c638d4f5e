import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { Cluster } from "./cluster.ts";

/** A cluster of `voters` that grew by joins; node 1 leads. */
function grown(voters: number): Cluster {
  const cluster = Cluster.bootstrapped();
  cluster.raft(1).campaign();
  cluster.settle();
  for (let id = 2; id <= voters; id++) {
    cluster.addBlank(id);
    expect(cluster.change("add-learner", id).ok).toBe(true);
    cluster.tick(3);
    expect(cluster.change("promote", id).ok).toBe(true);
  }
  cluster.tick(3);
  return cluster;
}

const voters = (cluster: Cluster, id: number): number[] => [...cluster.raft(id).configuration.voters];

test("a cluster grows from one node by joins, and every node knows its members", () => {
  const cluster = grown(3);
  for (const id of [1, 2, 3]) expect(voters(cluster, id)).toEqual([1, 2, 3]);
  expect(cluster.get(3).configuration).toEqual(cluster.raft(3).configuration);
  cluster.crash(1);
  cluster.tickUntil("another leader", () => cluster.leader() !== undefined);
  cluster.commit("a");
});

test("a learner replicates and applies, and does not count", () => {
  const cluster = Cluster.bootstrapped();
  cluster.raft(1).campaign();
  cluster.settle();
  cluster.addBlank(2);
  cluster.change("add-learner", 2);
  cluster.tick(3);
  cluster.commit("a");
  expect(cluster.get(2).commands()).toEqual(["a"]);
  cluster.crash(2);
  cluster.commit("b");
});

test("a change holds from its append on, before it is committed", () => {
  const cluster = grown(3);
  cluster.isolate(1);
  const { configuration } = cluster.raft(1);
  expect(cluster.raft(1).proposeConfiguration({ kind: "add-learner", node: nodeId(4) }, configuration).ok).toBe(true);
  cluster.settle();
  expect(cluster.get(1).configuration?.learners).toEqual([nodeId(4)]);
  expect(cluster.raft(1).isChangePending).toBe(true);
});

test("a change that is overwritten is taken back", () => {
  const cluster = grown(3);
  cluster.isolate(1);
  cluster.change("remove", 2);
  expect(voters(cluster, 1)).toEqual([1, 3]);
  cluster.tickUntil("another leader", () => cluster.leader() !== undefined && cluster.leader()!.id !== 1);
  cluster.commit("a");
  cluster.heal();
  cluster.tick(10);
  expect(voters(cluster, 1)).toEqual([1, 2, 3]);
  expect(cluster.get(1).configuration?.voters).toEqual([1, 2, 3].map(nodeId));
  expect(cluster.get(1).commands()).toEqual(["a"]);
});

test("changes are refused while they could do harm", () => {
  const cluster = grown(3);
  const { raft } = cluster.get(1);
  const present = raft.configuration;
  const propose = (kind: "add-learner" | "promote" | "demote" | "remove", node: number, basedOn = present) =>
    raft.proposeConfiguration({ kind, node: nodeId(node) }, basedOn);
  expect(propose("add-learner", 2)).toEqual({ ok: false, why: "no-change" });
  expect(propose("remove", 9)).toEqual({ ok: false, why: "no-change" });
  expect(propose("promote", 9)).toEqual({ ok: false, why: "no-change" });
  expect(propose("add-learner", 4, { ...present, voters: [nodeId(1)] })).toEqual({
    ok: false,
    why: "stale-configuration",
  });
  const follower = cluster.raft(2);
  expect(follower.proposeConfiguration({ kind: "remove", node: nodeId(1) }, present)).toEqual({
    ok: false,
    why: "not-leader",
  });
  expect(propose("add-learner", 4).ok).toBe(true);
  expect(propose("add-learner", 5, raft.configuration)).toEqual({ ok: false, why: "change-pending" });

  const alone = Cluster.bootstrapped();
  alone.raft(1).campaign();
  alone.settle();
  expect(alone.change("remove", 1)).toEqual({ ok: false, why: "last-voter" });
  expect(alone.change("demote", 1)).toEqual({ ok: false, why: "last-voter" });
});

test("a leader changes nothing before it has committed in its own term (braft#182)", () => {
  const cluster = grown(4);
  cluster.cut(1, 4);
  cluster.cut(1, 3);
  cluster.cut(1, 2);
  // 1 begins a change alone; 2 becomes leader of the next term, but nothing that it sends is acknowledged.
  cluster.change("remove", 4);
  const heal = cluster.drop((message) => message.kind === "append-response");
  cluster.tickUntil("2, 3 or 4 leads", () => (cluster.leader()?.id ?? 1) !== 1);
  const leader = cluster.leader()!;
  expect(leader.raft.proposeConfiguration({ kind: "remove", node: nodeId(1) }, leader.raft.configuration)).toEqual({
    ok: false,
    why: "no-own-term-commit",
  });
  heal();
  cluster.tick(4);
  expect(cluster.change("remove", 1).ok).toBe(true);
});

test("a change that waits for voters who are gone is refused, one that those who are here can carry is taken", () => {
  const cluster = grown(5);
  const ask = (voters: readonly number[], learners: readonly number[]): string => {
    const proposed = cluster.replace(voters, learners);
    return proposed.ok ? "ok" : proposed.why;
  };
  cluster.crash(2);
  cluster.crash(3);
  cluster.raft(1).disconnected(nodeId(2));
  cluster.raft(1).disconnected(nodeId(3));
  expect(ask([1, 2, 3], [4, 5])).toBe("quorum-absent");
  expect(ask([2, 3, 4, 5], [1])).toBe("quorum-absent");
  expect(cluster.change("demote", 4).ok).toBe(false);
  expect(cluster.raft(1).isChangePending).toBe(false);
  expect(ask([1, 4, 5], [2, 3])).toBe("ok");
  expect(voters(cluster, 1)).toEqual([1, 4, 5]);
});

test("who is silent is gone after two checks of the quorum, who answers never is: a check forgets nobody", () => {
  const cluster = grown(5);
  const raft = cluster.raft(1);
  for (let tick = 0; tick < 60; tick++) {
    cluster.tick();
    for (const node of [2, 3, 4, 5])
      expect(raft.progress(nodeId(node))).toMatchObject({ isHeard: true, isSilent: false });
  }
  cluster.isolate(2);
  cluster.isolate(3);
  cluster.tickUntil("2 and 3 are gone", () => raft.progress(nodeId(2))?.isHeard === false, 400);
  expect([2, 3, 4, 5].map((node) => raft.progress(nodeId(node))?.isSilent)).toEqual([true, true, false, false]);
  expect(cluster.replace([1, 2, 3], [4, 5])).toEqual({ ok: false, why: "quorum-absent" });
  expect(raft.role).toBe("leader");
});

test("whoever has had no time yet to be heard is not called silent; a closed socket is, at once", () => {
  const cluster = grown(3);
  cluster.addBlank(4);
  cluster.isolate(4);
  const raft = cluster.raft(1);
  expect(cluster.change("add-learner", 4).ok).toBe(true);
  expect(raft.progress(nodeId(4))).toMatchObject({ isHeard: false, isSilent: false });
  raft.disconnected(nodeId(3));
  expect(raft.progress(nodeId(3))?.isSilent).toBe(true);
  cluster.tickUntil("4 was never heard", () => raft.progress(nodeId(4))?.isSilent === true, 400);
});

test("a learner is promoted only when it answers and is close", () => {
  const cluster = grown(1);
  for (let at = 0; at < 30; at++) cluster.commit(`c${at}`);
  cluster.addBlank(2);
  cluster.isolate(2);
  cluster.change("add-learner", 2);
  expect(cluster.change("promote", 2)).toEqual({ ok: false, why: "not-caught-up" });
  cluster.heal();
  cluster.tick(6);
  expect(cluster.change("promote", 2).ok).toBe(true);
});

test("a leader that removes itself does not count itself, commits the change, and hands over at once", () => {
  const cluster = grown(3);
  cluster.crash(3);
  const raft = cluster.raft(1);
  expect(raft.proposeConfiguration({ kind: "remove", node: nodeId(1) }, raft.configuration).ok).toBe(true);
  cluster.settle();
  // 2 and 3 are the voters now; without 3 nothing is committed, whatever 1 has.
  expect(raft.isChangePending).toBe(true);
  expect(raft.role).toBe("leader");
  cluster.restart(cluster.get(3));
  cluster.tick(3);
  expect(raft.role).toBe("follower");
  cluster.settle();
  expect([nodeId(2), nodeId(3)]).toContain(cluster.leader()!.id);
  cluster.commit("a");
  expect(cluster.get(1).commands()).toEqual([]);
  cluster.tick(100);
  expect(cluster.raft(1).role).toBe("follower");
});

test("a leader that demotes itself goes on as a learner", () => {
  const cluster = grown(3);
  expect(cluster.change("demote", 1).ok).toBe(true);
  cluster.tick(2);
  expect(cluster.leader()!.id).not.toBe(nodeId(1));
  cluster.commit("a");
  expect(cluster.get(1).commands()).toEqual(["a"]);
});

test("a removed follower hears of its removal", () => {
  const cluster = grown(3);
  cluster.change("remove", 3);
  expect(voters(cluster, 3)).toEqual([1, 2]);
  expect(cluster.raft(3).isChangePending).toBe(false);
  expect(cluster.raft(1).progress(nodeId(3))).toBeUndefined();
});

test("a removed node that does not know it disturbs nobody (hashicorp/raft#524)", () => {
  const cluster = grown(3);
  cluster.isolate(3);
  cluster.change("remove", 3);
  cluster.heal();
  const { term } = cluster.raft(1);
  cluster.tick(300);
  expect(cluster.raft(3).configuration.voters).toContain(nodeId(3));
  expect(cluster.raft(1).role).toBe("leader");
  expect(cluster.raft(1).term).toBe(term);
});

test("a node whose own removal is not committed may hold the only log that wins: it leads and completes the removal", () => {
  const cluster = grown(2);
  const raft = cluster.raft(1);
  // The entry reaches 1's disk only; by it 2 is the only voter, but 2 does not know that.
  const heal = cluster.drop((message) => message.to === 2);
  raft.proposeConfiguration({ kind: "remove", node: nodeId(1) }, raft.configuration);
  cluster.settle();
  cluster.crash(1);
  cluster.restart(cluster.get(1));
  heal();
  cluster.tickUntil("2 leads alone", () => cluster.raft(2).role === "leader" && voters(cluster, 2).length === 1, 400);
  cluster.commit("a");
});
