import { describe, expect, test } from "bun:test";
import { levelSettleMs, type LevelInput, type LevelWatch, planLevel } from "../../src/scheduler/level.ts";

/** Looks of one leader, one after the other; gives what it proposes at each. */
function looks(inputs: readonly Partial<LevelInput>[]): (number | undefined)[] {
  let watch: LevelWatch | undefined;
  return inputs.map((input) => {
    const plan = planLevel({ level: 1, understood: [2, 2, 2], held: false, before: watch, now: 0, ...input });
    watch = plan.watch;
    return plan.raiseTo;
  });
}

describe("the level rises (S2)", () => {
  test("when every member has understood it for a minute, and not before", () => {
    expect(looks([{ now: 5 }, { now: levelSettleMs + 4 }, { now: levelSettleMs + 5 }])).toEqual([
      undefined,
      undefined,
      2,
    ]);
  });

  test("not while one member, whatever its state, said last that it does not", () => {
    expect(looks([{}, { now: levelSettleMs, understood: [2, 1, 2] }])).toEqual([undefined, undefined]);
  });

  test("a member that goes back to the older version begins the minute anew", () => {
    const inputs = [
      {},
      { now: 9, understood: [2, 1] },
      { now: 10 },
      { now: levelSettleMs },
      { now: levelSettleMs + 10 },
    ];
    expect(looks(inputs)).toEqual([undefined, undefined, undefined, undefined, 2]);
  });

  test("not while it is held, and a whole minute after it is released", () => {
    const inputs = [
      { held: true },
      { held: true, now: levelSettleMs },
      { now: levelSettleMs + 1 },
      { now: 2 * levelSettleMs },
    ];
    expect(looks(inputs)).toEqual([undefined, undefined, undefined, undefined]);
    expect(looks([...inputs, { now: 2 * levelSettleMs + 1 }]).at(-1)).toBe(2);
  });

  test("to the lowest of all, and never falls", () => {
    const three = { understood: [3, 4, 5] };
    expect(looks([three, { ...three, now: levelSettleMs }])).toEqual([undefined, 3]);
    expect(
      looks([
        { level: 4, ...three },
        { level: 4, ...three, now: levelSettleMs },
      ]),
    ).toEqual([undefined, undefined]);
    expect(looks([{ understood: [] }, { understood: [], now: levelSettleMs }])).toEqual([undefined, undefined]);
  });
});
