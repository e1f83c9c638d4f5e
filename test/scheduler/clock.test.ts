import { describe, expect, test } from "bun:test";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { clockDifferences, isClockOff, shouldYield } from "../../src/scheduler/clock.ts";

const tolerance = limits.clockToleranceMs;

/** Differences of nodes 1, 2, ... from the median, given their offsets from anything. */
function differences(...offsets: number[]): Map<NodeId, number> {
  return clockDifferences(new Map(offsets.map((offset, at) => [nodeId(at + 1), offset])));
}

function values(map: ReadonlyMap<NodeId, number>): number[] {
  return [...map.values()];
}

describe("a clock is judged by the median of all (J4)", () => {
  test("whoever reads the others', the same one is off", () => {
    expect(values(differences(0, -60_000, -60_001))).toEqual([60_000, 0, -1]);
    expect(values(differences(60_000, 0, -1))).toEqual([60_000, 0, -1]);
  });

  test("at the tolerance it is not off, past it it is, ahead or behind", () => {
    expect([tolerance, tolerance + 1, -tolerance, -tolerance - 1, undefined].map(isClockOff)).toEqual([
      false,
      true,
      false,
      true,
      false,
    ]);
  });

  test("of two that differ both are as far off: nobody can say which one is wrong", () => {
    expect(values(differences(0, 2 * tolerance))).toEqual([-tolerance, tolerance]);
    expect(values(differences(7))).toEqual([0]);
    expect(values(differences())).toEqual([]);
  });
});

describe("a leader whose clock is off lets another one lead", () => {
  const self = nodeId(1);

  test("when a voter is there whose clock is known to be right", () => {
    const off = differences(60_000, 0, 0);
    expect(shouldYield(self, off, [nodeId(2), nodeId(3)])).toBe(true);
    expect(shouldYield(self, off, [])).toBe(false);
    expect(shouldYield(self, off, [nodeId(4)])).toBe(false);
  });

  test("but not to one that is off as well, and not when its own is right", () => {
    expect(shouldYield(self, differences(60_000, -60_000, 0), [nodeId(2)])).toBe(false);
    expect(shouldYield(self, differences(0, 60_000, 0), [nodeId(2), nodeId(3)])).toBe(false);
    expect(shouldYield(self, differences(0, 60_000), [nodeId(2)])).toBe(false);
  });
});
