import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { CalendarEvents } from "../../src/lib/calendar-events.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { jitterOf } from "../../src/state/schedules.ts";
import type { Step } from "../../src/state/firing.ts";
import { findJob, findNode } from "../../src/state/queries.ts";
import { firesBefore, scheduleTotals } from "../../src/state/tables/schedule-fire.ts";
import { calendarEvents } from "../../src/state/tables/calendar.ts";
import { moveScope, scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import {
  dueSchedules,
  scheduleByName,
  scheduleIds,
  schedulesAfter,
  schedulesUsing,
} from "../../src/state/tables/schedule.ts";
import { admin, announcement, Cluster } from "./support.ts";

/** Situations of schedules in the state alone: what steps do, which are refused (C1), and what their jobs come to. */

const minute = 60_000;
/** A whole minute, so that instants are easy to read. */
const t0 = 1_000_000 * minute;

function cluster(): Cluster {
  const made = Cluster.ofNewest(1);
  made.now = t0;
  return made;
}

function set(on: Cluster, schedule: Record<string, unknown>): void {
  const whole = { name: "s", every: "1m", job: { run: "true" }, ...schedule };
  on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [whole] }), admin);
}

function calendarsOf(on: Cluster): ReadonlyMap<string, CalendarEvents> {
  const names = ["holidays", "office"];
  return new Map(
    names.flatMap((name) => {
      const events = calendarEvents(on.database, name);
      return events === undefined ? [] : [[name, events] as const];
    }),
  );
}

function setCalendar(on: Cluster, name: string, from: number, to: number): void {
  const events = JSON.stringify({ spans: [[t0 + from * minute, t0 + to * minute]], windows: [] });
  on.must("calendar.set", { name, description: null, events, until: null }, admin);
}

/** The step that an evaluator would propose now. */
function plan(on: Cluster, name = "s"): Step {
  const row = scheduleByName(on.database, name)!;
  const scope = scheduleScope(on.database);
  const { to, check, fires, skips } = atOnce(planFires({ row, scope, calendars: calendarsOf(on) }, on.now));
  return [row.id, row.revision, row.watermark, to, check, fires, skips];
}

function take(on: Cluster, step: Step, scope = scheduleScope(on.database).scope): string | undefined {
  return on.must("schedule.step", { scope, steps: [step] }).refused[0]?.[1];
}

/** [minutes since t0, what, minutes of the end of the run, how many] of all lines, oldest first. */
function history(on: Cluster, name = "s"): [number, string, number, number][] {
  const { id } = scheduleByName(on.database, name)!;
  return firesBefore(on.database, id, Number.MAX_SAFE_INTEGER, 10_000)
    .toReversed()
    .map(({ at, until, count, reason }) => [(at - t0) / minute, reason ?? "fired", (until - t0) / minute, count]);
}

function step(on: Cluster): void {
  expect(take(on, plan(on))).toBeUndefined();
}

describe("a schedule", () => {
  test("fires each instant once, whoever proposes it again, and is looked at again at the next one", () => {
    const on = cluster();
    set(on, { overlap: "allow" });
    step(on);
    expect(scheduleByName(on.database, "s")).toMatchObject({ watermark: t0, check_at: t0 + minute });
    on.now = t0 + minute;
    const due = plan(on);
    expect(take(on, due)).toBeUndefined();
    expect(take(on, due)).toBe("stale");
    expect(history(on)).toEqual([[1, "fired", 1, 1]]);
    expect(findJob(on.database, 1)?.spec["env"]).toMatchObject({
      SKEIN_SCHEDULE: "s",
      SKEIN_FIRE_AT: "1971-11-26T10:41:00.000Z",
    });
  });

  test("refuses a step of another revision, another watermark, another scope, or of what is still to come", () => {
    const on = cluster();
    set(on, { overlap: "allow" });
    step(on);
    on.now = t0 + minute;
    const [id, revision, from, to, check, fires, skips] = plan(on);
    const scope = scheduleScope(on.database).scope;
    expect(take(on, [id, revision + 1, from, to, check, fires, skips])).toBe("stale");
    expect(take(on, [id, revision, from - 1, to, check, fires, skips])).toBe("stale");
    expect(take(on, [id + 1, revision, from, to, check, fires, skips])).toBe("gone");
    expect(take(on, [id, revision, from, to, check, fires, skips], scope + 1)).toBe("stale");
    on.now = t0 + minute - 1;
    // The state's clock has been further by now, and does not count.
    expect(take(on, [id, revision, from, to, check, fires, skips])).toBe("early");
    on.now = t0 + minute;
    expect(take(on, [id, revision, from, to, check, fires, skips])).toBeUndefined();
    expect(history(on)).toEqual([[1, "fired", 1, 1]]);
  });

  test("refuses what would be missed only by a clock that is ahead", () => {
    const on = cluster();
    set(on, { every: "1h", jitter: "30m", missed: "skip" });
    step(on);
    const row = scheduleByName(on.database, "s")!;
    const at = Math.ceil((t0 + 1) / 3_600_000) * 3_600_000;
    on.now = at + jitterOf("s", 1_800_000) - 1_000;
    const skip: Step = [row.id, row.revision, row.watermark, at, at + 3_600_000, [], [["missed", at, at, 1]]];
    expect(take(on, skip)).toBe("early");
    on.now += 20_000;
    expect(take(on, skip)).toBeUndefined();
  });

  test("that is set as it is changes nothing, also when its instant has passed", () => {
    const on = cluster();
    const once = { every: undefined, at: "1971-11-26T10:41:00Z" };
    set(on, once);
    step(on);
    on.now = t0 + minute;
    step(on);
    const before = scheduleByName(on.database, "s");
    set(on, once);
    expect(scheduleByName(on.database, "s")).toEqual(before);
    expect(
      on.refused(
        "schedule.set",
        commandByName("schedule.set").input.parse({ schedules: [{ ...once, name: "new", job: { run: "x" } }] }),
        admin,
      )[0],
    ).toBe("invalid");
  });

  test("keeps its history short, also of jobs that were asked for by hand", () => {
    const on = cluster();
    set(on, { overlap: "allow", history: 20 });
    for (let fire = 0; fire < 100; fire++) on.must("schedule.fire", { schedule: "s" }, admin);
    expect(history(on).length).toBeLessThanOrEqual(36);
  });

  test("one wrong step of a batch holds up no other", () => {
    const on = cluster();
    set(on, { name: "a", overlap: "allow" });
    set(on, { name: "b", overlap: "allow" });
    for (const name of ["a", "b"]) expect(take(on, plan(on, name))).toBeUndefined();
    on.now = t0 + minute;
    const [id, ...rest] = plan(on, "a");
    const { refused } = on.must("schedule.step", {
      scope: 0,
      steps: [[id + 100, ...rest] as Step, plan(on, "b"), [id, ...rest] as Step],
    });
    expect(refused).toEqual([[0, "gone"]]);
    expect(history(on, "a")).toHaveLength(1);
    expect(history(on, "b")).toHaveLength(1);
  });

  test("that may not overlap records the instant beside its running job, and goes on after it", () => {
    const on = cluster();
    set(on, {});
    step(on);
    for (const at of [1, 2]) {
      on.now = t0 + at * minute;
      step(on);
    }
    on.assign(1, 1, [0, 1]);
    on.finish(1, 0, 1, 1, "failed");
    expect(scheduleByName(on.database, "s")).toMatchObject({ failing: 1, last_state: "failed" });
    on.now = t0 + 3 * minute;
    step(on);
    expect(history(on)).toEqual([
      [1, "fired", 1, 1],
      [2, "overlap", 2, 1],
      [3, "fired", 3, 1],
    ]);
  });

  test("with overlap queue has one job run and one wait, and in their order", () => {
    const on = cluster();
    set(on, { overlap: "queue" });
    step(on);
    for (const at of [1, 2, 3]) {
      on.now = t0 + at * minute;
      step(on);
    }
    expect(history(on).map(([, what]) => what)).toEqual(["fired", "fired", "overlap"]);
  });
});

test("one that had reached its limit and is set again makes up nothing of what came while it had ended", () => {
  const on = cluster();
  set(on, { overlap: "allow", limit: 1 });
  step(on);
  on.now = t0 + minute;
  step(on);
  expect(scheduleByName(on.database, "s")).toMatchObject({ check_at: null });
  on.now = t0 + 10 * minute + 1;
  set(on, { overlap: "allow", limit: 2 });
  step(on);
  on.now = t0 + 11 * minute;
  step(on);
  expect(history(on)).toEqual([
    [1, "fired", 1, 1],
    [11, "fired", 11, 1],
  ]);
});

describe("the tables", () => {
  test("give schedules by name and by id, page by page, and those of a calendar", () => {
    const on = cluster();
    for (const name of ["b", "a", "c"]) set(on, { name });
    expect(schedulesAfter(on.database, "a", 2).map(({ name }) => name)).toEqual(["b", "c"]);
    expect(scheduleIds(on.database, 1, 10)).toEqual([2, 3]);
    on.now += minute;
    set(on, { name: "d" });
    const ids = (...after: [number, number]): number[] =>
      dueSchedules(on.database, on.now, { id: after[0], check_at: after[1] }, 2).map(({ id }) => id);
    expect(ids(0, -1)).toEqual([1, 2]);
    expect(ids(2, t0)).toEqual([3, 4]);
    expect(ids(4, t0 + minute)).toEqual([]);
    expect(schedulesUsing(on.database, "holidays", 10)).toEqual([]);
  });

  test("know which zones' data a node works schedules out by, from its start on", () => {
    const on = cluster();
    on.must("node.seen", { node: nodeId(1), ...announcement(1), level: ownLevel, zones: "2026b 1f" });
    expect(findNode(on.database, nodeId(1))?.zones).toBe("2026b 1f");
  });

  test("know since which entry steps of before count no more", () => {
    const on = cluster();
    const { applied } = on.database;
    on.database.transaction(applied, applied + 1, () => moveScope(on.database, 17));
    expect(scheduleScope(on.database).scope).toBe(17);
  });
});

describe("instants that nobody looked at", () => {
  test("latest: the newest one is made up, the others are recorded, and what is older than catch_up too", () => {
    const on = cluster();
    set(on, { catch_up: "10m", overlap: "allow" });
    step(on);
    on.now = t0 + 30 * minute + 30_000;
    step(on);
    expect(history(on)).toEqual([
      [1, "missed", 29, 29],
      [30, "fired", 30, 1],
    ]);
  });

  test("latest: one that is on time is the newest, and none is made up beside it", () => {
    const on = cluster();
    set(on, { overlap: "allow" });
    step(on);
    on.now = t0 + 5 * minute + 1;
    step(on);
    expect(history(on)).toEqual([
      [1, "missed", 4, 4],
      [5, "fired", 5, 1],
    ]);
  });

  test("all: the newest missed_most within catch_up, the oldest of them first", () => {
    const on = cluster();
    set(on, { missed: "all", missed_most: 3, overlap: "allow" });
    step(on);
    on.now = t0 + 10 * minute + 30_000;
    step(on);
    expect(history(on)).toEqual([
      [1, "missed", 7, 7],
      [8, "fired", 8, 1],
      [9, "fired", 9, 1],
      [10, "fired", 10, 1],
    ]);
  });

  test("skip: none is made up, and one that is a moment late fires", () => {
    const on = cluster();
    set(on, { missed: "skip", overlap: "allow" });
    step(on);
    on.now = t0 + 3 * minute + 5_000;
    step(on);
    expect(history(on)).toEqual([
      [1, "missed", 2, 2],
      [3, "fired", 3, 1],
    ]);
  });

  test("of a pause are recorded, and not made up, whether the schedule or the whole mesh is paused", () => {
    const on = cluster();
    set(on, { missed: "all", overlap: "allow" });
    step(on);
    on.now = t0 + 1.5 * minute;
    on.must("schedule.pause", { names: ["s"], paused: true }, admin);
    on.now = t0 + 3.5 * minute;
    on.must("schedule.pause", { names: ["s"], paused: false }, admin);
    on.now = t0 + 5.5 * minute;
    on.must("schedule.pause-all", { paused: true }, admin);
    on.now = t0 + 7.5 * minute;
    on.must("schedule.pause-all", { paused: false }, admin);
    on.now = t0 + 8 * minute;
    step(on);
    expect(history(on)).toEqual([
      [1, "fired", 1, 1],
      [2, "paused", 3, 2],
      [4, "fired", 4, 1],
      [5, "fired", 5, 1],
      [6, "paused", 7, 2],
      [8, "fired", 8, 1],
    ]);
  });

  test("before a change fire as what held then said, and those behind it as what holds now", () => {
    const on = cluster();
    set(on, { overlap: "allow" });
    step(on);
    on.now = t0 + minute + 500;
    set(on, { every: "5m", overlap: "allow" });
    on.now = t0 + minute + 1_000;
    step(on);
    expect(history(on)).toEqual([[1, "fired", 1, 1]]);
    expect(scheduleByName(on.database, "s")).toMatchObject({ former: null, check_at: t0 + 5 * minute });
  });
});

test("a run that goes on over several looks is one line, and pushes nothing out of the history", () => {
  const on = cluster();
  set(on, { overlap: "allow", history: 16 });
  step(on);
  for (let at = 1; at <= 3; at++) {
    on.now = t0 + at * minute;
    step(on);
  }
  on.must("schedule.pause", { names: ["s"], paused: true }, admin);
  for (let at = 4; at <= 40; at++) {
    on.now = t0 + at * minute;
    step(on);
  }
  on.must("schedule.pause", { names: ["s"], paused: false }, admin);
  on.now = t0 + 41 * minute;
  step(on);
  expect(history(on)).toEqual([
    [1, "fired", 1, 1],
    [2, "fired", 2, 1],
    [3, "fired", 3, 1],
    [4, "paused", 40, 37],
    [41, "fired", 41, 1],
  ]);
});

describe("calendars", () => {
  test("close a schedule while they are on, or open it only then, and each instant says so", () => {
    const on = cluster();
    setCalendar(on, "holidays", 2, 4);
    setCalendar(on, "office", 0, 6);
    set(on, { overlap: "allow", missed: "all", calendars: ["holidays", "only:office"] });
    step(on);
    on.now = t0 + 8 * minute;
    step(on);
    expect(history(on)).toEqual([
      [1, "fired", 1, 1],
      [2, "window", 3, 2],
      [4, "fired", 4, 1],
      [5, "fired", 5, 1],
      [6, "window", 8, 3],
    ]);
  });

  test("that are set anew make steps of before stale, and are kept while a schedule goes by them", () => {
    const on = cluster();
    setCalendar(on, "holidays", 0, 10);
    set(on, { overlap: "allow", calendars: ["holidays"] });
    step(on);
    on.now = t0 + minute;
    const [closed, scope] = [plan(on), scheduleScope(on.database).scope];
    setCalendar(on, "holidays", 5, 10);
    expect(take(on, closed, scope)).toBe("stale");
    step(on);
    expect(history(on)).toEqual([[1, "fired", 1, 1]]);
    expect(schedulesUsing(on.database, "holidays", 10)).toEqual(["s"]);
    expect(on.refused("calendar.rm", { calendar: "holidays" }, admin)[0]).toBe("conflict");
    on.must("schedule.rm", { names: ["s"] }, admin);
    on.must("calendar.rm", { calendar: "holidays" }, admin);
  });
});

describe("an end", () => {
  test("comes after limit jobs; the instants of the same step behind it are recorded", () => {
    const on = cluster();
    set(on, { limit: 2, missed: "all", overlap: "allow" });
    step(on);
    on.now = t0 + 4 * minute;
    step(on);
    expect(history(on)).toEqual([
      [1, "fired", 1, 1],
      [2, "fired", 2, 1],
      [3, "limit", 4, 2],
    ]);
    expect(scheduleByName(on.database, "s")?.check_at).toBeNull();
    expect(scheduleTotals(on.database)).toEqual(
      new Map([
        ["fired", 2],
        ["limit", 2],
        ["schedules", 1],
      ]),
    );
  });

  test("is none for a schedule that is fired by hand: it makes a job, and stays ended", () => {
    const on = cluster();
    set(on, { every: undefined, at: "1971-11-26T10:41:00Z" });
    step(on);
    on.now = t0 + minute;
    step(on);
    expect(scheduleByName(on.database, "s")?.check_at).toBeNull();
    expect(on.refused("schedule.fire", { schedule: "s" }, admin)[0]).toBe("conflict");
    expect(on.must("schedule.fire", { schedule: "s", force: true }, admin).job).toBe(2 as never);
    // The second one was on its way when the first was applied.
    const keyed = { schedule: "s", force: true, key: "k", digest: "d" };
    const jobs = [1, 2].map(() => on.must("schedule.fire", keyed, admin));
    expect(jobs).toMatchObject([
      { job: 3, repeated: false },
      { job: 3, repeated: true },
    ]);
    expect(on.refused("schedule.fire", { ...keyed, digest: "e" }, admin)[0]).toBe("conflict");
    expect(scheduleByName(on.database, "s")?.check_at).toBeNull();
  });
});

describe("what waits for its jitter", () => {
  const hour = 60 * minute;
  const first = Math.ceil((t0 + 1) / hour) * hour;

  /** An hour has come, and is not due yet. */
  function waiting(): { on: Cluster; due: number } {
    const on = cluster();
    set(on, hourly);
    step(on);
    on.now = first + 1;
    return { on, due: first + jitterOf("s", 30 * minute) };
  }

  const hourly = { every: "1h", jitter: "30m", overlap: "allow" };

  function kinds(on: Cluster): [number, string][] {
    return history(on).map(([at, what]) => [at * minute + t0, what]);
  }

  test("goes on waiting when its schedule is changed, and does then what it says by then", () => {
    const { on, due } = waiting();
    set(on, { ...hourly, job: { run: "other" } });
    step(on);
    expect(history(on)).toEqual([]);
    expect(scheduleByName(on.database, "s")).toMatchObject({ check_at: due });
    const [id, revision, from] = plan(on);
    expect(take(on, [id, revision, from, first, due, [first], []])).toBe("early");
    on.now = due;
    step(on);
    expect(kinds(on)).toEqual([[first, "fired"]]);
    expect(findJob(on.database, 1)!.spec["run"]).toBe("other");
  });

  test("waits no longer once another instant is due, by what holds now", () => {
    const { on, due } = waiting();
    set(on, { every: "1m", overlap: "allow" });
    step(on);
    expect(history(on)).toEqual([]);
    expect(first + minute).toBeLessThan(due);
    on.now = first + minute - 1;
    step(on);
    expect(history(on)).toEqual([]);
    on.now = first + minute;
    step(on);
    expect(kinds(on)).toEqual([
      [first, "fired"],
      [first + minute, "fired"],
    ]);
  });

  test("is let go of in as many steps as it takes, none of which is refused as early", () => {
    const on = cluster();
    set(on, { every: "1s", jitter: "10h", overlap: "allow" });
    step(on);
    const jitter = jitterOf("s", 10 * hour);
    on.now = t0 + Math.min(jitter, 25 * minute);
    set(on, { every: "1s", overlap: "allow" });
    on.now += 1_500;
    const waited = Math.floor((on.now - t0) / 1_000);
    // The first fires of a step alone, as where there is room for a few jobs.
    const [id, revision, from, , , fires] = plan(on);
    const few = fires.slice(0, 4);
    expect(take(on, [id, revision, from, few.at(-1)!, on.now, few, []])).toBeUndefined();
    for (let steps = 0; scheduleByName(on.database, "s")!.check_at! <= on.now; steps++) {
      expect(steps).toBeLessThan(10);
      step(on);
    }
    expect(waited).toBeGreaterThan(limits.firesPerStep);
    expect(history(on).every(([, what]) => what === "fired")).toBe(true);
    expect(scheduleByName(on.database, "s")).toMatchObject({ runs: waited });
  });

  test("keeps nobody from changing the schedule, nor from pausing it", () => {
    const { on, due } = waiting();
    for (let more = 0; more < 200; more++) {
      on.now += 1_000;
      set(on, { ...hourly, description: `changed ${more} times` });
      on.must("schedule.pause", { names: ["s"], paused: more % 2 === 0 }, admin);
      step(on);
    }
    expect(on.now).toBeLessThan(due);
    on.now = due;
    step(on);
    expect(kinds(on)).toEqual([[first, "fired"]]);
  });

  for (const [who, pause] of [
    ["itself", (on: Cluster, paused: boolean) => on.must("schedule.pause", { names: ["s"], paused }, admin)],
    ["the mesh", (on: Cluster, paused: boolean) => on.must("schedule.pause-all", { paused }, admin)],
  ] as const) {
    test(`does nothing in a pause of ${who} that is there when it is due`, () => {
      const { on, due } = waiting();
      pause(on, true);
      step(on);
      on.now = due;
      step(on);
      on.now = due + 1;
      pause(on, false);
      on.now = first + hour;
      step(on);
      expect(kinds(on)).toEqual([[first, "paused"]]);
    });

    test(`fires when a pause of ${who} is over before it is due`, () => {
      const { on, due } = waiting();
      pause(on, true);
      step(on);
      on.now += 1_000;
      pause(on, false);
      step(on);
      expect(history(on)).toEqual([]);
      on.now = due;
      step(on);
      expect(kinds(on)).toEqual([[first, "fired"]]);
    });
  }
});

test("a schedule that is set while the state's clock is ahead of its only node's goes by that node's", () => {
  const on = cluster();
  on.now = t0 + 60 * minute;
  set(on, { name: "other" });
  on.now = t0 + 1;
  set(on, { overlap: "allow" });
  step(on);
  on.now = t0 + minute;
  step(on);
  expect(history(on)).toEqual([[1, "fired", 1, 1]]);
  on.must("schedule.pause-all", { paused: true }, admin);
  on.must("schedule.pause-all", { paused: false }, admin);
  on.must("schedule.pause", { names: ["s"], paused: true }, admin);
  on.now = t0 + 2 * minute;
  step(on);
  on.must("schedule.pause", { names: ["s"], paused: false }, admin);
  on.now = t0 + 3 * minute;
  step(on);
  expect(history(on)).toEqual([
    [1, "fired", 1, 1],
    [2, "paused", 2, 1],
    [3, "fired", 3, 1],
  ]);
});

test("that an instant was missed is taken only once it is late", () => {
  const on = cluster();
  set(on, { missed: "skip" });
  step(on);
  const row = scheduleByName(on.database, "s")!;
  const at = t0 + minute;
  const skip: Step = [row.id, row.revision, row.watermark, at, at + minute, [], [["missed", at, at, 1]]];
  on.now = at + 9_999;
  expect(take(on, skip)).toBe("early");
  on.now = at + 10_000;
  expect(take(on, skip)).toBeUndefined();
});

test("a job that cannot be made again and again for one reason is one line", () => {
  const on = cluster();
  set(on, { overlap: "allow" });
  step(on);
  for (let at = 1; at <= 3; at++) {
    on.now = t0 + at * minute;
    const [id, revision, from, to, check, fires, skips] = plan(on);
    const why = at < 3 ? "there is no template t" : "there is no inventory i";
    expect(take(on, [id, revision, from, to, check, fires, skips, [{ why }]])).toBeUndefined();
  }
  expect(history(on)).toEqual([
    [1, "refused", 2, 2],
    [3, "refused", 3, 1],
  ]);
});
