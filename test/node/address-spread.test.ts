import { describe, expect, test } from "bun:test";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { AddressSpread } from "../../src/node/address-spread.ts";

const [one, other] = [nodeId(1), nodeId(2)];

/** With a timer that goes off when the test says so. Both members are met; `silent` ones do not answer. */
function spreadOf(hasLeader: boolean) {
  const world = {
    hasLeader,
    met: [one, other],
    silent: new Set<NodeId>(),
    told: [] as NodeId[],
    due: [] as (() => void)[],
    /** Lets what was asked be answered, then the timers go off. */
    async passes() {
      await Promise.resolve();
      for (const action of world.due.splice(0)) action();
      await Promise.resolve();
    },
  };
  const spread = new AddressSpread({
    hasLeader: () => world.hasLeader,
    met: () => world.met,
    exchange: (peer) => {
      world.told.push(peer);
      return Promise.resolve(!world.silent.has(peer));
    },
    later: (action) => {
      world.due.push(action);
      return () => (world.due = world.due.filter((each) => each !== action));
    },
  });
  return { spread, world };
}

describe("what was learnt of addresses is told on", () => {
  test("at once, and each time, while nobody leads", () => {
    const { spread, world } = spreadOf(false);
    spread.learnt();
    spread.learnt();
    expect(world.told).toEqual([one, other, one, other]);
  });

  test("not where somebody leads: the log tells it", () => {
    const { spread, world } = spreadOf(true);
    spread.learnt();
    spread.learnt();
    expect(world.due.length).toBe(1);
    world.due.pop()!();
    expect(world.told).toEqual([]);
  });

  test("later, when the leader that was believed in has gone meanwhile, and looked at again for what comes after", () => {
    const { spread, world } = spreadOf(true);
    spread.learnt();
    world.hasLeader = false;
    world.due.pop()!();
    expect(world.told).toEqual([one, other]);
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

describe("books are exchanged at each contact", () => {
  test("until the member has answered", async () => {
    const { spread, world } = spreadOf(true);
    world.silent.add(one);
    spread.meets(one);
    spread.meets(other);
    await world.passes();
    expect(world.told).toEqual([one, other, one]);
    world.silent.clear();
    await world.passes();
    await world.passes();
    expect(world.told).toEqual([one, other, one, one]);
  });

  test("no more with a member that is gone: it is met anew or not at all", async () => {
    const { spread, world } = spreadOf(true);
    world.silent.add(one);
    spread.meets(one);
    await Promise.resolve();
    world.met = [other];
    await world.passes();
    expect([world.told, world.due]).toEqual([[one], []]);
  });

  test("no more by a node that stops, also when it stops while it waits for the answer", async () => {
    const { spread, world } = spreadOf(true);
    world.silent.add(one).add(other);
    spread.meets(one);
    await Promise.resolve();
    spread.meets(other);
    spread.stop();
    await Promise.resolve();
    expect(world.due).toEqual([]);
    await world.passes();
    expect(world.told).toEqual([one, other]);
  });
});
