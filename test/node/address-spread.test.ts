import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import type { KnownAddress } from "../../src/node/address-book.ts";
import { AddressSpread } from "../../src/node/address-spread.ts";

const [one, other] = [nodeId(1), nodeId(2)];

/** Lets what was asked be answered. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

/** With a timer that goes off when the test says so. Both members are met; `silent` ones do not answer. */
function spreadOf(hasLeader: boolean) {
  const world = {
    hasLeader,
    met: [one, other],
    silent: new Set<NodeId>(),
    /** What it answers to everybody. */
    answer: [] as unknown,
    told: [] as NodeId[],
    learnt: [] as KnownAddress[],
    due: [] as (() => void)[],
    waits: [] as number[],
    /** Lets what was asked be answered, then the timers go off. */
    async passes() {
      await turns();
      for (const action of world.due.splice(0)) action();
      await turns();
    },
  };
  const spread = new AddressSpread({
    hasLeader: () => world.hasLeader,
    met: () => world.met,
    exchange: (peer) => {
      world.told.push(peer);
      if (world.silent.has(peer)) return Promise.reject(new Fault("peer-unreachable", "it cannot be reached", "safe"));
      return world.answer instanceof Error ? Promise.reject(world.answer) : Promise.resolve(world.answer);
    },
    learn: (addresses) => world.learnt.push(...addresses),
    later: (action, ms) => {
      world.waits.push(ms);
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
    await turns();
    world.met = [other];
    await world.passes();
    expect([world.told, world.due]).toEqual([[one], []]);
  });

  test("no more by a node that stops, also when it stops while it waits for the answer", async () => {
    const { spread, world } = spreadOf(true);
    world.silent.add(one).add(other);
    spread.meets(one);
    spread.meets(one);
    await turns();
    spread.meets(other);
    spread.stop();
    await turns();
    expect(world.due).toEqual([]);
    await world.passes();
    expect(world.told).toEqual([one, one, other]);
  });

  test("ever more seldom while there is no answer, and at once again at the next contact", async () => {
    const { spread, world } = spreadOf(true);
    world.silent.add(one);
    spread.meets(one);
    for (let round = 0; round < 6; round++) await world.passes();
    expect(world.waits).toEqual([500, 1000, 2000, 4000, 8000, 8000, 8000]);
    spread.meets(one); // while the long wait is on
    await turns();
    expect([world.waits.at(-1), world.due.length]).toEqual([500, 1]);
  });

  test("with what it answers; what is no book, or a refusal for good, is an answer too", async () => {
    const { spread, world } = spreadOf(true);
    const at = { node: other, address: "a:1", starts: 1 };
    world.answer = [at];
    spread.meets(one);
    await turns();
    for (const answer of [null, [{ node: 0 }], new Fault("peer-refused", "it cannot be read", "never")]) {
      world.answer = answer;
      spread.meets(one);
      await turns();
    }
    expect([world.learnt, world.due]).toEqual([[at], []]);
    world.answer = new Fault("peer-refused", "something went wrong", "unknown");
    spread.meets(one);
    await turns();
    expect(world.due).toHaveLength(1);
  });
});
