import { describe, expect, test } from "bun:test";
import { AddressSpread } from "../../src/node/address-spread.ts";

/** With a timer that goes off when the test says so. */
function spreadOf(hasLeader: boolean) {
  const world = { hasLeader, told: 0, due: [] as (() => void)[] };
  const spread = new AddressSpread({
    hasLeader: () => world.hasLeader,
    tellAll: () => (world.told += 1),
    later: (action) => {
      world.due.push(action);
      return () => (world.due = world.due.filter((one) => one !== action));
    },
  });
  return { spread, world };
}

describe("what was learnt of addresses is told on", () => {
  test("at once, and each time, while nobody leads", () => {
    const { spread, world } = spreadOf(false);
    spread.learnt();
    spread.learnt();
    expect(world.told).toBe(2);
  });

  test("not where somebody leads: the log tells it", () => {
    const { spread, world } = spreadOf(true);
    spread.learnt();
    spread.learnt();
    expect(world.due.length).toBe(1);
    world.due.pop()!();
    expect(world.told).toBe(0);
  });

  test("later, when the leader that was believed in has gone meanwhile, and looked at again for what comes after", () => {
    const { spread, world } = spreadOf(true);
    spread.learnt();
    world.hasLeader = false;
    world.due.pop()!();
    expect(world.told).toBe(1);
    world.hasLeader = true;
    spread.learnt();
    expect(world.due.length).toBe(1);
  });

  test("no more by a node that stops", () => {
    const { spread, world } = spreadOf(true);
    spread.learnt();
    spread.stop();
    expect(world.due).toEqual([]);
  });
});
