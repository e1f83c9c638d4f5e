import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type Member, planVoters, type VoterChange } from "../../src/scheduler/voters.ts";

const stable = limits.promoteStableMs;
const dead = { quietMs: limits.replaceVoterMs, closeMs: undefined, isHere: false } as const;
/** Its socket has just closed. */
const away = { closeMs: undefined, isHere: false } as const;

function member(node: number, more: Partial<Member> = {}): Member {
  return {
    node: nodeId(node),
    state: "up",
    quietMs: 0,
    isHere: true,
    closeMs: stable,
    staysLearner: false,
    wish: undefined,
    zone: undefined,
    ...more,
  };
}

function change(voters: readonly number[], learners: readonly number[], members: readonly Member[], wanted = 5) {
  const configuration = { voters: voters.map(nodeId), outgoing: [], learners: learners.map(nodeId) };
  return planVoters({ configuration, members, wanted, self: nodeId(1) });
}

/** "1,2|3": the voters and learners that the plan asks for. */
function plan(voters: readonly number[], learners: readonly number[], members: readonly Member[], wanted = 5): string {
  const wish = change(voters, learners, members, wanted);
  return wish === undefined ? "nothing" : `${wish.voters.join(",")}|${wish.learners.join(",")}`;
}

const members = (...nodes: readonly number[]): Member[] => nodes.map((node) => member(node));

describe("who is a member", () => {
  test("a new member replicates first, a former one goes", () => {
    expect(plan([1], [], members(1, 2))).toBe("1|2");
    expect(plan([1], [2], members(1))).toBe("1|");
  });

  test("two members: one votes", () => {
    expect(plan([1], [2], members(1, 2))).toBe("nothing");
    expect(plan([1, 2], [], members(1, 2))).toBe("1|2");
  });

  test("a removed voter is replaced in the same change", () => {
    expect(plan([1, 2, 3], [4], members(1, 2, 4))).toBe("1,2,4|");
  });

  test("a removed leader is replaced like another", () => {
    expect(plan([1, 2, 3], [4], members(2, 3, 4))).toBe("2,3,4|");
  });

  test("while a change is under way nothing is planned", () => {
    const configuration = { voters: [nodeId(1)], outgoing: [nodeId(1), nodeId(2)], learners: [] };
    expect(planVoters({ configuration, members: members(1), wanted: 5, self: nodeId(1) })).toBeUndefined();
  });
});

describe("promotion", () => {
  test("a pair is promoted in one change, when both are ready", () => {
    const far = member(3, { closeMs: undefined });
    expect(plan([1], [2, 3], [member(1), member(2), far])).toBe("nothing");
    expect(plan([1], [2, 3], members(1, 2, 3))).toBe("1,2,3|");
    expect(plan([1], [2, 3, 4, 5], members(1, 2, 3, 4, 5))).toBe("1,2,3,4,5|");
  });

  test("a learner that is not close for long enough, silent, draining or to stay one is not ready", () => {
    for (const bad of [
      { closeMs: stable - 1 },
      { quietMs: 1 },
      { isHere: false },
      { state: "draining" } as const,
      { state: "lost" } as const,
      { staysLearner: true },
      { wish: "learner" } as const,
    ]) {
      expect(plan([1], [2, 3], [member(1), member(2), member(3, bad)])).toBe("nothing");
    }
  });

  test("not more than wanted; an even wish is the odd number below", () => {
    expect(plan([1, 2, 3], [4, 5], members(1, 2, 3, 4, 5), 3)).toBe("nothing");
    expect(plan([1, 2, 3], [4, 5], members(1, 2, 3, 4, 5), 4)).toBe("nothing");
    expect(plan([1, 2, 3, 4, 5], [], members(1, 2, 3, 4, 5), 3)).toBe("1,2,3|4,5");
  });

  test("a person's wish decides who votes, not how many", () => {
    const wished = [...members(1, 2, 3), member(4, { wish: "voter" })];
    expect(plan([1, 2, 3], [4], wished, 3)).toBe("1,2,4|3");
    const unwished = [member(1), member(2), member(3, { wish: "learner" }), member(4)];
    expect(plan([1, 2, 3], [4], unwished)).toBe("1,2,4|3");
  });
});

describe("replacement", () => {
  test("a dead voter gives its place to a ready learner, in one change, and keeps it when there is none", () => {
    expect(plan([1, 2, 3], [4], [member(1), member(2), member(3, dead), member(4)])).toBe("1,2,4|3");
    expect(plan([1, 2, 3], [], [member(1), member(2), member(3, dead)])).toBe("nothing");
  });

  test("one that was silent for less than that keeps its place", () => {
    const quiet = member(3, { quietMs: limits.replaceVoterMs - 1, closeMs: undefined });
    expect(plan([1, 2, 3], [4], [member(1), member(2), quiet, member(4)])).toBe("nothing");
  });

  test("five voters of which two are dead become three, which bear one more failure; with one dead they stay five", () => {
    expect(plan([1, 2, 3, 4, 5], [], [...members(1, 2, 3), member(4, dead), member(5, dead)])).toBe("1,2,3|4,5");
    expect(plan([1, 2, 3, 4, 5], [], [...members(1, 2, 3, 4), member(5, dead)])).toBe("nothing");
  });

  test("a draining voter gives its place to a ready learner, and keeps it when there is none", () => {
    const draining = member(3, { state: "draining" });
    expect(plan([1, 2, 3], [4], [member(1), member(2), draining, member(4)])).toBe("1,2,4|3");
    expect(plan([1, 2, 3], [], [member(1), member(2), draining])).toBe("nothing");
  });

  test("a leader that drains is replaced, also as the only voter", () => {
    const draining = member(1, { state: "draining" });
    expect(plan([1], [2], [draining, member(2)])).toBe("2|1");
    expect(plan([1, 2, 3], [4], [draining, ...members(2, 3, 4)], 3)).toBe("2,3,4|1");
    expect(plan([1], [2], [draining, member(2, { state: "draining" })])).toBe("nothing");
  });

  test("a demoted voter gives its place to a ready learner, and keeps it when there is none", () => {
    for (const unwilling of [{ wish: "learner" }, { staysLearner: true }] as const) {
      const demoted = member(2, unwilling);
      expect(plan([1, 2, 3], [4], [member(1), demoted, member(3), member(4)])).toBe("1,3,4|2");
      expect(plan([1, 2, 3], [], [member(1), demoted, member(3)])).toBe("nothing");
      expect(plan([1, 2, 3], [4], [member(1), demoted, member(3), member(4, { closeMs: undefined })])).toBe("nothing");
      expect(plan([1, 2, 3, 4, 5], [], [member(1), demoted, ...members(3, 4, 5)])).toBe("nothing");
      expect(plan([1, 2, 3, 4, 5], [], [member(1), demoted, ...members(3, 4, 5)], 3)).toBe("1,3,4|2,5");
      expect(plan([1, 2, 3, 4], [], [member(1), demoted, ...members(3, 4)])).toBe("1,3,4|2");
      expect(plan([1], [2], [member(1, unwilling), member(2)])).toBe("2|1");
      const draining = member(3, { state: "draining" });
      expect(plan([1, 2, 3], [4], [member(1), demoted, draining, member(4)])).toBe("1,2,4|3");
    }
  });

  test("voters that everybody wants to go stay while nobody else may vote", () => {
    expect(plan([1], [], [member(1, { wish: "learner" })])).toBe("nothing");
  });
});

describe("voters that have just gone away", () => {
  test("keep their place, for all that one observation says", () => {
    expect(plan([1, 2, 3], [4], [member(1), member(2), member(3, away), member(4)])).toBe("nothing");
    expect(plan([1, 2, 3], [4, 5], [member(1), member(2, away), member(3, dead), member(4), member(5)], 3)).toBe(
      "1,2,4|3,5",
    );
  });

  test("go before those that are here, where fewer are to vote: no change waits for most of its voters", () => {
    const members = [member(1), member(2, away), member(3, away), member(4), member(5)];
    expect(plan([1, 2, 3, 4, 5], [], members, 3)).toBe("1,4,5|2,3");
    const wished = [member(1), member(2, { ...away, wish: "voter" }), member(3, away), member(4), member(5)];
    expect(plan([1, 2, 3, 4, 5], [], wished, 3)).toBe("1,4,5|2,3");
    const [one, two, three, , five] = members;
    expect(plan([1, 2, 3, 4, 5], [], [one!, two!, three!, five!], 5)).toBe("1,2,5|3");
    expect(plan([1, 2, 3, 4, 5], [], [one!, two!, three!, member(4, { wish: "learner" }), five!], 3)).toBe("1,2,5|3,4");
  });

  test("are waited for when nobody else may vote", () => {
    const members = [member(1), member(2, away), member(3, away), member(4, { wish: "learner" }), member(5)];
    expect(plan([1, 2, 3, 4], [5], members.slice(0, 4), 3)).toBe("1,2,3,4|");
    expect(plan([1, 2, 3, 4], [], members.slice(0, 3), 3)).toBe("nothing");
  });
});

describe("zones", () => {
  const zoned = (...zones: readonly string[]): Member[] => zones.map((zone, at) => member(at + 1, { zone }));

  test("voters are spread over them", () => {
    expect(plan([1], [2, 3, 4], zoned("a", "a", "b", "c"), 3)).toBe("1,3,4|2");
    expect(plan([1, 2, 3], [4], zoned("a", "a", "b", "c"), 3)).toBe("1,3,4|2");
  });

  test("what is spread already stays as it is", () => {
    expect(plan([1, 3, 4], [2], zoned("a", "a", "b", "c"), 3)).toBe("nothing");
    expect(plan([1, 2, 3], [4], zoned("a", "a", "b", "b"), 3)).toBe("nothing");
  });
});

test("whoever is there: one change leads to rest, odd, bearing no fewer failures, with every member in one place", () => {
  const any = fc.record({
    state: fc.constantFrom("up" as const, "draining" as const, "lost" as const),
    quietMs: fc.constantFrom(0, 5000, limits.replaceVoterMs),
    closeMs: fc.constantFrom(undefined, 0, stable),
    zone: fc.constantFrom(undefined, "a", "b", "c"),
    wish: fc.constantFrom(undefined, undefined, undefined, "voter" as const, "learner" as const),
    votes: fc.boolean(),
    isHere: fc.constantFrom(true, true, false),
    staysLearner: fc.constantFrom(false, false, false, true),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 9 }), fc.integer({ min: 1, max: 9 }), (others, wanted) => {
      const all = [member(1), ...others.map((other, at) => member(at + 2, other))];
      const voters = [1, ...others.flatMap(({ votes }, at) => (votes ? [at + 2] : []))];
      const learners = all.map(({ node }) => node as number).filter((node) => !voters.includes(node));
      const next: VoterChange = change(voters, learners, all, wanted) ?? {
        kind: "replace",
        voters: voters.map(nodeId),
        learners: learners.map(nodeId),
      };
      const lives = (node: NodeId): boolean => all[node - 1]!.quietMs < limits.replaceVoterMs;
      const borne = (nodes: readonly NodeId[]): number =>
        nodes.filter(lives).length - (Math.floor(nodes.length / 2) + 1);
      const isHere = (node: NodeId): boolean => all[node - 1]!.isHere;
      const waits = next.voters.join() === voters.join();
      // Most of those that would vote are away: it stays as it is until they are dead or back.
      if (!waits) expect(next.voters.filter(isHere).length * 2).toBeGreaterThan(next.voters.length);
      if (waits && !all.every((one) => one.isHere)) return;
      expect(next.voters.length % 2).toBe(1);
      expect(next.voters.length).toBeLessThanOrEqual(wanted);
      expect(next.voters).toContain(nodeId(1));
      expect([...next.voters, ...next.learners].toSorted((a, b) => a - b)).toEqual(all.map(({ node }) => node));
      const odd = voters.length % 2 === 1 && voters.length <= wanted;
      if (odd) expect(borne(next.voters)).toBeGreaterThanOrEqual(borne(voters.map(nodeId)));
      expect(change(next.voters, next.learners, all, wanted)).toBeUndefined();
    }),
    { numRuns: 2000 },
  );
});
