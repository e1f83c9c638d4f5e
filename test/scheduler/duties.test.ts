import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { jobsToExpire } from "../../src/scheduler/expire.ts";
import { lostNodes } from "../../src/scheduler/lost.ts";
import { type Member, planVoters, type VotersInput } from "../../src/scheduler/voters.ts";
import { listNodes } from "../../src/state/queries.ts";
import { admin, Cluster } from "../state/support.ts";

describe("lost nodes (J3)", () => {
  const at = (grants: Record<number, number>, electedAt: number, now: number, cluster = Cluster.of(3)): number[] => {
    const quietSince = new Map(Object.entries(grants).map(([node, time]) => [nodeId(Number(node)), time]));
    return lostNodes({ nodes: listNodes(cluster.database), quietSince, electedAt, now }).map((one) => one.node);
  };

  test("never earlier than 8 s after the last renewal", () => {
    const grants = { 1: 100_000, 2: 92_001, 3: 92_000 };
    expect(at(grants, 0, 99_999)).toEqual([]);
    expect(at(grants, 0, 100_000)).toEqual([3]);
    expect(at(grants, 0, 100_001)).toEqual([2, 3]);
  });

  test("a new leader waits 8 s from its election for those that it never heard", () => {
    expect(at({}, 50_000, 57_999)).toEqual([]);
    expect(at({ 1: 51_000, 2: 51_000 }, 50_000, 58_000)).toEqual([3]);
  });

  test("each is declared once, under the run that fell silent", () => {
    const cluster = Cluster.of(3);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(at({}, 0, 10_000, cluster)).toEqual([1, 3]);
    const [first] = lostNodes({ nodes: listNodes(cluster.database), quietSince: new Map(), electedAt: 0, now: 10_000 });
    expect(first).toEqual({ node: nodeId(1), incarnation: "i1" });
  });
});

describe("voters", () => {
  const member = (node: number, more: Partial<Member> = {}): Member => ({
    node: nodeId(node),
    state: "up",
    lag: 0,
    alive: true,
    staysLearner: false,
    ...more,
  });
  const plan = (voters: number[], learners: number[], members: Member[], wanted = 5): string => {
    const change = planVoters({
      configuration: { voters: voters.map(nodeId), learners: learners.map(nodeId) },
      members,
      wanted,
      self: nodeId(1),
    });
    return change === undefined ? "nothing" : `${change.kind} ${change.node}`;
  };

  test("a member replicates first", () => {
    expect(plan([1], [], [member(1), member(2)])).toBe("add-learner 2");
  });

  test("two members: one votes", () => {
    expect(plan([1], [2], [member(1), member(2)])).toBe("nothing");
  });

  test("a pair is promoted when both are ready, one after the other", () => {
    const [close, far] = [member(2), member(3, { lag: 101 })];
    expect(plan([1], [2, 3], [member(1), close, far])).toBe("nothing");
    expect(plan([1], [2, 3], [member(1), close, member(3, { lag: 100 })])).toBe("promote 2");
    expect(plan([1, 2], [3], [member(1), close, member(3)])).toBe("promote 3");
    expect(plan([1, 2, 3], [], [member(1), close, member(3)])).toBe("nothing");
  });

  test("a learner without a connection, a lease or work to do is not ready", () => {
    for (const bad of [{ lag: undefined }, { alive: false }, { state: "draining" } as const, { staysLearner: true }]) {
      expect(plan([1], [2, 3], [member(1), member(2), member(3, bad)])).toBe("nothing");
    }
  });

  test("an even number that no learner can make odd is reduced, the absent first and never this node", () => {
    expect(plan([1, 2], [], [member(1), member(2)])).toBe("demote 2");
    expect(plan([1, 2, 3, 4], [], [member(1), member(2), member(3, { alive: false }), member(4)])).toBe("demote 3");
  });

  test("not more than wanted; an even wish is the odd number below", () => {
    const members = [1, 2, 3, 4, 5].map((node) => member(node));
    expect(plan([1, 2, 3], [4, 5], members, 3)).toBe("nothing");
    expect(plan([1, 2, 3], [4, 5], members, 4)).toBe("nothing");
    expect(plan([1, 2, 3, 4, 5], [], members, 3)).toBe("demote 5");
  });

  test("who is no member any more goes", () => {
    expect(plan([1, 2, 3], [], [member(1), member(2)])).toBe("remove 3");
    expect(plan([1, 2], [], [member(1), member(2)])).toBe("demote 2");
  });

  test("a lost voter gives its place to a learner that is ready", () => {
    const members = [member(1), member(2), member(3, { state: "lost", alive: false, lag: undefined }), member(4)];
    expect(plan([1, 2, 3], [4], members)).toBe("demote 3");
    expect(plan([1, 2], [4, 3], members)).toBe("promote 4");
    expect(plan([1, 2, 4], [3], members)).toBe("nothing");
    expect(plan([1, 2, 3], [], members.slice(0, 3))).toBe("nothing");
  });

  test("a lost voter stays for as long as a learner can make the number odd", () => {
    const lost = member(2, { state: "lost", alive: false, lag: undefined });
    expect(plan([1, 2], [3], [member(1), lost, member(3)])).toBe("promote 3");
    expect(plan([1, 2, 3, 4], [], [member(1), lost, member(3, { state: "draining" }), member(4)])).toBe("demote 2");
  });

  test("a draining voter gives its place to a learner that is ready, and keeps it when there is none", () => {
    const members = [member(1), member(2), member(3, { state: "draining" }), member(4)];
    expect(plan([1, 2, 3], [4], members)).toBe("demote 3");
    expect(plan([1, 2], [4, 3], members)).toBe("promote 4");
    expect(plan([1, 2, 4], [3], members)).toBe("nothing");
    expect(plan([1, 2, 3], [], members.slice(0, 3))).toBe("nothing");
  });

  test("a leader that drains alone makes a voter to hand over to, waits, and is demoted by it", () => {
    const members = [member(1, { state: "draining" }), member(2)];
    for (const wanted of [1, 5]) {
      expect(plan([1], [2], members, wanted)).toBe("promote 2");
      expect(plan([1, 2], [], members, wanted)).toBe("nothing");
      const change = planVoters({
        configuration: { voters: [nodeId(1), nodeId(2)], learners: [] },
        members,
        wanted,
        self: nodeId(2),
      });
      expect(change).toEqual({ kind: "demote", node: nodeId(1) });
    }
    expect(plan([1], [2], [member(1, { state: "draining" }), member(2, { state: "draining" })])).toBe("nothing");
  });

  test("a leader that drains among voters makes no further one: there is one to hand over to", () => {
    const members = [member(1, { state: "draining" }), member(2), member(3), member(4)];
    expect(plan([1, 2, 3], [4], members, 3)).toBe("nothing");
    expect(
      plan([1, 2, 3], [4], [members[0]!, member(2, { alive: false }), member(3, { alive: false }), member(4)], 3),
    ).toBe("promote 4");
  });

  test("whoever is there, the steps come to rest, before and after a draining leader has handed over", () => {
    const other = fc.record({
      alive: fc.boolean(),
      lag: fc.constantFrom(0, 100, 101, undefined),
      state: fc.constantFrom("up" as const, "draining" as const, "lost" as const),
      votes: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(other, { maxLength: 7 }),
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        (others, wanted, draining) => {
          const members = [
            member(1, draining ? { state: "draining" } : {}),
            ...others.map(({ alive, lag, state }, at) => member(at + 2, { alive, lag, state })),
          ];
          const at = (node: NodeId): Member => members[node - 1]!;
          const serves = (node: NodeId): boolean => at(node).state === "up" && at(node).alive;
          const mayVote = (node: NodeId): boolean => serves(node) && (at(node).lag ?? Infinity) <= 100;
          let voters = [nodeId(1), ...others.flatMap(({ votes }, place) => (votes ? [nodeId(place + 2)] : []))];
          let learners: NodeId[] = [];
          let self = nodeId(1);
          let steps = 0;
          const rest = (): void => {
            const input = (): VotersInput => ({ configuration: { voters, learners }, members, wanted, self });
            for (let change = planVoters(input()); change !== undefined; change = planVoters(input())) {
              expect(++steps).toBeLessThan(50);
              const before = voters.filter(serves).length;
              const { kind, node } = change;
              voters = voters.filter((one) => one !== node);
              learners = learners.filter((one) => one !== node);
              if (kind === "promote") voters.push(node);
              else if (kind !== "remove") learners.push(node);
              expect(voters).toContain(self);
              if (before > 0) expect(voters.some(serves)).toBe(true);
            }
          };
          rest();
          expect(voters.length + learners.length).toBe(members.length);
          if (at(self).state === "draining") {
            const successor = voters.find(serves);
            if (successor === undefined) {
              expect(learners.some(mayVote)).toBe(false);
              return;
            }
            self = successor;
            rest();
          }
          expect(voters.length % 2).toBe(1);
          expect(voters.length).toBeLessThanOrEqual(wanted);
          if (learners.some(mayVote))
            expect(voters.every((node) => node === self || at(node).state === "up")).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("expiry", () => {
  test("names finished jobs whose time is over, in small steps", () => {
    const cluster = Cluster.of(1);
    cluster.must(
      "job.submit",
      { jobs: Array.from({ length: limits.expirePerEntry + 2 }, () => ({ run: "a", ttlMs: 1000 })) },
      admin,
    );
    cluster.must("job.cancel", { id: jobId(2) }, admin);
    expect(jobsToExpire(cluster.database, cluster.now + 999)).toEqual([]);
    expect(jobsToExpire(cluster.database, cluster.now + 1000)).toEqual([jobId(2)]);
    for (let id = 1; id <= limits.expirePerEntry + 2; id++)
      if (id !== 2) cluster.must("job.cancel", { id: jobId(id) }, admin);
    cluster.now += 1000;
    const jobs = jobsToExpire(cluster.database, cluster.now);
    expect(jobs).toHaveLength(limits.expirePerEntry);
    expect(cluster.must("job.expire", { jobs })).toEqual({ removed: limits.expirePerEntry });
    expect(jobsToExpire(cluster.database, cluster.now)).toHaveLength(2);
  });
});
