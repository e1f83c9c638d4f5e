import { describe, expect, test } from "bun:test";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { liveMembers, ownerOf, Owners } from "../../src/scheduler/owners.ts";

const schedules = 10_000;
const ids = (count: number, first = 1, step = 1): number[] =>
  Array.from({ length: count }, (_, at) => first + step * at);
const nodes = (...members: readonly number[]): NodeId[] => members.map(nodeId);
/** As the log gives them: from 1 on, and with gaps where members were removed or wiped and came again. */
const lists = (count: number): NodeId[][] => [
  ids(count).map(nodeId),
  ids(count, 4).map(nodeId),
  ids(count, 2, 3).map(nodeId),
  [...ids(count - 1), 57].map(nodeId),
];

function mapOf(members: readonly NodeId[], of: readonly number[]): (NodeId | undefined)[] {
  const owners = new Owners(members);
  return of.map((id) => owners.of(id));
}

describe("who owns which schedule", () => {
  test.each([3, 4, 5, 6, 7, 8, 9, 10])("%i members have about as many each", (count) => {
    for (const members of lists(count)) {
      for (const of of [ids(schedules), ids(schedules, 20_001), ids(schedules, 7, 60)]) {
        const counts = new Map<NodeId, number>();
        for (const owner of mapOf(members, of)) counts.set(owner!, (counts.get(owner!) ?? 0) + 1);
        const worst = Math.max(...counts.values()) / (schedules / count);
        expect({ members, first: of[0], isEven: worst <= 1.08, worst }).toMatchObject({ isEven: true });
      }
    }
  });

  test.each([
    ["3 -> 4", nodes(1, 2, 3), nodes(1, 2, 3, 4), 1 / 4],
    ["3 -> 6", nodes(1, 2, 3), nodes(1, 2, 3, 4, 5, 6), 1 / 2],
    ["6 -> 3", nodes(1, 2, 3, 4, 5, 6), nodes(1, 2, 3), 1 / 2],
    ["6 -> 3, others stay", nodes(1, 2, 3, 4, 5, 6), nodes(2, 4, 6), 1 / 2],
    ["5 -> 6, after gaps", nodes(2, 5, 9, 14, 15), nodes(2, 5, 9, 14, 15, 21), 1 / 6],
  ])("%s: as many move as must, none of them between two that stay, and all go back", (_, before, after, ideal) => {
    const keys = ids(schedules);
    const [from, to] = [mapOf(before, keys), mapOf(after, keys)];
    const moved = keys.map((_key, at) => at).filter((at) => from[at] !== to[at]);
    expect(Math.abs(moved.length / schedules - ideal)).toBeLessThan(0.02);
    expect(moved.filter((at) => after.includes(from[at]!) && before.includes(to[at]!))).toEqual([]);
    expect(mapOf(before, keys)).toEqual(from);
  });

  test("one by one is as at once, and the order of the list decides nothing", () => {
    const keys = ids(1_000);
    const members = nodes(3, 1, 8, 5);
    expect(keys.map((key) => ownerOf(key, members))).toEqual(mapOf(members.toReversed(), keys));
  });

  // All members must come to the same, also those of other releases: a change of these is a change of the map on the day of an upgrade.
  test("is what it was in every release", () => {
    expect(mapOf(nodes(1, 2, 3), ids(12))).toEqual(nodes(3, 3, 1, 1, 3, 1, 1, 2, 3, 3, 3, 3));
    expect(mapOf(nodes(1, 2, 3, 4, 5, 6), ids(12))).toEqual(nodes(3, 3, 1, 5, 5, 1, 1, 2, 3, 4, 3, 6));
    expect(mapOf(nodes(7, 9), [2 ** 32 + 1, 2 ** 32 + 2, 2 ** 53 - 1])).toEqual(nodes(9, 7, 9));
  });

  test("nobody owns anything where nobody is", () => {
    expect(new Owners([]).of(1)).toBeUndefined();
    expect(ownerOf(1, nodes(4))).toBe(nodeId(4));
  });
});

describe("members that work out schedules", () => {
  const member = (id: number, state: "up" | "draining" | "lost", quarantine?: number) => ({
    id: nodeId(id),
    state,
    quarantine,
  });

  test("are those that are up with a state that is right", () => {
    const list = [member(1, "up"), member(2, "draining"), member(3, "lost"), member(4, "up", 77), member(5, "up")];
    expect(liveMembers(list)).toEqual(nodes(1, 5));
  });

  test("where nobody is that, whoever is there", () => {
    expect(liveMembers([member(1, "up", 9), member(2, "draining"), member(3, "lost")])).toEqual(nodes(1));
    expect(liveMembers([member(1, "draining"), member(3, "lost")])).toEqual(nodes(1));
    expect(liveMembers([member(3, "lost")])).toEqual([]);
  });
});
