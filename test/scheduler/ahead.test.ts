import { describe, expect, test } from "bun:test";
import { aheadOf } from "../../src/scheduler/ahead.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { totals } from "../../src/state/queries.ts";
import { admin, announcement, Cluster, report } from "../state/support.ts";
import { Leader, perNode } from "./leader.ts";

/** Short tasks are given to nodes beyond their room (scheduler/ahead.ts). Nodes have 4 slots and 8 io tasks. */

type Placed = { readonly job: number; readonly task: number; readonly attempt: number; readonly node: number };

function read(names: readonly string[]): Placed[] {
  return names.map((name) => {
    const [, job, task, attempt, node] = /^(\d+)\/(\d+)\.(\d+)@(\d+)$/.exec(name)!.map(Number);
    return { job: job!, task: task!, attempt: attempt!, node: node! };
  });
}

const noop = { driver: "noop", run: undefined } as const;

/** A mesh of three whose leader has seen some rounds of such jobs: each of their tasks took `ms`, and a round `roundMs`. */
function warm(spec: Record<string, unknown>, { ms = 5, roundMs = 100, rounds = 4, level = 3 } = {}): Leader {
  const leader = new Leader(level === 3 ? Cluster.ofNewest(3) : Cluster.of(3));
  for (let round = 0; round < rounds; round++) {
    submit(leader, 24, spec);
    for (const [node, placed] of Map.groupBy(read(leader.place()), (one) => one.node)) {
      const reports = placed.map(({ job, task, attempt }) =>
        report(job, task, attempt, "succeeded", { startedAt: 1000, finishedAt: 1000 + ms }),
      );
      leader.cluster.must("task.finish", { node: nodeId(node), reports });
    }
    leader.observe();
    leader.cluster.now += roundMs;
  }
  return leader;
}

function submit(leader: Leader, count: number, spec: Record<string, unknown>): void {
  const jobs = Array.from({ length: count }, () => ({ run: "true", ...spec }));
  leader.cluster.must("job.submit", { jobs: commandByName("job.submit").input.parse({ jobs }).jobs }, admin);
}

describe("tasks that are known to be short", () => {
  test("are given to nodes beyond their room: about so much as comes free there in a while, and on all alike", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    const [a, b, c] = perNode(leader.place());
    // 8 tasks in 100 ms, of which the flow has seen all but the last halving.
    const ahead = a! - 8;
    expect(ahead).toBeGreaterThanOrEqual(Math.floor((limits.aheadMs * 8 * 0.85) / 100));
    expect(ahead).toBeLessThanOrEqual((limits.aheadMs * 8) / 100);
    expect([b, c]).toEqual([a, a]);
    expect(leader.place()).toEqual([]);
  });

  test("are given one for one as others end", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    const placed = read(leader.place());
    const { job, node } = placed.find((one) => one.node === 2)!;
    leader.finish(job, 0, 1, node);
    expect(read(leader.place())).toMatchObject([{ node: 2 }]);
  });

  test("are not tried again where they failed, whatever waits there", () => {
    const spec = { ...noop, retries: { max: 1, backoff: "0s" } };
    const leader = warm(spec);
    submit(leader, 120, spec);
    const placed = read(leader.place());
    // All places are taken. More comes free at the node where it failed than at another one.
    const { job, node } = placed[0]!;
    const free = (at: (node: number) => boolean, count: number): Placed[] =>
      placed.filter((one) => at(one.node) && one.job !== job).slice(0, count);
    const others = [...free((at) => at === node, 3), ...free((at) => at !== node, 1)];
    leader.finish(job, 0, 1, node, "failed");
    for (const one of others) leader.finish(one.job, 0, 1, one.node);
    const [again] = read(leader.place()).filter((one) => one.job === job);
    expect(again).toMatchObject({ attempt: 2 });
    expect(again!.node).not.toBe(node);
  });

  test.each([
    ["take long", noop, { ms: limits.aheadTaskMs + 1 }],
    ["run at most once", { ...noop, on_lost: "fail" }, {}],
    ["run so many at once", { ...noop, parallel: 1 }, {}],
    ["stop when some fail", { ...noop, max_failures: 1 }, {}],
    ["run on nodes that do not bound what they run (S2)", noop, { level: 1 }],
  ])("but not those that %s", (_what, spec, options) => {
    const leader = warm(spec, options);
    submit(leader, 500, spec);
    expect(perNode(leader.place())).toEqual([8, 8, 8]);
  });

  test("but not before enough of them have ended", () => {
    const leader = warm(noop, { rounds: 0 });
    submit(leader, 500, noop);
    const placed = read(leader.place());
    for (const { job, node } of placed.slice(0, limits.aheadSeen - 1)) leader.finish(job, 0, 1, node);
    leader.cluster.now += 100;
    expect(leader.place()).toHaveLength(limits.aheadSeen - 1);
  });

  test("but no longer once nothing ends: what runs has become long", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    const placed = read(leader.place());
    for (let round = 0; round < 10; round++) {
      leader.cluster.now += 100;
      leader.place();
    }
    for (const { job, node } of placed.slice(0, 3)) leader.finish(job, 0, 1, node);
    expect(leader.place()).toEqual([]);
  });

  test("are not given to a node of which nothing is heard: a drained one, one that is behind", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    leader.cluster.must("node.drain", { node: nodeId(3) }, admin);
    const [a, b, c] = perNode(leader.place([2, 3]));
    expect([a, c]).toEqual([0, 0]);
    expect(b).toBeGreaterThan(8);
  });

  test.each([
    [1000, 1],
    [400, 1],
    [300, 4],
    [20, 1],
  ])(
    "fill the slots of a node although the way there and back takes %d ms, with %d slots, and do not wait there for long",
    (wayMs, slots) => {
      const node = new FarNode(wayMs, slots, 14);
      const busy = node.run(5_000 + 35 * wayMs);
      expect(busy).toBeGreaterThan(0.8);
      expect(node.waiting).toBeLessThanOrEqual((slots * 3 * limits.aheadMs) / 14);
    },
  );

  test("a slow node is given no more than twice what it ends in that time, however fast the others are", () => {
    const of = (flow: number, mean: number): number => aheadOf(flow, mean, limits.aheadMs);
    expect(of(0, 100)).toBe(0);
    expect(of(1, 3)).toBe(2 * limits.aheadMs);
    expect(of(3, 1)).toBe(2 * limits.aheadMs);
    expect(of(1e6, 1e6)).toBe(limits.aheadTasks);
  });
});

/** A node with so many slots, far away, and its leader with as many tasks of `taskMs` as it can give: what is told takes its time both ways. */
class FarNode {
  readonly #leader = new Leader(Cluster.ofNewest(1));
  readonly #wayMs: number;
  readonly #slots: number;
  readonly #taskMs: number;
  readonly #coming: { readonly at: number; readonly job: number }[] = [];
  readonly #here: number[] = [];
  readonly #running: { readonly until: number; readonly job: number }[] = [];
  readonly #told: { readonly at: number; readonly job: number }[] = [];

  constructor(wayMs: number, slots: number, taskMs: number) {
    this.#wayMs = wayMs;
    this.#slots = slots;
    this.#taskMs = taskMs;
    const { cluster } = this.#leader;
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), slots, level: ownLevel });
    submit(this.#leader, 1000, {});
  }

  /** What is there and has not begun. */
  get waiting(): number {
    return this.#here.length;
  }

  /** Gives how much of the time of the last 5 seconds its slots were in use. */
  run(forMs: number): number {
    const { cluster } = this.#leader;
    const [began, end] = [cluster.now, cluster.now + forMs];
    const from = end - 5_000;
    let busyMs = 0;
    for (; cluster.now < end; cluster.now += 2) {
      const { now } = cluster;
      this.#carryOut(now);
      if (now >= from) busyMs += 2 * this.#running.length;
      const heard = this.#told.filter(({ at }) => at <= now).length;
      const reports = this.#told
        .splice(0, heard)
        .map(({ job }) => report(job, 0, 1, "succeeded", { startedAt: began, finishedAt: began + this.#taskMs }));
      if (reports.length > 0) cluster.must("task.finish", { node: nodeId(1), reports });
      for (const { job } of read(this.#leader.place())) this.#coming.push({ at: now + this.#wayMs / 2, job });
      if (heard > 0 && totals(cluster.database).tasksQueued < 500) submit(this.#leader, 500, {});
    }
    return busyMs / (5_000 * this.#slots);
  }

  #carryOut(now: number): void {
    while (this.#coming[0] !== undefined && this.#coming[0].at <= now) this.#here.push(this.#coming.shift()!.job);
    while (this.#running[0] !== undefined && this.#running[0].until <= now)
      this.#told.push({ at: now + this.#wayMs / 2, job: this.#running.shift()!.job });
    while (this.#here.length > 0 && this.#running.length < this.#slots)
      this.#running.push({ until: now + this.#taskMs, job: this.#here.shift()! });
  }
}

describe("a task that may not wait at a node", () => {
  const other = { driver: "http", run: undefined, http: { url: "http://127.0.0.1:1/" } } as const;

  test("gets the next room that comes free: where it waits nothing more is given out ahead", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    const placed = read(leader.place());
    const unknown = leader.cluster.submit({ ...other, priority: 60 });
    expect(leader.place()).toEqual([]);
    // As many as waited beyond the room of the node have to end.
    const own = placed.filter(({ node }) => node === 1);
    const beyond = own.length - 8;
    for (const { job, node } of own.slice(0, beyond)) {
      leader.finish(job, 0, 1, node);
      expect(leader.place()).toEqual([]);
    }
    leader.finish(own[beyond]!.job, 0, 1, 1);
    const names = leader.place();
    expect(names).toContain(`${unknown}/0.1@1`);
    expect(names.length).toBeGreaterThan(1); // and then it goes on as before
  });

  test("on certain nodes: the others go on", () => {
    const leader = warm(noop);
    submit(leader, 500, noop);
    const placed = read(leader.place());
    leader.cluster.submit({ ...other, priority: 60, on: "number=1" });
    for (const node of [1, 2]) leader.finish(placed.find((one) => one.node === node)!.job, 0, 1, node);
    expect(read(leader.place())).toMatchObject([{ node: 2 }]);
  });

  test("a task of several slots has its node held as ever", () => {
    const leader = warm({}, { ms: 5 });
    submit(leader, 100, {});
    const running = read(leader.place());
    expect(running.filter(({ node }) => node === 1).length).toBeGreaterThan(4);
    const wide = leader.cluster.submit({ slots: 4, priority: 60 });
    let isPlaced = false;
    for (let one = running.shift(); one !== undefined && !isPlaced; one = running.shift()) {
      leader.finish(one.job, 0, 1, one.node);
      const placed = read(leader.place());
      running.push(...placed);
      isPlaced = placed.some(({ job }) => job === wide);
    }
    expect(isPlaced).toBe(true);
    expect(leader.cluster.job(wide).state).toBe("running");
    expect(leader.cluster.job(wide - 1).state).toBe("queued"); // not because there was nobody else any more
  });
});
