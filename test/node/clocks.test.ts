import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { Clocks } from "../../src/node/clocks.ts";

const [one, two, three] = [nodeId(1), nodeId(2), nodeId(3)];

/** Node 1 leads and hears each of the others say this, `times` times. */
function leader(said: Readonly<Record<number, readonly unknown[]>>): Clocks {
  const clocks = new Clocks(one);
  clocks.lead(true);
  for (const [node, readings] of Object.entries(said))
    for (const reading of readings) clocks.heard(nodeId(Number(node)), reading, 1_000_000);
  return clocks;
}

test("the leader tells everybody of its own clock and of those that are off", () => {
  const clocks = leader({ 2: [1_000_000, 1_000_000], 3: [1_090_000, 1_090_000] });
  expect([...clocks.differences()]).toEqual([
    [one, 0],
    [two, 0],
    [three, 90_000],
  ]);
  expect(clocks.newsFor(two)).toEqual({ own: 0, off: [[three, 90_000]] });
  const follower = new Clocks(two);
  follower.tell(clocks.newsFor(two));
  expect([...follower.differences()]).toEqual([
    [three, 90_000],
    [two, 0],
  ]);
  follower.tell(undefined); // of a version that says nothing of clocks
  expect(follower.differences().size).toBe(2);
});

test("a reading that travelled for long does not make a clock look late", () => {
  expect(leader({ 2: [980_000, 1_000_000], 3: [1_000_000, 990_000] }).newsFor(two)).toEqual({ own: 0, off: [] });
});

test("one reading alone is no ground, and what is no time is not heard", () => {
  expect(leader({ 2: [0], 3: [null, "x", Number.NaN] }).differences().size).toBe(1);
});

test("a clock that was set is known by its newest readings, and who is silent has no say", () => {
  const clocks = leader({ 2: [1_090_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000], 3: [0, 0] });
  expect(clocks.differences().get(two)).toBe(0);
  clocks.keepOnly((node) => node !== three);
  expect(clocks.differences().has(three)).toBe(false);
  clocks.lead(true);
  expect(clocks.differences().size).toBe(1);
});
