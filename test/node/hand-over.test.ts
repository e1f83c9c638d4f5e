import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { nobody, nodeId, type NodeId } from "../../src/lib/ids.ts";
import { HandOver, type HandOverPorts } from "../../src/node/hand-over.ts";
import type { PeerProgress } from "../../src/raft/types.ts";

const [self, near, far, slow] = [nodeId(1), nodeId(2), nodeId(3), nodeId(4)];

/** Node 1 leads four voters: 2 lacks nothing, 3 lacks much, 4 has a slow disk. Whom consensus transfers to leads at once. */
function leaderOfFour(more: Partial<HandOverPorts> = {}) {
  const world = {
    role: "leader" as "leader" | "follower",
    leader: self,
    transferred: [] as NodeId[],
    gone: new Set<NodeId>(),
    differences: new Map<NodeId, number>(),
    /** Whether who is chosen is elected. */
    elects: true,
  };
  const lags = new Map([
    [near, 0],
    [far, 500],
    [slow, 0],
  ]);
  const handOver = new HandOver({
    self,
    raft: {
      get role() {
        return world.role;
      },
      progress: (node) => ({ slowDisk: node === slow }) as PeerProgress,
      lag: (node) => lags.get(node),
      transfer: (to) => {
        world.transferred.push(to);
        if (world.elects) {
          world.role = "follower";
          world.leader = to;
        }
        return { ok: true };
      },
    },
    clocks: { differences: () => world.differences },
    leader: () => world.leader,
    voters: () => [self, slow, far, near],
    isConnected: (node) => !world.gone.has(node),
    drain: () => {},
    ask: () => Promise.resolve(true),
    ...more,
  });
  return { handOver, world };
}

describe("the leadership is handed over", () => {
  test("to the voter that lacks the least, one with a slow disk coming after one that is behind", async () => {
    const { handOver, world } = leaderOfFour();
    expect(await handOver.to()).toBe(true);
    expect(world.transferred).toEqual([near]);
    const others = leaderOfFour();
    others.world.gone.add(near);
    expect(await others.handOver.to()).toBe(true);
    expect(others.world.transferred).toEqual([far]);
  });

  test("to one whose clock is off only where all are", async () => {
    const { handOver, world } = leaderOfFour();
    world.differences.set(near, 600_000);
    expect(await handOver.to()).toBe(true);
    expect(world.transferred).toEqual([far]);
  });

  test("to the one that is named, and to nobody when it is not there", async () => {
    const { handOver, world } = leaderOfFour();
    expect(await handOver.to(slow)).toBe(true);
    world.role = "leader";
    world.gone.add(far);
    expect(await handOver.to(far)).toBe(false);
    expect(world.transferred).toEqual([slow]);
  });

  test("and given up when all who could have it go away", async () => {
    const { handOver, world } = leaderOfFour();
    world.elects = false;
    const handed = handOver.to();
    world.gone = new Set([near, far, slow]);
    expect(await handed).toBe(false);
  });
});

describe("another leader is asked to hand over", () => {
  test("and its word counts", async () => {
    const asked: unknown[] = [];
    const { handOver, world } = leaderOfFour({
      ask: (leader, to) => {
        asked.push([leader, to]);
        return Promise.resolve(true);
      },
    });
    world.leader = near;
    expect(await handOver.transferPorts.handOver(near, undefined)).toBe(true);
    expect(await handOver.transferPorts.handOver(near, far)).toBe(true);
    expect(asked).toEqual([
      [near, nobody],
      [near, far],
    ]);
    expect(world.transferred).toEqual([]);
  });

  test("and one that does not answer has done so if it leads no more", async () => {
    const silent = new Fault("peer-timeout", "it does not answer", "unknown");
    const { handOver, world } = leaderOfFour({ ask: () => Promise.reject(silent) });
    world.leader = near;
    expect(await handOver.transferPorts.handOver(near, far)).toBe(false);
    world.leader = far;
    expect(await handOver.transferPorts.handOver(near, far)).toBe(true);
  });
});
