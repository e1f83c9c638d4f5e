import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { Station } from "./support.ts";

const [first, second] = [
  { number: 0, id: "" },
  { number: 1, id: "0a0b0c0d" },
];
const other = { number: 1, id: "ffffffff" };

async function meet(one: Station, two: Station): Promise<void> {
  one.knows({ id: 2, address: two.address });
  two.knows({ id: 1, address: one.address });
  for (const station of [one, two]) await station.until(() => station.events.length > 0);
}

test("a node of an epoch that is over is told so by the others, and the others do not mind what it says", async () => {
  await using one = await Station.open(1, { epoch: second });
  await using two = await Station.open(2, { epoch: first });
  await meet(one, two);
  expect(two.events).toEqual([
    "fenced by 1: the cluster lost its quorum and was recovered into epoch 1.0a0b0c0d, without what this node has, which is of epoch 0",
  ]);
  expect(one.events).toEqual([expect.stringMatching(/^refused 2: it is still of epoch 0 .* --rejoin/)]);
  expect(one.peers.isConnected(nodeId(2)) || two.peers.isConnected(nodeId(1))).toBe(false);
});

test("two epochs of the same number have nothing to say to each other, and neither is over", async () => {
  await using one = await Station.open(1, { epoch: second });
  await using two = await Station.open(2, { epoch: other });
  await meet(one, two);
  for (const [station, peer] of [
    [one, 2],
    [two, 1],
  ] as const)
    expect(station.events).toEqual([expect.stringContaining(`refused ${peer}: it is of epoch`)]);
});

test("in one and the same later epoch they meet", async () => {
  await using one = await Station.open(1, { epoch: second });
  await using two = await Station.open(2, { epoch: { ...second } });
  await meet(one, two);
  expect(one.events).toEqual(["connected 2"]);
});
