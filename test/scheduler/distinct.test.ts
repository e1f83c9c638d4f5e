import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import type { Room } from "../../src/scheduler/choose.ts";
import { holdNode, holdsNothing } from "../../src/scheduler/hold.ts";
import { type Assignable, place } from "../../src/scheduler/place.ts";
import { Bucket, type PlannedJob, Queues } from "../../src/scheduler/queues.ts";
import { Pace } from "../../src/scheduler/unit-size.ts";
import { admin, Cluster } from "../state/support.ts";
import { Leader } from "./leader.ts";

const submitter = { name: "a", weight: 1, used: 0, jobs: 0 };
const job = (id: number, more: Partial<PlannedJob> = {}): PlannedJob => ({
  id: jobId(id),
  submitter,
  priority: 50,
  slots: 1,
  resources: [],
  io: false,
  on: "",
  terms: [],
  parallel: Infinity,
  tasks: 1,
  asOf: 0,
  next: 0,
  waiting: [],
  pinned: false,
  stopped: false,
  held: new Map(),
  proposed: 0,
  delayed: 0,
  queued: false,
  array: undefined,
  mayWait: false,
  pace: new Pace(),
  ...more,
});
const room = (node: number, more: Partial<Room> = {}): Room => ({
  node: nodeId(node),
  labels: {},
  slots: 4,
  freeSlots: 4,
  freeIo: 4,
  isUsed: false,
  ahead: { io: 0, slots: 0 },
  aheadMost: { io: 0, slots: 0 },
  newestFence: 0,
  resources: { memory: 1_000_000 },
  free: new Map([["memory", 0]]),
  heldFor: undefined,
  heldKind: "",
  ...more,
});

describe("many jobs that each want something else", () => {
  test("are placed oldest first, whatever was added, placed and came back between the plans", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3 })), { maxLength: 80 }),
        (steps) => {
          const queues = new Queues();
          const jobs = new Map<number, PlannedJob>();
          for (const [id, priority] of steps) {
            const known = jobs.get(id);
            if (known?.queued === true) {
              known.next = known.tasks; // it has nothing left
              jobs.delete(id);
            } else {
              const one = job(id, { priority, resources: [["memory", id]] });
              jobs.set(id, one);
              queues.append(one);
            }
            const order = queues.inOrder();
            const expected = [...jobs.values()].sort((a, b) => b.priority - a.priority || a.id - b.id);
            expect(order.map((bucket) => Number(bucket.first()!.id))).toEqual(expected.map((each) => Number(each.id)));
            expect(queues.wants).toBe(new Set(expected.map(({ id: each }) => each)).size);
          }
        },
      ),
    );
  });

  test("cost no more than a look at each node where there is no room, and one of them has a node held for it", () => {
    const queues = new Queues();
    for (let id = 1; id <= 1000; id++) queues.append(job(id, { resources: [["memory", id]] }));
    const rooms = [room(1), room(2)];
    let asked = 0;
    const assignable: Assignable = {
      matching: () => {
        asked += 1;
        return rooms;
      },
      placement: "spread",
      knowsRanges: true,
      placed: () => expect.unreachable(),
      placedRange: () => expect.unreachable(),
    };
    expect(place(queues, assignable, 100)).toEqual({ units: [], ranges: [] });
    expect(asked).toBe(1000);
    expect(rooms.map(({ heldFor }) => heldFor)).toEqual([50, undefined]);
  });

  test("one that is passed over would have had nothing held", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            held: fc.constantFrom(undefined, 40, 50),
            kind: fc.constantFrom("", "memory"),
            slots: fc.integer({ min: 0, max: 4 }),
          }),
          { maxLength: 4 },
        ),
        fc.integer({ min: 0, max: 3 }),
        fc.boolean(),
        (nodes, slots, asks) => {
          const rooms = nodes.map(({ held, kind, slots: all }, at) =>
            room(at + 1, { slots: all, heldFor: held, heldKind: kind }),
          );
          const queues = new Queues();
          queues.append(job(1, { slots, resources: asks ? [["memory", 5]] : [] }));
          const [bucket] = queues.inOrder();
          expect(bucket).toBeInstanceOf(Bucket);
          const before = JSON.stringify(rooms.map(({ heldFor, freeSlots, free }) => [heldFor, freeSlots, [...free!]]));
          const isNothing = holdsNothing(bucket!, rooms);
          holdNode(bucket!, rooms);
          const after = JSON.stringify(rooms.map(({ heldFor, freeSlots, free }) => [heldFor, freeSlots, [...free!]]));
          expect(after === before).toBe(isNothing);
        },
      ),
    );
  });

  test("are found by a node as soon as it has their label", () => {
    const cluster = Cluster.of(2);
    for (let number = 1; number <= 200; number++) cluster.submit({ on: `rack=${number}` });
    const leader = new Leader(cluster);
    expect(leader.place()).toEqual([]);
    cluster.must("node.label", { node: nodeId(2), labels: { rack: "150" } }, admin);
    expect(leader.place()).toEqual(["150/0.1@2"]);
    cluster.must("node.label", { node: nodeId(1), labels: { rack: "7" } }, admin);
    expect(leader.place()).toEqual(["7/0.1@1"]);
  });
});
