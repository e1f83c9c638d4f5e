import { describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { idealMoved, maxOverMean, OwnerMoves } from "../../src/scheduler/owner-moves.ts";
import { Owners } from "../../src/scheduler/owners.ts";

const ids = Array.from({ length: 10_000 }, (_, at) => at + 1);
const nodes = (...members: readonly number[]): NodeId[] => members.map(nodeId);

describe("what a change of the members moves", () => {
  test("goes to whoever joins, as many from each, and back when they leave", () => {
    const [three, four] = [new Owners(nodes(1, 2, 3)), new Owners(nodes(1, 2, 3, 4))];
    const there = new OwnerMoves(three, four).add(ids);
    expect(there.schedules).toBe(10_000);
    expect(there.pairs.map(([, to]) => to)).toEqual(nodes(4, 4, 4));
    expect(there.moved).toBe(there.willOwn.get(nodeId(4))!);
    expect(there.needless).toBe(0);
    const back = new OwnerMoves(four, three).add(ids);
    expect(back.moved).toBe(there.moved);
    expect(back.willOwn).toEqual(there.owned);
  });

  test("by a rule that knows no better is told as needless", () => {
    const modulo = (members: readonly NodeId[]) => ({ members, of: (id: number) => members[id % members.length] });
    const moves = new OwnerMoves(modulo(nodes(1, 2, 3)), modulo(nodes(1, 2, 3, 4))).add([
      ...ids,
      ...ids.slice(0, 2_000).map((id) => id + 10_000),
    ]);
    expect(moves.moved).toBe(9_000);
    expect(moves.needless).toBe(6_000);
  });

  test("is nothing but a beginning where nobody was there, and an end where nobody stays", () => {
    const [none, one] = [new Owners([]), new Owners(nodes(1))];
    expect(new OwnerMoves(none, one).add(ids)).toMatchObject({ moved: 10_000, pairs: [], needless: 0 });
    expect(new OwnerMoves(one, none).add(ids)).toMatchObject({ moved: 10_000, pairs: [] });
  });
});

test.each([
  [[1, 2, 3], [1, 2, 3, 4], 1 / 4],
  [[1, 2, 3], [1, 2, 3, 4, 5, 6], 1 / 2],
  [[1, 2, 3, 4, 5, 6], [1, 2, 3], 1 / 2],
  [[1, 2, 3], [1, 2, 4], 1 / 3],
  [[1, 2, 3], [1, 2, 3], 0],
  [[], [1], 1],
  [[1], [], 1],
  [[], [], 0],
])("of %p to %p no less than %p can move", (before, after, share) => {
  expect(idealMoved(nodes(...before), nodes(...after))).toBeCloseTo(share, 10);
});

test("how uneven a spread is", () => {
  expect(maxOverMean([10, 10, 10])).toBe(1);
  expect(maxOverMean([15, 10, 5])).toBe(1.5);
  expect(maxOverMean([0, 0])).toBeNull();
  expect(maxOverMean([])).toBeNull();
});
