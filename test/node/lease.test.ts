import { afterEach, describe, expect, test } from "bun:test";
import { type NodeId, nobody, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type LeaseGrant, LeaseHolder, LeaseTable } from "../../src/node/lease.ts";
import { monotonicMs } from "../../src/lib/clock.ts";

/** A holder whose leader answers when the test says so. */
function holder(leader: NodeId = nodeId(1)) {
  const granted: { endsAt: number; index: number }[] = [];
  const asked: ((grant: LeaseGrant | undefined) => void)[] = [];
  const waits: number[] = [];
  let lost = 0;
  let arrived: () => void = () => {};
  const state = { applied: 100 };
  const ask = (): Promise<LeaseGrant | undefined> =>
    new Promise((resolve) => {
      asked.push(resolve);
      arrived();
    });
  const lease = new LeaseHolder({
    leader: () => leader,
    isLeading: () => false,
    askLeader: ask,
    grantSelf: ask,
    waitApplied: (index) => {
      waits.push(index);
      return Promise.resolve(state.applied >= index);
    },
    granted: (endsAt, index) => granted.push({ endsAt, index }),
    onDeclaredLost: () => {
      lost += 1;
    },
  });
  started.push(lease);
  return { lease, granted, asked, waits, state, lostCount: () => lost, onAsk: (then: () => void) => (arrived = then) };
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

const started: LeaseHolder[] = [];
afterEach(() => {
  for (const lease of started.splice(0)) lease.stop();
});

describe("a node's lease", () => {
  test("ends leaseMs after the request was sent, not after the answer came", async () => {
    const { lease, asked, granted } = holder();
    const before = monotonicMs();
    lease.start();
    const sent = monotonicMs();
    await new Promise((resolve) => setTimeout(resolve, 30));
    asked[0]!({ kind: "granted", index: 5 });
    await settle();
    expect(granted.length).toBe(1);
    expect(granted[0]!.endsAt).toBeGreaterThanOrEqual(before + limits.leaseMs);
    expect(granted[0]!.endsAt).toBeLessThanOrEqual(sent + limits.leaseMs);
  });

  test("covers nothing before this node has applied the index that the grant names", async () => {
    const { lease, asked, granted, state, waits } = holder();
    state.applied = 4;
    lease.start();
    asked[0]!({ kind: "granted", index: 5 });
    await settle();
    expect(waits).toEqual([5]);
    expect(granted).toEqual([]);
  });

  test("a wish during a request is served by a request that starts after it", async () => {
    const { lease, asked, granted } = holder();
    lease.start();
    lease.want();
    expect(asked.length).toBe(1);
    asked[0]!({ kind: "granted", index: 1 });
    await settle();
    expect(asked.length).toBe(2);
    asked[1]!({ kind: "granted", index: 2 });
    await settle();
    expect(granted.map((one) => one.index)).toEqual([1, 2]);
    expect(asked.length).toBe(2);
  });

  test("without a leader nothing is asked", () => {
    const { lease, asked } = holder(nobody);
    lease.start();
    expect(asked.length).toBe(0);
  });

  test("is not asked for before the node knows what it holds, nor after it has stopped", async () => {
    const { lease, asked } = holder();
    lease.want();
    lease.renew();
    expect(asked.length).toBe(0);
    lease.start();
    asked[0]!(undefined);
    await settle();
    lease.stop();
    lease.want();
    lease.renew();
    expect(asked.length).toBe(1);
  });

  test("a leader that froze is not waited for: its successor is asked at once, and a late grant still counts from its request", async () => {
    const { lease, asked, granted } = holder();
    const before = monotonicMs();
    lease.start(); // the frozen one owes this answer
    const sent = monotonicMs();
    lease.want();
    expect(asked.length).toBe(1);
    lease.renew(); // another one leads
    expect(asked.length).toBe(2);
    asked[1]!({ kind: "granted", index: 9 });
    await settle();
    expect(granted.map((one) => one.index)).toEqual([9]);
    asked[0]!({ kind: "granted", index: 3 });
    await settle();
    expect(granted[1]!.endsAt).toBeGreaterThanOrEqual(before + limits.leaseMs);
    expect(granted[1]!.endsAt).toBeLessThanOrEqual(sent + limits.leaseMs);
    expect(asked.length).toBe(2); // the wish was served by the second request
  });

  test("a node that was declared lost is told, and gets nothing", async () => {
    const { lease, asked, granted, lostCount } = holder();
    lease.start();
    asked[0]!({ kind: "lost" });
    await settle();
    expect(lostCount()).toBe(1);
    expect(granted).toEqual([]);
  });
});

describe("the leader's table of leases", () => {
  test("a new leadership starts with no grants, and counts from its election", () => {
    const table = new LeaseTable();
    table.elected(0);
    table.grant(nodeId(2), 0);
    expect(table.isFresh(nodeId(2))).toBe(true);
    const first = table.electedAt;
    table.elected(0);
    expect(table.isFresh(nodeId(2))).toBe(false);
    expect(table.electedAt).toBeGreaterThanOrEqual(first);
  });
});

describe("what a node has certainly not begun", () => {
  test("is what has a later fence than all leases name: its own of this term, or any that an earlier leader may have granted", () => {
    const table = new LeaseTable();
    table.elected(40);
    expect(table.coveredTo(nodeId(2))).toBe(40);
    table.grant(nodeId(2), 50);
    table.grant(nodeId(2), 45);
    expect(table.coveredTo(nodeId(2))).toBe(50);
    expect(table.coveredTo(nodeId(3))).toBe(40);
    table.announced(nodeId(2)); // a lease of its former run is a lease all the same
    expect(table.coveredTo(nodeId(2))).toBe(50);
    table.elected(70);
    expect(table.coveredTo(nodeId(2))).toBe(70);
  });
});

describe("a node that comes back after it was declared lost", () => {
  test("has the whole time again to ask for a lease, counted from its announcement", () => {
    const table = new LeaseTable();
    table.elected(0);
    expect(table.quietSince.get(nodeId(2))).toBeUndefined(); // silent since the election
    const before = monotonicMs();
    table.announced(nodeId(2));
    expect(table.quietSince.get(nodeId(2))).toBeGreaterThanOrEqual(before);
    expect(table.isFresh(nodeId(2))).toBe(false); // but it holds no lease
  });
});
