import { describe, expect, test } from "bun:test";
import type { ExecutorOptions, UnitEnds } from "../../src/executor/types.ts";
import { HeldUnit, runInstant } from "../../src/executor/units.ts";
import { Fault } from "../../src/lib/fault.ts";
import { type JobId, jobId } from "../../src/lib/ids.ts";
import { unpackRuns } from "../../src/lib/task-runs.ts";
import type { Spec, UnitAssignment } from "../../src/state/types.ts";
import { report } from "../state/support.ts";
import { until } from "./rig.ts";
import { plain, rig, settle } from "./told-guard.ts";

function unitOf(spec: Spec, from: Partial<UnitAssignment> = {}): UnitAssignment {
  const [job, first, count, fence] = [jobId(1), from.first ?? 0, from.count ?? 10, from.fence ?? 5];
  return {
    job,
    first,
    count,
    width: 3,
    fence,
    spec,
    running: [{ first, count }],
    extended: [],
    at: (task) => ({ job, task, attempt: 1, fence, spec, point: { index: task }, target: undefined }),
    ...from,
  };
}

const tasksIn = (units: readonly UnitEnds[]): number[] =>
  units.flatMap(({ first, runs }) =>
    unpackRuns(runs)!.flatMap((run) => Array.from({ length: run.count }, (_, at) => first + run.first + at)),
  );

const shell: Spec = { run: "true", timeoutMs: 1000 };

const of =
  (job: number, spec = shell): UnitAssignment["at"] =>
  (task) => ({ job: jobId(job), task, attempt: 1, fence: 5, spec, point: { index: task }, target: undefined });

/** What is given back goes to `given`; jobs that are in `held` are. */
function giving(given: number[], held: ReadonlySet<JobId> = new Set()): Partial<ExecutorOptions> {
  return {
    mayGiveBack: () => true,
    giveBack: (attempts) => Promise.resolve(void given.push(...attempts.map(({ task }) => task))),
    unwanted: (jobs) => new Set(jobs.filter((job) => held.has(job))),
  };
}

describe("tasks that the node was given together", () => {
  test("begin as others of their unit end, and never more of them run than it is wide", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    expect(one.guard.starts).toEqual([0, 1, 2]);
    one.guard.end(1);
    await settle();
    one.guard.end(0, 2);
    await settle();
    expect(one.guard.starts).toEqual([0, 1, 2, 3, 4, 5]);
    await until("the ends of three told, which wait for others", () => one.executor.running() === 3);
  });

  test("are told together where nothing is to be told but when, and one by one otherwise", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell, { width: 10 }), unitOf(shell, { first: 20, count: 2, width: 2 })]);
    const failed = report(1, 5, 1, "failed");
    one.guard.events.onFinished([plain(3), failed, plain(2), plain(20), plain(7)]);
    await settle();
    expect(tasksIn(one.seen.units)).toEqual([2, 3, 7, 20]);
    expect(unpackRuns(one.seen.units[0]!.runs)![1]).toMatchObject({ first: 3, startedAt: 103, finishedAt: 200 });
    expect(one.seen.singles).toEqual([failed]);
    expect(one.guard.acknowledged.toSorted()).toEqual(["2.1", "20.1", "3.1", "5.1", "7.1"]);
  });

  test("are given back where they wait when their job is held, and what runs goes on (J1)", async () => {
    const given: number[] = [];
    const held = new Set<JobId>();
    await using one = await rig({}, giving(given, held));
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell), unitOf(shell, { job: jobId(2), at: of(2) })]);
    held.add(jobId(1));
    one.executor.review([jobId(1)]);
    await settle();
    expect(given.toSorted((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9]);
    one.guard.end(0, 1, 2);
    await settle();
    expect(one.guard.started.filter(({ job }) => job === 1).map(({ task }) => task)).toEqual([0, 1, 2]);
    one.guard.events.onFinished([report(2, 0, 1)]);
    await settle();
    expect(one.guard.started.filter(({ job }) => job === 2).map(({ task }) => task)).toEqual([0, 1, 2, 3]);
  });

  test("are given back by the process that comes after, if their job was held meanwhile", async () => {
    const given: number[] = [];
    const listing = { running: [{ job: jobId(1), task: 1, attempt: 1, startedAt: 5 }] };
    await using one = await rig(listing, giving(given, new Set([jobId(1)])));
    one.lease();
    one.executor.reconcile([], [unitOf(shell)]);
    await settle();
    expect(given.toSorted((a, b) => a - b)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([one.guard.starts, one.guard.stopped, one.guard.dropped]).toEqual([[], [], []]);
  });

  test("of driver noop that an earlier process may have begun begin again, and are not given back: the state would not take them", async () => {
    const given: number[] = [];
    await using one = await rig({}, giving(given, new Set([jobId(1), jobId(2)])));
    const noop: Spec = { driver: "noop", noop: { forMs: 1 } };
    one.executor.reconcile([of(2, noop)(7)], [unitOf(noop, { count: 4, at: of(1, noop) })]);
    one.lease();
    await until("the ends of all", () => one.seen.singles.length + tasksIn(one.seen.units).length === 5);
    one.executor.review();
    expect(given).toEqual([]);
  });

  test("that the guard refused wait no more, if their job was held meanwhile", async () => {
    const given: number[] = [];
    const held = new Set<JobId>();
    await using one = await rig({}, giving(given, held));
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell, { count: 2 })]);
    held.add(jobId(1));
    one.executor.review([jobId(1)]);
    expect(given).toEqual([]);
    one.guard.events.onRefused([{ job: jobId(1), task: 1, attempt: 1 }]);
    one.lease();
    await settle();
    expect([given, one.guard.starts]).toEqual([[1], [0, 1]]);
  });

  test("are given back as many as are wanted elsewhere, the last ones first; the others begin in their turn", async () => {
    const given: number[] = [];
    await using one = await rig({}, giving(given));
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    one.executor.relieve([{ job: jobId(1), first: 0, most: 5 }]);
    await settle();
    expect(given.toSorted((a, b) => a - b)).toEqual([5, 6, 7, 8, 9]);
    one.guard.end(0, 1, 2);
    await settle();
    expect(one.guard.starts).toEqual([0, 1, 2, 3, 4]);
    one.executor.drop(given.map((task) => ({ job: jobId(1), task, attempt: 1 })));
    one.executor.relieve([{ job: jobId(1), first: 0, most: 5 }]);
    one.guard.end(3, 4);
    await settle();
    expect([given.length, one.guard.starts.length]).toEqual([5, 5]);
  });

  test("that take no time and were given back are not run with the others of their unit (J1)", async () => {
    const given: number[] = [];
    const instant: Spec = { driver: "noop", slots: 1 };
    await using one = await rig({}, { ...giving(given), capacity: { slots: 1, ioTasks: 1 } });
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell, { count: 1 })]);
    one.executor.assign([], [unitOf(instant, { job: jobId(2), at: of(2, instant) })]);
    one.executor.relieve([{ job: jobId(2), first: 0, most: 4 }]);
    one.guard.end(0);
    await settle();
    await until("the others told", () => one.seen.units.length > 0);
    expect([tasksIn(one.seen.units), given.length]).toEqual([[0, 1, 2, 3, 4, 5], 4]);
  });

  test("wait for a lease that covers their unit (J3)", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease(4);
    one.executor.assign([], [unitOf(shell)]);
    expect([one.guard.starts, one.seen.leasesWanted]).toEqual([[], 1]);
    one.lease(5);
    expect(one.guard.starts).toEqual([0, 1, 2]);
  });

  test("that take no time are run at once, each with its own times, and told once", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    const before = Date.now();
    one.executor.assign(
      [],
      [
        unitOf(
          { driver: "noop" },
          {
            count: 4096,
            running: [
              { first: 0, count: 100 },
              { first: 200, count: 3896 },
            ],
          },
        ),
      ],
    );
    expect(one.executor.running()).toBe(1);
    await settle();
    expect(one.seen.units).toHaveLength(1);
    expect(tasksIn(one.seen.units)).toHaveLength(3996);
    let at = before;
    for (const { startedAt, finishedAt } of unpackRuns(one.seen.units[0]!.runs)!) {
      expect(startedAt).toBeGreaterThanOrEqual(at);
      expect(finishedAt).toBeGreaterThanOrEqual(startedAt);
      at = startedAt;
    }
    expect(one.executor.running()).toBe(0);
  });

  test("that take no time have each the start and the end that the clock says then, and no other task's", () => {
    let clock = 1_000;
    const unit = unitOf(
      { driver: "noop" },
      {
        count: 10,
        running: [
          { first: 0, count: 4 },
          { first: 6, count: 4 },
        ],
      },
    );
    const runs = unpackRuns(runInstant(new HeldUnit(unit), () => (clock += 1)).runs)!;
    const times = runs.flatMap(({ first, count, startedAt, finishedAt }) =>
      Array.from({ length: count }, (_, at) => [first + at, startedAt, finishedAt]),
    );
    expect(times).toEqual([0, 1, 2, 3, 6, 7, 8, 9].map((task, at) => [task, 1_001 + 2 * at, 1_002 + 2 * at]));
    // Within a millisecond they are one run of the same two.
    expect(unpackRuns(runInstant(new HeldUnit(unit), () => 5_000).runs)).toMatchObject([
      { first: 0, count: 4, startedAt: 5_000 },
      { first: 6, count: 4, startedAt: 5_000 },
    ]);
  });

  test("are told until the log has them, and one by one when it takes them not at all (J2)", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    let tries = 0;
    const told = new Promise<void>((resolve) => {
      one.answerWith(() => {
        tries += 1;
        if (tries === 1) return Promise.reject(new Fault("peer-unreachable", "no leader", "safe"));
        if (tries === 2) return Promise.reject(new Fault("peer-refused", "wrong shape", "never"));
        if (tries === 5) resolve();
        return Promise.resolve();
      });
    });
    one.executor.assign([], [unitOf({ driver: "noop" }, { count: 3 })]);
    await told;
    await settle();
    expect(one.seen.units).toEqual([]);
    expect(one.seen.singles.map(({ task, state }) => [task, state])).toEqual(
      [0, 1, 2].map((task) => [task, "succeeded"]),
    );
  });

  test("end as cancelled with their job, those that wait at once", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell, { count: 6 }), unitOf(shell, { first: 6, count: 4 })]);
    one.executor.stop([], [{ job: jobId(1), first: 0 }]);
    await settle();
    expect(one.guard.stopped).toEqual(["0.1", "1.1", "2.1"]);
    expect(one.seen.singles.map(({ task, state }) => `${task} ${state}`)).toEqual([
      "3 cancelled",
      "4 cancelled",
      "5 cancelled",
    ]);
    one.executor.stop([{ job: jobId(1), task: 9, attempt: 1 }]);
    await settle();
    expect(one.seen.singles.at(-1)).toMatchObject({ task: 9, state: "cancelled" });
    expect(one.guard.starts).toEqual([0, 1, 2, 6, 7, 8]);
  });

  test("do not begin when they were given to others, and make room", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    one.executor.drop([3, 1, 0].map((task) => ({ job: jobId(1), task, attempt: 1 })));
    await settle();
    expect(one.guard.dropped.toSorted()).toEqual(["0.1", "1.1"]);
    expect(one.guard.starts).toEqual([0, 1, 2, 4, 5]);
  });

  test("begin with the time that was added while they waited", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    one.executor.extend([{ job: jobId(1), task: 3, attempt: 1, ms: 500 }]);
    one.guard.end(0);
    await settle();
    expect(one.guard.started.map(({ task, timeoutMs }) => [task, timeoutMs])).toEqual([
      [0, 1000],
      [1, 1000],
      [2, 1000],
      [3, 1500],
    ]);
  });
});

describe("a node that has started finds", () => {
  const started = (task: number) => ({ job: jobId(1), task, attempt: 1, startedAt: 1 });

  test("what its guard runs and has ended of a unit, and begins the others as there is room", async () => {
    await using one = await rig({ running: [started(1), started(4)], finished: [plain(0), plain(9)] });
    const running = [
      { first: 0, count: 6 },
      { first: 7, count: 1 },
    ];
    one.executor.reconcile([], [unitOf(shell, { running })]);
    one.lease();
    await settle();
    expect(one.guard.starts).toEqual([2]);
    expect(tasksIn(one.seen.units).concat(one.seen.singles.map(({ task }) => task))).toEqual([0]);
    expect(one.guard.acknowledged).toContain("9.1"); // the state has its end already
    one.guard.end(1, 4);
    await settle();
    expect(one.guard.starts).toEqual([2, 3, 5]);
    one.guard.end(2, 3, 5);
    await settle();
    expect(one.guard.starts).toEqual([2, 3, 5, 7]);
  });

  test("nothing of what a guard that is gone may have begun: that is lost", async () => {
    await using one = await rig({ exact: false, running: [started(1)] });
    one.executor.reconcile([], [unitOf(shell, { count: 4 })]);
    one.lease();
    await settle();
    expect(one.guard.starts).toEqual([]);
    expect(one.guard.lost).toEqual(["0.1", "2.1", "3.1"]);
  });

  test("that its state gives it a unit no more", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    one.executor.reconcile([], []);
    await settle();
    expect(one.guard.dropped.toSorted()).toEqual(["0.1", "1.1", "2.1"]);
    expect(one.guard.starts).toEqual([0, 1, 2]);
  });

  test("the unit that it holds, without what has been taken away of it", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [unitOf(shell)]);
    one.executor.reconcile(
      [],
      [
        unitOf(shell, {
          running: [
            { first: 1, count: 2 },
            { first: 6, count: 1 },
          ],
        }),
      ],
    );
    await settle();
    expect(one.guard.dropped).toEqual(["0.1"]);
    expect(one.guard.starts).toEqual([0, 1, 2, 6]);
  });
});

describe("tasks of a unit that is one process", () => {
  const module: Spec = { driver: "ansible", ansible: { module: "ping", connection: "local" } };
  const group = (from: Partial<UnitAssignment> = {}): UnitAssignment => {
    const unit = unitOf(module, { width: 1, ...from });
    return { ...unit, at: (task) => ({ ...unit.at(task), target: `h${task}` }) };
  };
  const members = ({ guard }: Awaited<ReturnType<typeof rig>>): (readonly number[])[] =>
    guard.started.map(({ ansible }) => ansible!.members.map(({ task }) => task));

  test("begin together, in the room of one, which is free when the last of them has ended", async () => {
    await using one = await rig(undefined, { capacity: { slots: 1, ioTasks: 1 } });
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [group({ count: 3 }), group({ first: 10, count: 2 })]);
    expect(members(one)).toEqual([[0, 1, 2]]);
    one.guard.end(0, 2);
    await settle();
    expect(members(one).length).toBe(1);
    one.guard.end(1);
    await settle();
    expect(members(one)).toEqual([
      [0, 1, 2],
      [10, 11],
    ]);
  });

  test("found in the guard by the node's next process, they take the room of one again", async () => {
    const running = [0, 1, 2].map((task) => ({ job: jobId(1), task, attempt: 1, startedAt: 100 }));
    await using one = await rig({ running }, { capacity: { slots: 2, ioTasks: 1 } });
    one.executor.reconcile([], [group({ count: 3 })]);
    one.lease();
    one.executor.assign([], [group({ first: 10, count: 2 }), group({ first: 20, count: 2 })]);
    await settle();
    expect(members(one)).toEqual([[10, 11]]);
  });

  test("are given one by one to a guard of a release that knows no groups", async () => {
    await using one = await rig({ knowsGroups: false });
    one.executor.reconcile([]);
    one.lease();
    one.executor.assign([], [group({ count: 2 })]);
    expect(members(one)).toEqual([[0]]);
    one.guard.end(0);
    await settle();
    expect(members(one)).toEqual([[0], [1]]);
  });

  test("those that wait are cancelled, and begin with nobody", async () => {
    await using one = await rig();
    one.executor.reconcile([]);
    one.executor.assign([], [group({ count: 3 })]);
    one.executor.stop([{ job: jobId(1), task: 1, attempt: 1 }]);
    one.lease();
    expect(members(one)).toEqual([[0, 2]]);
  });
});
