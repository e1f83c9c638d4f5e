import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome } from "../../src/lib/outcome.ts";
import { LeaseTable } from "../../src/node/lease.ts";
import { Recalls } from "../../src/node/recalls.ts";
import { PlacementView } from "../../src/scheduler/view.ts";
import { admin, Cluster } from "../state/support.ts";

type Answer = Outcome<{ readonly value: { readonly recalled: number }; readonly index: number }>;

/** A leader of three nodes. What it proposes to take back is logged, and answered when the test says so. */
class Rig {
  readonly cluster = Cluster.of(3);
  readonly leases = new LeaseTable();
  readonly view = new PlacementView();
  readonly recalls: Recalls;
  /** Unanswered proposals. */
  readonly open: { readonly log: () => number; readonly answer: (answer: Answer) => void }[] = [];
  readonly said: string[] = [];
  now = 0;
  #seen: number;

  constructor() {
    this.cluster.level = 3;
    this.recalls = new Recalls({
      leases: this.leases,
      view: (query) => query(this.cluster.database),
      propose: (name, input) => {
        const { promise, resolve } = Promise.withResolvers<Answer>();
        this.open.push({
          log: () => {
            this.cluster.must(name, input);
            return this.index;
          },
          answer: resolve,
        });
        return promise;
      },
      log: (_level, message) => this.said.push(message),
    });
    this.leases.elected(this.index);
    this.view.reset(this.cluster.database);
    this.#seen = this.cluster.events.length;
  }

  get index(): number {
    return this.cluster.log.length;
  }

  observe(): void {
    const { events, database } = this.cluster;
    for (; this.#seen < events.length; this.#seen++) this.view.observe(events[this.#seen]!, database);
  }

  /** Looks so long after the last look. `away`: nodes that take no work. */
  look(afterMs: number = limits.recallAfterMs, ...away: readonly number[]): void {
    this.observe();
    this.now += afterMs;
    const eligible = new Set<NodeId>([...this.view.nodes()].filter((node) => !away.includes(node)));
    this.recalls.look(this.view, eligible, this.now);
  }

  /** The node is granted a lease; gives the index that it names. */
  grant(node: number, confirmed = this.index): number {
    const index = this.recalls.ceiling(nodeId(node), confirmed);
    this.leases.grant(nodeId(node), index);
    return index;
  }

  /** Logs the oldest proposal and tells its outcome; gives its entry. */
  async settle(): Promise<number> {
    const { log, answer } = this.open.shift()!;
    const index = log();
    answer(accept({ value: { recalled: 1 }, index }));
    await Promise.resolve().then(() => {});
    await new Promise((resolve) => setImmediate(resolve));
    return index;
  }

  /** Of a job's task: its state and attempt. */
  stands(job: number, task = 0): string {
    const { state, attempt } = this.cluster.task(job, task);
    return `${state} ${attempt}`;
  }
}

const unknown: Answer = { ok: false, why: { code: "unavailable", message: "not known yet" } };

describe("work that a node does not begin", () => {
  test("is taken back when it has waited for long enough and another node has room, and not before", async () => {
    const rig = new Rig();
    rig.look();
    const job = rig.cluster.submit();
    rig.cluster.assign(job, 2, [0, 1]);
    rig.look(); // from here on it waits
    expect(rig.open).toHaveLength(0);
    rig.look(limits.recallAfterMs - 1);
    expect(rig.open).toHaveLength(0);
    rig.look(1);
    expect(rig.open).toHaveLength(1);
    expect(rig.said).toEqual(["node 2 has not begun a task that it was given: they go to others"]);
    rig.look(); // under way: once is enough
    expect(rig.open).toHaveLength(1);
    await rig.settle();
    expect(rig.stands(job)).toBe("queued 1");
  });

  test("stays where it is when a lease covers it, when nobody else has room, and when it belongs there", () => {
    const rig = new Rig();
    const begun = rig.cluster.submit();
    rig.cluster.assign(begun, 2, [0, 1]);
    rig.grant(2);
    for (const node of [1, 3]) rig.cluster.assign(rig.cluster.submit({ slots: 4 }), node, [0, 1]);
    for (const node of [1, 3]) rig.grant(node);
    rig.cluster.assign(rig.cluster.submit(), 2, [0, 1]);
    rig.cluster.assign(rig.cluster.submit({ each_node: true, driver: "noop", run: undefined }), 2, [1, 1]);
    for (let look = 0; look < 4; look++) rig.look();
    expect(rig.open).toHaveLength(0);
  });

  test("of a node that takes no work goes into the queue, where another node could ever run it", async () => {
    const rig = new Rig();
    for (const node of [1, 3]) rig.cluster.assign(rig.cluster.submit({ slots: 4 }), node, [0, 1]);
    for (const node of [1, 3]) rig.grant(node);
    const [any, only, large] = [
      rig.cluster.submit(),
      rig.cluster.submit({ on: "number=2" }),
      rig.cluster.submit({ slots: 2, on: "number!=1" }),
    ];
    for (const job of [any, only, large]) rig.cluster.assign(job, 2, [0, 1]);
    rig.look(0, 2);
    rig.look(limits.recallAfterMs, 2);
    await rig.settle();
    expect([any, only, large].map((job) => rig.stands(job))).toEqual(["queued 1", "running 1", "queued 1"]);
  });

  test("of a drained node goes as well: it is emptied of all that can run elsewhere", async () => {
    const rig = new Rig();
    const job = rig.cluster.submit({ count: 3 });
    rig.cluster.assign(job, 2, [0, 1]);
    rig.grant(2);
    rig.cluster.assign(job, 2, [1, 1], [2, 1]);
    rig.cluster.must("node.drain", { node: 2 }, admin);
    rig.look();
    rig.look();
    await rig.settle();
    expect([0, 1, 2].map((task) => rig.stands(job, task))).toEqual(["running 1", "queued 1", "queued 1"]);
  });

  test("is taken back before its node is declared lost, also what belongs to the node; on_lost is not asked", async () => {
    const rig = new Rig();
    const begun = rig.cluster.submit({ on_lost: "fail" });
    rig.cluster.assign(begun, 2, [0, 1]);
    rig.grant(2);
    const fresh = rig.cluster.submit({ on_lost: "fail" });
    rig.cluster.assign(fresh, 2, [0, 1]);
    rig.recalls.takeAll(nodeId(2));
    const recalled = rig.settle();
    rig.cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    await recalled;
    expect(rig.stands(begun)).toBe("lost 1");
    expect(rig.stands(fresh)).toBe("queued 1");
  });
});

describe("while it is taken back (J1)", () => {
  /** Two tasks of node 2, the first of which it has begun; the second is being taken back. */
  function rig(): Rig & { readonly first: number; readonly fence: number } {
    const made = new Rig();
    const job = made.cluster.submit({ count: 2 });
    made.cluster.assign(job, 2, [0, 1]);
    const first = made.grant(2);
    made.cluster.assign(job, 2, [1, 1]);
    const fence = made.index;
    made.look();
    made.look();
    expect(made.open).toHaveLength(1);
    return Object.assign(made, { first, fence });
  }

  test("leases of the node go on, and name nothing that is taken back until they name that it was", async () => {
    const made = rig();
    expect(made.grant(2)).toBe(made.fence - 1);
    const confirmed = made.index; // of a request that was confirmed before the entry is in the log
    const index = await made.settle();
    expect(made.grant(2, confirmed)).toBe(made.fence - 1);
    expect(made.grant(2)).toBe(index);
    expect(made.grant(2, confirmed)).toBe(confirmed); // an answer that is overtaken: it has applied more by now
    expect(made.grant(3, confirmed)).toBe(confirmed);
  });

  test("a proposal whose outcome is not known is made again, and until one is known nothing is named", async () => {
    const made = rig();
    const { open } = made;
    const first = open.shift()!;
    first.answer(unknown);
    await new Promise((resolve) => setImmediate(resolve));
    expect(made.grant(2)).toBe(made.fence - 1);
    made.look();
    expect(open).toHaveLength(1);
    first.log(); // it was in the log after all
    expect(made.grant(2)).toBe(made.fence - 1);
    const index = await made.settle();
    expect(made.grant(2)).toBe(index);
  });

  test("what is said of it in the next term says nothing about that", async () => {
    const made = rig();
    made.recalls.clear();
    made.leases.elected(made.index);
    await made.settle();
    made.look();
    made.look();
    expect(made.open).toHaveLength(0); // an earlier leader may have granted whatever is in the log
    expect(made.grant(2)).toBe(made.index);
  });
});

test("whatever comes when, no lease names what was taken back without naming that it was", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant("assign" as const) },
    { weight: 4, arbitrary: fc.constant("confirm" as const) },
    { weight: 4, arbitrary: fc.constant("grant" as const) },
    { weight: 3, arbitrary: fc.constant("look" as const) },
    { weight: 2, arbitrary: fc.constant("settle" as const) },
    { weight: 1, arbitrary: fc.constant("unknown" as const) },
    { weight: 1, arbitrary: fc.constant("late" as const) },
    { weight: 1, arbitrary: fc.constant("lost" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const rig = new Rig();
      const job = rig.cluster.submit({ count: 200 });
      const late: (() => number)[] = [];
      const confirmed: number[] = [];
      const fences = new Map<number, number>();
      const begun = new Set<number>();
      let next = 0;
      for (const one of steps) {
        if (one === "assign") {
          rig.cluster.assign(job, 2, [next, 1]);
          fences.set(next++, rig.index);
        } else if (one === "confirm") confirmed.push(rig.index);
        else if (one === "grant" && confirmed.length > 0) {
          // What the node then begins is what it was given up to there and what nothing up to there has taken from it.
          const index = rig.grant(2, confirmed.shift());
          for (const [task, fence] of fences)
            if (fence <= index && !takenUpTo(rig.cluster, index).has(task)) begun.add(task);
        } else if (one === "look") rig.look();
        else if (one === "lost") rig.recalls.takeAll(nodeId(2));
        else if (one === "settle" && rig.open.length > 0) await rig.settle();
        else if (one === "unknown" && rig.open.length > 0) {
          const { log, answer } = rig.open.shift()!;
          late.push(log);
          answer(unknown);
          await new Promise((resolve) => setImmediate(resolve));
        } else if (one === "late") late.shift()?.();
        for (const task of begun) expect([task, rig.stands(job, task)]).toEqual([task, "running 1"]);
      }
    }),
    { numRuns: 25 },
  );
});

/** Tasks that entries up to `index` have taken back. */
function takenUpTo(cluster: Cluster, index: number): Set<number> {
  const taken = new Set<number>();
  for (const event of cluster.events) {
    if (event.index > index) break;
    for (const change of event.changes)
      if (change.topic === "task" && change.kind === "ended" && change.state === "queued") taken.add(change.task);
  }
  return taken;
}
