import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { monotonicMs } from "../../src/lib/clock.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type SnapshotOffer, SnapshotSender } from "../../src/node/snapshot-send.ts";

/** A sender of a file of so many chunks, and what it offered and ended. */
function senderOf(chunks: number) {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-send-"));
  const file = path.join(directory, "made.db");
  const data = Buffer.alloc(chunks * limits.snapshotChunkBytes, 7);
  writeFileSync(file, data);
  const snapshot = {
    index: index(10),
    term: term(1),
    configuration: { voters: [nodeId(1)], outgoing: [], learners: [], learnersNext: [] },
  };
  const offers: { readonly peer: NodeId; readonly offer: SnapshotOffer }[] = [];
  const ended: string[] = [];
  const forgotten = new Set<"all">();
  let made = 0;
  const doubted = new Set<NodeId>();
  const served = new Set([2, 3, 4, 5].map(nodeId));
  const log = { base: 0, last: 10, reached: new Map<NodeId, number>(), released: 0 };
  const sender = new SnapshotSender({
    cluster: "c",
    make: () => {
      made += 1;
      writeFileSync(file, data); // the sender removes what it forgets
      return Promise.resolve({
        path: file,
        snapshot,
        bytes: data.length,
        sha256: createHash("sha256").update(data).digest("hex"),
        hash: "0",
      });
    },
    isComparable: () => !forgotten.has("all"),
    vouch: (_made, peer) =>
      doubted.has(peer)
        ? Promise.reject(new Fault("data", "another voter has another state", "safe"))
        : Promise.resolve(),
    baseIndex: () => log.base,
    reached: (peer) => log.reached.get(peer) ?? 0,
    isClose: (at) => log.last - at <= 5,
    serves: (peer) => served.has(peer),
    offer: async (peer, offer) => void offers.push({ peer, offer }),
    released: () => (log.released += 1),
    ended: (peer, sent) => void ended.push(`${peer}:${sent}`),
    log: () => {},
  });
  const close = (): void => {
    sender.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { sender, offers, ended, served, doubted, forgotten, log, made: () => made, [Symbol.dispose]: close };
}

async function offered(offers: readonly unknown[], count: number): Promise<void> {
  while (offers.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
}

test("a few receivers at once; the others wait their turn, and one that is served no longer loses it", async () => {
  using one = senderOf(1);
  for (const peer of [2, 3, 4, 5]) one.sender.want(nodeId(peer));
  await offered(one.offers, limits.snapshotReceivers);
  expect(one.offers.map(({ peer }) => Number(peer))).toEqual([2, 3]);
  const { id } = one.offers[0]!.offer;
  expect(one.sender.chunk(nodeId(4), id, 0)).rejects.toThrow(Fault);
  one.served.delete(nodeId(4));
  one.sender.done(nodeId(2), id, true);
  await offered(one.offers, limits.snapshotReceivers + 1);
  expect(Number(one.offers.at(-1)!.peer)).toBe(5);
  expect((await one.sender.chunk(nodeId(5), id, 0)).data.length).toBe(limits.snapshotChunkBytes);
  expect(one.ended).toEqual(["2:10"]);
});

test("the second to get a file gets it only if the voters are of one mind for it as well (S1)", async () => {
  using one = senderOf(1);
  one.sender.want(nodeId(2));
  await offered(one.offers, 1);
  one.doubted.add(nodeId(3));
  one.sender.want(nodeId(3));
  while (one.ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(one.ended).toEqual(["3:undefined"]);
  expect(one.offers.map(({ peer }) => Number(peer))).toEqual([2]);
  one.doubted.clear();
  one.sender.want(nodeId(3));
  await offered(one.offers, 2);
  expect(Number(one.offers[1]!.peer)).toBe(3);
});

test("a file so old that the voters know nothing of it any more is given to nobody else: a new one is made once it is free (S1)", async () => {
  using one = senderOf(1);
  one.sender.want(nodeId(2));
  await offered(one.offers, 1);
  one.forgotten.add("all");
  one.sender.want(nodeId(3));
  while (one.ended.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  expect([one.ended, one.offers.length, one.made()]).toEqual([["3:undefined"], 1, 1]);
  one.sender.done(nodeId(2), one.offers[0]!.offer.id, true);
  one.sender.want(nodeId(3));
  await offered(one.offers, 2);
  expect([Number(one.offers[1]!.peer), one.made()]).toEqual([3, 2]);
});

test("all receivers together are sent no more than the limit says", async () => {
  const chunks = 12;
  using one = senderOf(chunks);
  for (const peer of [2, 3]) one.sender.want(nodeId(peer));
  await offered(one.offers, 2);
  const { id } = one.offers[0]!.offer;
  const began = monotonicMs();
  const asked = [2, 3].flatMap((peer) =>
    Array.from({ length: chunks }, (_, number) => one.sender.chunk(nodeId(peer), id, number)),
  );
  const sent = (await Promise.all(asked)).reduce((bytes, { data }) => bytes + data.length, 0);
  expect(sent).toBe(2 * chunks * limits.snapshotChunkBytes);
  // The first is free; a slow machine only takes longer. Timers may fire a millisecond early.
  const leastMs = ((sent - limits.snapshotChunkBytes) / limits.snapshotBytesPerSecond) * 1000;
  expect(monotonicMs() - began).toBeGreaterThan(leastMs - 2);
});

test("who waits for a chunk of a file that is given up meanwhile is told so", async () => {
  using one = senderOf(4);
  one.sender.want(nodeId(2));
  await offered(one.offers, 1);
  const { id } = one.offers[0]!.offer;
  const asked = Array.from({ length: 4 }, (_, number) => one.sender.chunk(nodeId(2), id, number));
  one.sender.done(nodeId(2), id, false);
  const settled = await Promise.allSettled(asked);
  expect(settled.at(-1)).toMatchObject({ status: "rejected", reason: { code: "peer-refused" } });
});

test("what follows on from a snapshot is kept from before it is made until its receiver has come close to the end", async () => {
  using one = senderOf(1);
  const { sender, log } = one;
  expect(sender.needed).toBe(Infinity);
  log.base = 7;
  sender.want(nodeId(2));
  expect(sender.needed).toBe(7);
  await offered(one.offers, 1);
  expect(sender.needed).toBe(10);
  log.last = 1000;
  sender.done(nodeId(2), one.offers[0]!.offer.id, true);
  // It has not said anything of its log yet, and what is known of it is old.
  log.reached.set(nodeId(2), 3);
  expect(sender.needed).toBe(10);
  log.reached.set(nodeId(2), 400);
  expect(sender.needed).toBe(400);
  log.reached.set(nodeId(2), 995);
  expect(sender.needed).toBe(Infinity);
});

test("nothing is kept for one that did not get its snapshot, or is not served any more", async () => {
  using one = senderOf(1);
  const { sender, log } = one;
  for (const peer of [2, 3]) sender.want(nodeId(peer));
  await offered(one.offers, 2);
  log.last = 1000;
  const { id } = one.offers[0]!.offer;
  sender.done(nodeId(2), id, false);
  expect(sender.needed).toBe(10);
  one.served.delete(nodeId(3));
  // At rest nothing but this has the log cut.
  while (log.released === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(sender.needed).toBe(Infinity);
  expect(one.ended).toEqual(["2:undefined"]);
});
