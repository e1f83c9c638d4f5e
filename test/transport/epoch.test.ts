import { describe, expect, test } from "bun:test";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { nodeId } from "../../src/lib/ids.ts";
import { whoIsThere } from "../../src/transport/who-is-there.ts";
import { credentials, stranger } from "./credentials.ts";
import { identity, Station } from "./support.ts";

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

test("who has nothing of its epoch yet ends nobody by naming it: it may have been told wrong", async () => {
  await using one = await Station.open(1, { epoch: { number: 7, id: "deadbeef" } });
  one.hasReachedEpoch = false;
  await using two = await Station.open(2, { epoch: first });
  await meet(one, two);
  expect(two.events).toEqual([expect.stringContaining("refused 1: the cluster lost its quorum")]);
});

describe("who is there, asked by a node that does not run", () => {
  const asked = { cluster: "c1", node: nodeId(2), incarnation: "1", level: 1 };
  const who = (address: string, epoch = first) => whoIsThere(identity(2, { ...asked, epoch }), nodeId(1), address);

  test("a member proves itself, and says its epoch", async () => {
    await using one = await Station.open(1, { epoch: second });
    expect(await who(one.address)).toEqual({ kind: "member", node: nodeId(1), epoch: second });
    one.knows({ id: 2, address: "127.0.0.1:1" });
    expect(await who(one.address, second)).toEqual({ kind: "member", node: nodeId(1), epoch: second });
  });

  test("another member at that address is that one", async () => {
    await using three = await Station.open(3);
    expect(await who(three.address)).toEqual({ kind: "member", node: nodeId(3), epoch: first });
  });

  test("a closed port is silent; one that takes connections and proves nothing is not", async () => {
    const open = new Set<Socket>();
    const closed = createServer((socket) => void open.add(socket.on("error", () => {})));
    await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(closed.address() as AddressInfo).port}`;
    expect(await who(address)).toMatchObject({ kind: "unproven" });
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => closed.close(resolve));
    expect(await who(address)).toEqual({ kind: "silent" });
    const shown = await credentials({ by: stranger, node: 1 });
    await using other = await Station.open(1, { epoch: second, credentials: () => shown });
    expect(await who(other.address)).toMatchObject({ kind: "unproven" });
  });
});
