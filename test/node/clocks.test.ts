import { describe, expect, test } from "bun:test";
import type { Configuration } from "../../src/lib/configuration.ts";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { Clocks } from "../../src/node/clocks.ts";

const [one, two, three, four, five] = [1, 2, 3, 4, 5].map(nodeId) as [NodeId, NodeId, NodeId, NodeId, NodeId];
const voters: Configuration = { voters: [one, two, three], outgoing: [], learners: [], learnersNext: [] };

/** Node 1 leads, its clock shows this, and it hears what the others say. */
function leader(said: Readonly<Record<number, readonly unknown[]>>, own = () => 1_000_000): Clocks {
  const clocks = new Clocks(one, own, () => 0);
  clocks.lead(true);
  for (const [node, readings] of Object.entries(said))
    for (const reading of readings) clocks.heard(nodeId(Number(node)), reading);
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

test("a clock that was set since the others were heard is compared as it is now", () => {
  let own = 1_000_000;
  const clocks = leader({ 2: [1_000_000, 1_000_000], 3: [1_000_000, 1_000_000] }, () => own);
  expect(clocks.isConfirmed(voters)).toBe(true);
  own += 365 * 86_400_000;
  expect(clocks.differences().get(one)).toBe(365 * 86_400_000);
  expect(clocks.isConfirmed(voters)).toBe(false);
});

describe("the leader's clock is confirmed", () => {
  const right = 1_000_000;
  const late = right - 60_000; // what a right clock says to a leader that is a minute ahead
  const of = (node: NodeId): Configuration => ({ ...voters, voters: [node] });
  test.each<[string, Configuration, Readonly<Record<number, readonly unknown[]>>, boolean]>([
    ["by a majority of the voters, at their first word", voters, { 2: [right] }, true],
    ["not before a majority was heard", voters, {}, false],
    ["not by one that says it is ahead", voters, { 2: [late] }, false],
    ["by a majority, whatever one more says", voters, { 2: [right], 3: [late] }, true],
    ["not against the middle of all, learners too", of(one), { 2: [late], 3: [late] }, false],
    ["for a voter alone", of(one), {}, true],
    ["by both halves of a joint configuration", { ...voters, outgoing: [one, four, five] }, { 2: [right] }, false],
    ["by those who are ahead of it", voters, { 2: [right + 60_000], 3: [right + 60_000] }, true],
  ])("%s", (_, configuration, said, isConfirmed) => {
    expect(leader(said).isConfirmed(configuration)).toBe(isConfirmed);
  });
});
