import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { jobId } from "../../src/lib/ids.ts";
import type { AttemptName, ExecutorOptions } from "../../src/executor/types.ts";
import { Room, Turns } from "../../src/executor/turns.ts";
import type { Assignment, Spec } from "../../src/state/types.ts";
import { report } from "../state/support.ts";
import { rig, settle, type ToldGuard } from "./told-guard.ts";

/** More than a node runs at once waits there for its turn (scheduler/ahead.ts). */

/** The only task of such a job; assigned in the order of their numbers. */
function only(job: number, spec: Spec = { run: "true" }): Assignment {
  return { job: jobId(job), task: 0, attempt: 1, fence: job, spec, point: undefined, target: undefined };
}

/** Which jobs' attempts the guard was given. */
function jobsOf(guard: ToldGuard): number[] {
  return guard.started.map(({ job }) => job);
}

function end(guard: ToldGuard, ...jobs: number[]): void {
  guard.events.onFinished(jobs.map((job) => report(job, 0, 1)));
}

const two: Partial<ExecutorOptions> = { capacity: { slots: 2, ioTasks: 2 } };

/** An executor with room for two that holds nothing and has a lease for everything. */
async function ready(more: Partial<ExecutorOptions> = {}) {
  const one = await rig({}, { ...two, ...more });
  one.executor.reconcile([]);
  one.lease();
  return one;
}

describe("more than a node runs at once", () => {
  test("waits there, and begins as others end, without another word of the leader", async () => {
    await using one = await ready();
    one.executor.assign([1, 2, 3, 4, 5].map((job) => only(job)));
    expect(jobsOf(one.guard)).toEqual([1, 2]);
    expect(one.executor.running()).toBe(2);
    const wanted = one.seen.leasesWanted;
    end(one.guard, 2);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2, 3]);
    end(one.guard, 1, 3);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2, 3, 4, 5]);
    expect(one.seen.leasesWanted).toBe(wanted);
  });

  test("begins by priority, then in the order of the log, each task with the slots that it takes", async () => {
    await using one = await ready();
    const wide = { run: "true", slots: 2, priority: 60 };
    one.executor.assign([only(1), only(2), only(3), only(4, wide), only(5, { run: "true", priority: 90 })]);
    expect(jobsOf(one.guard)).toEqual([5]); // the wide one waits for both slots, and nobody of a lower priority takes one
    end(one.guard, 5);
    await settle();
    expect(jobsOf(one.guard)).toEqual([5, 4]);
    end(one.guard, 4);
    await settle();
    expect(jobsOf(one.guard)).toEqual([5, 4, 1, 2]);
  });

  test("what takes slots and what takes none do not wait for each other", async () => {
    await using one = await ready();
    const request: Spec = { driver: "http", http: { method: "GET", url: "http://127.0.0.1:1/" } };
    one.executor.assign([only(1), only(2), only(3), only(4, request), only(5, request), only(6, request)]);
    expect(jobsOf(one.guard)).toEqual([1, 2, 4, 5]);
  });

  test("tasks of no duration: all of them in turn, each with its own times", async () => {
    await using one = await ready();
    const before = Date.now();
    one.executor.assign(Array.from({ length: 1000 }, (_, at) => only(1 + at, { driver: "noop" })));
    await settle();
    expect(one.seen.singles.map(({ job }) => Number(job))).toEqual(Array.from({ length: 1000 }, (_, at) => 1 + at));
    let at = before;
    for (const { startedAt, finishedAt } of one.seen.singles) {
      expect(startedAt).toBeGreaterThanOrEqual(at);
      expect(finishedAt).toBeGreaterThanOrEqual(startedAt);
      at = startedAt;
    }
  });

  test("a unit waits for the same room as all others, and takes its turn", async () => {
    await using one = await ready();
    one.executor.assign([only(1), only(2)]);
    const spec: Spec = { run: "true" };
    const at = (task: number): Assignment => ({ ...only(9, spec), task, point: { index: task } });
    const unit = { job: jobId(9), first: 0, count: 4, width: 2, fence: 9, spec, at };
    one.executor.assign([], [{ ...unit, running: [{ first: 0, count: 4 }], extended: [] }]);
    one.executor.assign([only(10)]);
    expect(jobsOf(one.guard)).toEqual([1, 2]);
    end(one.guard, 1, 2);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2, 9, 9]);
    one.guard.events.onFinished([report(9, 0, 1), report(9, 1, 1)]);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2, 9, 9, 10, 9]);
  });

  test("one that waits is cancelled where it waits, and one that is dropped never begins", async () => {
    await using one = await ready();
    one.executor.assign([1, 2, 3, 4, 5].map((job) => only(job)));
    one.executor.stop([only(3)]);
    one.executor.drop([only(4)]);
    await settle();
    expect(one.seen.singles).toMatchObject([
      { job: 3, state: "cancelled", reason: "cancelled before it started", startedAt: 0 },
    ]);
    end(one.guard, 1, 2);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2, 5]);
  });

  test("what the guard runs already takes its room", async () => {
    const running = [
      { ...only(1), startedAt: 5 },
      { ...only(2), startedAt: 5 },
    ];
    await using one = await rig({ running }, two);
    one.executor.reconcile([only(1), only(2, { run: "true", slots: 2 }), only(3)]);
    one.lease();
    expect(jobsOf(one.guard)).toEqual([]);
    end(one.guard, 1);
    await settle();
    expect(jobsOf(one.guard)).toEqual([]); // the other one takes both slots
    end(one.guard, 2);
    await settle();
    expect(jobsOf(one.guard)).toEqual([3]);
  });

  test("begins nothing without a lease, and asks for one", async () => {
    await using one = await rig({}, two);
    one.executor.reconcile([]);
    one.lease(2);
    one.executor.assign([1, 2, 3].map((job) => only(job)));
    expect([jobsOf(one.guard), one.seen.leasesWanted]).toEqual([[1, 2], 1]);
    end(one.guard, 1, 2);
    await settle();
    expect(jobsOf(one.guard)).toEqual([1, 2]);
    one.lease(3);
    expect(jobsOf(one.guard)).toEqual([1, 2, 3]);
  });
});

describe("what waits for too long", () => {
  test("is given back, again and again until the state has it, and never begins here (J1)", async () => {
    const before = limits.aheadReturnMs;
    Object.assign(limits, { aheadReturnMs: 20 });
    try {
      const given: AttemptName[][] = [];
      const { promise: logged, resolve: onLogged } = Promise.withResolvers<void>();
      const giveBack = (attempts: readonly AttemptName[]): Promise<void> => {
        given.push([...attempts]);
        if (given.length === 2) onLogged();
        return Promise.resolve();
      };
      await using one = await ready({ mayGiveBack: () => true, giveBack });
      one.executor.assign([1, 2, 3, 4].map((job) => only(job)));
      await logged;
      expect(given.slice(0, 2).map((names) => names.map(({ job }) => Number(job)))).toEqual([
        [3, 4],
        [3, 4],
      ]);
      expect(one.executor.running()).toBe(2);
      end(one.guard, 1, 2); // before the state says so to this node
      await settle();
      expect(jobsOf(one.guard)).toEqual([1, 2]);
      one.executor.drop([only(3), only(4)]);
      one.executor.assign([{ ...only(3), attempt: 2, fence: 9 }]);
      expect(one.guard.started.at(-1)).toMatchObject({ job: 3, attempt: 2 });
    } finally {
      Object.assign(limits, { aheadReturnMs: before });
    }
  });
});

describe("room", () => {
  test("what takes more than there is at all runs alone", () => {
    const room = new Room({ slots: 2, ioTasks: 0 });
    expect([room.has(3), room.has(0)]).toEqual([true, true]);
    room.take(3);
    expect(room.has(1)).toBe(false);
    room.give(3);
    room.take(1);
    expect([room.has(3), room.has(1)]).toEqual([false, true]);
  });

  test("who waits no more is passed over, whatever there is room for", () => {
    const turns = new Turns<{ slots: number; priority: number; gone: boolean }>();
    const items = [90, 50, 90, 10, 50].map((priority, at) => ({ slots: at % 2, priority, gone: at === 0 }));
    for (const item of items) turns.add(item);
    const room = new Room({ slots: 1, ioTasks: 1 });
    const order: number[] = [];
    const next = () => turns.next(room, (item) => !item.gone);
    for (let item = next(); item !== undefined; item = next()) order.push(items.indexOf(item));
    expect(order).toEqual([2, 1, 4, 3]);
  });
});
