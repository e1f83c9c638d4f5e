import { afterEach, describe, expect, test } from "bun:test";
import { type NodeId, nobody, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { type LeaseGrant, LeaseHolder, LeaseTable } from "../../src/node/lease.ts";
import { monotonicMs } from "../../src/lib/clock.ts";

/** A holder whose leader answers when the test says so. */
function holder(leader: NodeId = nodeId(1)) {
  const granted: { endsAt: number; index: number }[] = [];
  const covered: number[] = [];
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
    applied: () => state.applied,
    granted: (endsAt, index) => granted.push({ endsAt, index }),
    covered: (index) => covered.push(index),
    onDeclaredLost: () => {
      lost += 1;
    },
  });
  started.push(lease);
  return {
    lease,
    granted,
    covered,
    asked,
    waits,
    state,
    lostCount: () => lost,
    onAsk: (then: () => void) => (arrived = then),
  };
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

describe("what the leader names for a lease that a node has", () => {
  test("counts once the node has applied it, and only so far", () => {
    const { lease, covered, state } = holder();
    lease.start();
    for (const index of [101, 103, 105]) lease.cover(index);
    const reach = (applied: number): void => {
      state.applied = applied;
      lease.onApplied(() => {});
    };
    expect(covered).toEqual([]);
    reach(102);
    expect(covered).toEqual([101]);
    reach(105);
    expect(covered).toEqual([101, 105]);
    reach(106);
    expect(covered).toEqual([101, 105]);
  });

  test("does not count in the middle of what those entries say: they may take away what it covers", async () => {
    const { lease, covered, state } = holder();
    lease.start();
    lease.cover(101);
    state.applied = 102;
    lease.onApplied(() => {
      lease.cover(102);
      expect(covered).toEqual([]);
    });
    await settle();
    expect(covered).toEqual([102]);
  });

  test("moves neither its end nor the time of one that waits for the state itself", async () => {
    const { lease, asked, granted, covered, state } = holder();
    lease.start();
    asked[0]!({ kind: "granted", index: 200 }); // not applied yet: nothing may begin by it
    await settle();
    lease.cover(101);
    state.applied = 101;
    lease.onApplied(() => {});
    expect(covered).toEqual([101]);
    expect(granted).toEqual([]);
  });

  test("spares the node a question, and nothing else does", async () => {
    const { lease, asked, state } = holder();
    lease.start();
    asked[0]!({ kind: "granted", index: 100 });
    await settle();
    lease.cover(101);
    state.applied = 101;
    lease.onApplied(() => lease.want());
    expect(asked.length).toBe(1);
    state.applied = 102;
    lease.onApplied(() => lease.want());
    expect(asked.length).toBe(2);
  });

  test("is bounded: of more than is told apart the newest covers all", () => {
    const { lease, covered, state } = holder();
    lease.start();
    const last = 100 + 3 * limits.coversPending;
    for (let index = 101; index <= last; index++) lease.cover(index);
    state.applied = last - 1;
    lease.onApplied(() => {});
    state.applied = last;
    lease.onApplied(() => {});
    expect(covered).toEqual([100 + limits.coversPending - 1, last]);
  });

  test("says nothing to a node that does not know yet what it holds, or has stopped", async () => {
    const { lease, covered } = holder();
    lease.cover(50);
    lease.start();
    lease.stop();
    lease.cover(50);
    await settle();
    lease.onApplied(() => {});
    expect(covered).toEqual([]);
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
    table.cover(nodeId(3), 45); // which says nothing of when the lease ends
    expect(table.coveredTo(nodeId(3))).toBe(45);
    expect([table.isFresh(nodeId(3)), table.quietSince.has(nodeId(3))]).toEqual([false, false]);
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
