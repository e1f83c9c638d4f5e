import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Fault } from "../../src/lib/fault.ts";
import { jobId, type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { Coverage, type CoveragePorts } from "../../src/node/coverage.ts";
import { grantLease } from "../../src/node/grant.ts";
import { LeaseHolder, LeaseTable, type LeaseGrant } from "../../src/node/lease.ts";
import { Recalls } from "../../src/node/recalls.ts";
import { PlacementView } from "../../src/scheduler/view.ts";
import { Cluster } from "../state/support.ts";

const two = nodeId(2);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A leader whose log ends at 40 and who has granted node 2 a lease. What it tells is answered when the test says so. */
function leader(more: Partial<CoveragePorts> = {}) {
  const told: { readonly node: NodeId; readonly index: number; readonly answer: PromiseWithResolvers<void> }[] = [];
  const log = { last: 40, committed: 40, stored: 40 as number | undefined };
  const leases = new LeaseTable();
  leases.elected(40);
  leases.grant(two, 40);
  const coverage = new Coverage({
    self: nodeId(1),
    leases,
    isLeading: () => true,
    lastIndex: () => log.last,
    committed: () => log.committed,
    stored: () => log.stored,
    isLosing: () => false,
    ceiling: (_node, index) => index,
    tell: (node, index) => {
      const answer = Promise.withResolvers<void>();
      told.push({ node, index, answer });
      return answer.promise;
    },
    ...more,
  });
  /** The next entry assigns something to node 2. */
  const assign = (): void => {
    coverage.expect([two]);
    log.last += 1;
  };
  const reach = (committed: number, stored: number | undefined = committed): void => {
    log.committed = committed;
    log.stored = stored;
    coverage.look();
  };
  return { coverage, leases, told, assign, reach, indexes: () => told.map(({ index }) => index) };
}

describe("a node is told that its lease names what it was assigned", () => {
  test("once that is committed and the node has stored it, and the leader notes it as named", () => {
    const { leases, assign, reach, told } = leader();
    assign();
    reach(40, 41);
    reach(41, 40);
    expect(told).toEqual([]);
    expect(leases.coveredTo(two)).toBe(40); // it can be taken back until then
    reach(41);
    expect(told.map(({ node, index }) => [node, index])).toEqual([[two, 41]]);
    expect(leases.coveredTo(two)).toBe(41);
  });

  test("with no more than it has stored, once for all that has gathered while it did not answer", async () => {
    const { assign, reach, told, indexes } = leader();
    assign();
    assign();
    reach(42, 41);
    expect(indexes()).toEqual([41]);
    reach(42);
    assign();
    reach(43);
    expect(indexes()).toEqual([41]);
    told[0]!.answer.resolve();
    await turn();
    expect(indexes()).toEqual([41, 43]);
    told[1]!.answer.resolve();
    await turn();
    reach(44);
    expect(indexes()).toEqual([41, 43]);
  });

  test("by itself where it leads: what is committed is stored here", () => {
    const { coverage, leases, reach, told } = leader();
    leases.grant(nodeId(1), 40);
    coverage.expect([nodeId(1)]);
    reach(41, 0);
    expect(told.map(({ node, index }) => [node, index])).toEqual([[nodeId(1), 41]]);
  });

  test("not when a lease that it asked for has named it before", () => {
    const { leases, assign, reach, told } = leader();
    assign();
    leases.grant(two, 41);
    reach(41);
    expect(told).toEqual([]);
  });

  const cases: [why: string, more: Partial<CoveragePorts>][] = [
    ["its leader does not lead any more", { isLeading: () => false }],
    ["a node.lost of it is on its way into the log", { isLosing: () => true }],
    ["it is being taken back from it", { ceiling: () => 40 }],
    ["it does not say itself what it has stored", { stored: () => undefined }],
  ];
  test.each(cases)("not while %s", (_why, more) => {
    const { leases, assign, reach, told } = leader(more);
    assign();
    reach(41);
    expect(told).toEqual([]);
    expect(leases.coveredTo(two)).toBe(40);
  });

  test("not without a lease of this term", () => {
    const { leases, assign, reach, told } = leader();
    leases.elected(40);
    assign();
    reach(41);
    expect(told).toEqual([]);
  });

  test("not of what another term had to say", () => {
    const { coverage, assign, reach, told } = leader();
    assign();
    coverage.clear();
    reach(41);
    expect(told).toEqual([]);
  });

  test("again after a word was lost, and not at all where it is not understood", async () => {
    const { assign, reach, told, indexes } = leader();
    assign();
    reach(41);
    told[0]!.answer.reject(new Fault("peer-timeout", "no answer", "unknown"));
    await turn();
    assign();
    reach(42);
    expect(indexes()).toEqual([41, 42]);
    told[1]!.answer.reject(new Fault("peer-refused", "this version does not know it", "never"));
    await turn();
    assign();
    reach(43);
    expect(indexes()).toEqual([41, 42]);
  });
});

/**
 * Node 2, its leader and what is between them. Every step of theirs is taken when the test says so: what is asked, confirmed, answered, told and applied
 * may come late and be overtaken; a step that finds nothing to do does nothing.
 */
class Model {
  readonly cluster = Cluster.of(3);
  readonly job = this.cluster.submit({ count: 200 });
  readonly leases = new LeaseTable();
  readonly view = new PlacementView();
  readonly recalls: Recalls;
  readonly coverage: Coverage;
  readonly lease: LeaseHolder;
  /** Fences of tasks. */
  readonly fences = new Map<number, number>();
  readonly begun = new Set<number>();
  readonly #proposed: { readonly log: () => number; readonly answer: (index: number | undefined) => void }[] = [];
  readonly #late: (() => number)[] = [];
  readonly #rounds: (() => void)[] = [];
  readonly #answers: (() => void)[] = [];
  readonly #words: (() => void)[] = [];
  #stored = this.index;
  #applied = this.index;
  #covered = 0;
  #seen: number;
  #now = 0;
  #next = 0;

  constructor() {
    const { cluster, leases } = this;
    cluster.level = 3;
    this.recalls = new Recalls({
      leases,
      view: (query) => query(cluster.database),
      propose: (name, input) => {
        const { promise, resolve } = Promise.withResolvers<Outcome<{ value: { recalled: number }; index: number }>>();
        const log = (): number => {
          cluster.must(name, input);
          return this.index;
        };
        this.#proposed.push({
          log,
          answer: (index) =>
            resolve(
              index === undefined
                ? { ok: false, why: { code: "unavailable", message: "not known yet" } }
                : accept({ value: { recalled: 1 }, index }),
            ),
        });
        return promise;
      },
      log: () => {},
    });
    const ceiling = (node: NodeId, index: number): number => this.recalls.ceiling(node, index);
    this.coverage = new Coverage({
      self: nodeId(1),
      leases,
      isLeading: () => true,
      lastIndex: () => this.index,
      committed: () => this.index,
      stored: () => this.#stored,
      isLosing: () => false,
      ceiling,
      tell: (_node, index) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#words.push(() => {
          this.lease.cover(index);
          resolve();
        });
        return promise;
      },
    });
    const askLeader = async (): Promise<LeaseGrant | undefined> => {
      const grant = await grantLease(two, {
        confirm: () => {
          const { index } = this; // of when the round begins
          return new Promise((resolve) => this.#rounds.push(() => resolve(index)));
        },
        isLeading: () => true,
        committed: () => this.index,
        isLosing: () => false,
        stateOf: () => "up",
        ceiling,
        granted: (node, index) => leases.grant(node, index),
      });
      return new Promise((resolve) => this.#answers.push(() => resolve(grant)));
    };
    this.lease = new LeaseHolder({
      leader: () => nodeId(1),
      isLeading: () => false,
      askLeader,
      grantSelf: askLeader,
      waitApplied: async (index) => {
        while (this.#applied < index && !this.isOver) await turn();
        return !this.isOver;
      },
      applied: () => this.#applied,
      granted: (_endsAt, index) => this.#cover(index),
      covered: (index) => this.#cover(index),
      onDeclaredLost: () => {},
    });
    leases.elected(this.index);
    this.view.reset(cluster.database);
    this.#seen = cluster.events.length;
    this.lease.start();
  }

  isOver = false;

  get index(): number {
    return this.cluster.log.length;
  }

  async step(name: Step): Promise<void> {
    this[name]();
    await turn();
    await turn();
  }

  assign(): void {
    this.coverage.expect([two]);
    this.cluster.assign(this.job, 2, [this.#next, 1]);
    this.fences.set(this.#next++, this.index);
  }

  /** The node tells the leader that it has stored some more, or all. */
  store(): void {
    this.#stored = Math.min(this.index, this.#stored + 2);
    this.coverage.look();
  }

  apply(): void {
    this.#applied = Math.min(this.#stored, this.#applied + 2);
    this.lease.onApplied(() => {});
    this.#begin();
  }

  /** As at a renewal, whatever is still owed. */
  ask(): void {
    this.lease.renew();
  }

  confirm(): void {
    this.#rounds.shift()?.();
  }

  answer(): void {
    this.#answers.shift()?.();
  }

  word(): void {
    this.#words.shift()?.();
  }

  look(): void {
    for (; this.#seen < this.cluster.events.length; this.#seen++)
      this.view.observe(this.cluster.events[this.#seen]!, this.cluster.database);
    this.#now += limits.recallAfterMs;
    this.recalls.look(this.view, new Set([nodeId(1), nodeId(3)]), this.#now);
  }

  lost(): void {
    this.recalls.takeAll(two);
  }

  settle(): void {
    const proposed = this.#proposed.shift();
    proposed?.answer(proposed.log());
  }

  unknown(): void {
    const proposed = this.#proposed.shift();
    if (proposed === undefined) return;
    this.#late.push(proposed.log);
    proposed.answer(undefined);
  }

  late(): void {
    this.#late.shift()?.();
  }

  /** Another leader: it knows nothing of what the one before has named, whose words are still on their way. */
  elect(): void {
    this.recalls.clear();
    this.leases.elected(this.index);
    this.coverage.clear();
    this.#proposed.length = 0;
    this.#late.length = 0;
    this.leases.grant(two, this.index);
  }

  #cover(index: number): void {
    expect(this.#applied).toBeGreaterThanOrEqual(index);
    this.#covered = Math.max(this.#covered, index);
    this.#begin();
  }

  /** What it was given as far as it has applied, is covered, and is not taken from it as far as it has applied. */
  #begin(): void {
    const { job } = this;
    for (const [task, fence] of this.fences)
      if (fence <= this.#covered && fence <= this.#applied && !this.#isTaken(task)) this.begun.add(task);
    for (const task of this.begun) {
      const { state, attempt } = this.cluster.task(job, task);
      expect([task, state, attempt]).toEqual([task, "running", 1]);
    }
  }

  #isTaken(task: number): boolean {
    return this.cluster.events.some(
      (event) =>
        event.index <= this.#applied &&
        event.changes.some(
          (change) =>
            change.topic === "task" &&
            change.kind === "ended" &&
            change.state === "queued" &&
            change.job === jobId(this.job) &&
            change.task === task,
        ),
    );
  }

  /** What has begun stays begun, whatever is still to come. */
  judge(): void {
    this.#begin();
    this.isOver = true;
    this.lease.stop();
  }
}

test("a lease that was asked for before a task was taken back, and granted after, does not begin it", async () => {
  const model = new Model();
  model.lease.renew();
  for (const step of ["confirm", "confirm", "answer", "answer"] as const) await model.step(step);
  await model.step("assign");
  await model.step("ask"); // its round begins here, and names the assignment
  for (const step of ["look", "look", "settle"] as const) await model.step(step); // it has not stored it, so it is taken back
  for (const step of ["assign", "store", "store"] as const) await model.step(step); // another one, of which it is told
  for (const step of ["confirm", "apply", "answer"] as const) await model.step(step); // it has applied no more than the first
  expect([...model.begun]).toEqual([]);
  for (const step of ["word", "apply", "apply"] as const) await model.step(step);
  expect([...model.begun]).toEqual([1]);
  model.judge();
});

const weights = {
  assign: 5,
  store: 6,
  apply: 4,
  ask: 2,
  confirm: 3,
  answer: 3,
  word: 3,
  look: 3,
  settle: 2,
  lost: 1,
  unknown: 1,
  late: 1,
  elect: 1,
} as const;
type Step = keyof typeof weights;

test("whatever comes when, nothing begins that is taken back, whether its lease was asked for or added to (J1)", async () => {
  const steps = Object.entries(weights).map(([step, weight]) => ({ weight, arbitrary: fc.constant(step as Step) }));
  let begun = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...steps), { minLength: 30, maxLength: 90 }), async (some) => {
      const model = new Model();
      try {
        for (const step of some) await model.step(step);
      } finally {
        model.judge();
      }
      begun += model.begun.size;
    }),
    { numRuns: 60 },
  );
  expect(begun).toBeGreaterThan(60);
}, 60_000);
