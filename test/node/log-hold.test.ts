import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { LogHold } from "../../src/node/log-hold.ts";

const [two, three] = [nodeId(2), nodeId(3)];

/** A log whose entries go up to `last`, and a clock that this test moves. */
function holdOf() {
  const world = { last: 1000, now: 0, reached: new Map([[two, 0]]) };
  const hold = new LogHold(
    { reached: (node) => world.reached.get(node) ?? 0, isClose: (index) => world.last - index <= 10 },
    () => world.now,
  );
  return { world, hold };
}

test("a snapshot on its way holds the log for as long as its sender says", () => {
  const { world, hold } = holdOf();
  hold.begin(two, 100);
  hold.begin(three, 200);
  world.now += 100 * limits.snapshotIdleMs;
  expect(hold.needed).toBe(100);
  hold.end(two);
  expect(hold.needed).toBe(200);
  hold.end(three);
  expect(hold.needed).toBe(Infinity);
});

test("who has it holds the log while it comes nearer, however long that takes", () => {
  const { world, hold } = holdOf();
  hold.arrived(two, 100);
  for (let at = 100; at < 980; at += 10) {
    world.reached.set(two, at);
    world.now += limits.snapshotIdleMs;
    expect(hold.needed).toBe(at);
  }
  world.reached.set(two, 990);
  expect(hold.needed).toBe(Infinity);
});

test("who has it and stands still, or went away, holds the log no longer", () => {
  const { world, hold } = holdOf();
  hold.arrived(two, 100);
  hold.arrived(three, 500);
  world.reached.set(three, 600);
  world.now += limits.snapshotIdleMs;
  expect(hold.needed).toBe(100);
  world.reached.delete(two);
  world.now += 1;
  expect(hold.needed).toBe(600);
  world.now += limits.snapshotIdleMs;
  expect(hold.needed).toBe(Infinity);
});

test("another snapshot for the same node takes the place of the one before", () => {
  const { world, hold } = holdOf();
  hold.arrived(two, 100);
  hold.begin(two, 300);
  world.now += 2 * limits.snapshotIdleMs;
  expect(hold.needed).toBe(300);
  hold.arrived(two, 300);
  expect(hold.needed).toBe(300);
});
