import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { everything, majorityReached, quorumReached, quorumVote } from "../../src/raft/quorum.ts";

const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 9 }).map(nodeId), { maxLength: 7 });
const reached = fc.dictionary(
  fc.integer({ min: 1, max: 9 }).map(String),
  fc.oneof(fc.integer({ min: 0, max: 5 }), fc.nat()),
);
const votes = fc.dictionary(fc.integer({ min: 1, max: 9 }).map(String), fc.boolean());

/** The definition: the highest value for which the nodes that reached it are more than half. */
function naiveMajority(voters: readonly NodeId[], at: (node: NodeId) => number): number {
  if (voters.length === 0) return everything;
  let best = 0;
  for (const candidate of voters.map(at)) {
    if (voters.filter((node) => at(node) >= candidate).length * 2 > voters.length) best = Math.max(best, candidate);
  }
  return best;
}

function naiveVote(voters: readonly NodeId[], given: Record<string, boolean>): "won" | "lost" | "pending" {
  const wins = (open: boolean): boolean =>
    voters.length === 0 || voters.filter((node) => given[node] ?? open).length * 2 > voters.length;
  return wins(false) ? "won" : wins(true) ? "pending" : "lost";
}

test("what a quorum has reached, plain and joint, is what the definition says", () => {
  fc.assert(
    fc.property(nodes, nodes, reached, (voters, outgoing, values) => {
      const at = (node: NodeId): number => values[node] ?? 0;
      const source = { reached: at };
      expect(majorityReached(voters, source)).toBe(naiveMajority(voters, at));
      const joint = quorumReached({ voters, outgoing, learners: [], learnersNext: [] }, source);
      expect(joint).toBe(Math.min(naiveMajority(voters, at), naiveMajority(outgoing, at)));
    }),
  );
});

test("a vote is won when it cannot be lost any more, lost when it cannot be won, and pending between", () => {
  fc.assert(
    fc.property(nodes, nodes, votes, (voters, outgoing, given) => {
      const map = new Map(Object.entries(given).map(([node, vote]) => [nodeId(Number(node)), vote]));
      const halves = [naiveVote(voters, given), naiveVote(outgoing, given)];
      const expected = halves.includes("lost") ? "lost" : halves.includes("pending") ? "pending" : "won";
      expect(quorumVote({ voters, outgoing, learners: [], learnersNext: [] }, map, new Set())).toBe(expected);
    }),
  );
});

test("a voter that is absent and has not answered is one that said no, in either half", () => {
  fc.assert(
    fc.property(nodes, nodes, votes, nodes, (voters, outgoing, given, absent) => {
      const map = new Map(Object.entries(given).map(([node, vote]) => [nodeId(Number(node)), vote]));
      const all = { ...Object.fromEntries(absent.map((node) => [node, false])), ...given };
      const halves = [naiveVote(voters, all), naiveVote(outgoing, all)];
      const expected = halves.includes("lost") ? "lost" : halves.includes("pending") ? "pending" : "won";
      const configuration = { voters, outgoing, learners: [], learnersNext: [] };
      expect(quorumVote(configuration, map, new Set(absent))).toBe(expected);
    }),
  );
});

test("nothing is expected of absent voters, but a vote that they gave counts", () => {
  const configuration = { voters: [1, 2, 3].map(nodeId), outgoing: [], learners: [], learnersNext: [] };
  const [one, two, three] = configuration.voters as [NodeId, NodeId, NodeId];
  const split = new Map([
    [one, true],
    [two, false],
  ]);
  expect(quorumVote(configuration, split, new Set())).toBe("pending");
  expect(quorumVote(configuration, split, new Set([three]))).toBe("lost");
  expect(
    quorumVote(
      configuration,
      new Map([
        [one, true],
        [three, true],
      ]),
      new Set([three]),
    ),
  ).toBe("won");
});
