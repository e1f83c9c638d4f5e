import { describe, expect, test } from "bun:test";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { type Judgement, judgeHashes } from "../../src/scheduler/odd.ts";

const ids = (...numbers: number[]): NodeId[] => numbers.map(nodeId);

function judged(hashes: Record<number, string>, voters: number[], outgoing: number[] = []): Judgement {
  const given = new Map(Object.entries(hashes).map(([node, hash]) => [nodeId(Number(node)), hash]));
  return judgeHashes({ voters: ids(...voters), outgoing: ids(...outgoing), hashes: given });
}

describe("who is odd (S1)", () => {
  test.each([
    ["all agree", { 1: "a", 2: "a", 3: "a" }, [1, 2, 3], { kind: "agreed" }],
    ["one follower differs", { 1: "a", 2: "a", 3: "b" }, [1, 2, 3], { kind: "odd", hash: "a", nodes: ids(3) }],
    [
      "the asking leader is treated like any other",
      { 1: "b", 2: "a", 3: "a" },
      [1, 2, 3],
      { kind: "odd", hash: "a", nodes: ids(1) },
    ],
    ["a learner differs", { 1: "a", 2: "a", 3: "a", 7: "b" }, [1, 2, 3], { kind: "odd", hash: "a", nodes: ids(7) }],
    [
      "two of five differ, each otherwise",
      { 1: "a", 2: "b", 3: "a", 4: "c", 5: "a" },
      [1, 2, 3, 4, 5],
      { kind: "odd", hash: "a", nodes: ids(2, 4) },
    ],
    ["two voters", { 1: "a", 2: "b" }, [1, 2], { kind: "undecided", groups: [ids(1), ids(2)] }],
    ["three ways", { 1: "a", 2: "b", 3: "c" }, [1, 2, 3], { kind: "undecided", groups: [ids(1), ids(2), ids(3)] }],
    ["two of three answer", { 1: "a", 3: "b" }, [1, 2, 3], { kind: "undecided", groups: [ids(1), ids(3)] }],
    [
      "the silent count: two of five agree",
      { 1: "a", 2: "a", 3: "b" },
      [1, 2, 3, 4, 5],
      { kind: "undecided", groups: [ids(1, 2), ids(3)] },
    ],
    [
      "learners are no majority, however many",
      { 1: "a", 2: "b", 7: "b", 8: "b", 9: "b" },
      [1, 2],
      { kind: "undecided", groups: [ids(1), ids(2, 7, 8, 9)] },
    ],
    ["a voter alone is right", { 1: "a", 7: "b" }, [1], { kind: "odd", hash: "a", nodes: ids(7) }],
  ] as const)("%s", (_, hashes, voters, judgement) => {
    expect(judged(hashes, [...voters])).toEqual(judgement as Judgement);
  });

  test("while a change is joint, by a majority of both halves", () => {
    const hashes = { 1: "a", 2: "a", 3: "b", 4: "b" };
    expect(judged(hashes, [1, 2, 3], [1, 2, 4])).toEqual({ kind: "odd", hash: "a", nodes: ids(3, 4) });
    expect(judged(hashes, [1, 2, 3], [2, 3, 4]).kind).toBe("undecided");
  });

  test("nobody of a majority that agrees is ever odd, whoever else says what (random)", () => {
    const random = seededRandom(7);
    for (let round = 0; round < 2000; round++) {
      const voters = Array.from({ length: 1 + Math.floor(random() * 7) }, (_, at) => at + 1);
      const good = voters.slice(0, Math.floor(voters.length / 2) + 1);
      const hashes: Record<number, string> = {};
      for (const node of [...voters, 10, 11]) {
        if (good.includes(node)) hashes[node] = "right";
        else if (random() < 0.7) hashes[node] = `wrong ${Math.floor(random() * 3)}`;
      }
      const judgement = judged(hashes, voters);
      const wrong = Object.keys(hashes)
        .map(Number)
        .filter((node) => !good.includes(node));
      expect(judgement).toEqual(
        wrong.length === 0 ? { kind: "agreed" } : { kind: "odd", hash: "right", nodes: ids(...wrong) },
      );
    }
  });
});
