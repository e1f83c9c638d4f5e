import { describe, expect, test } from "bun:test";
import { atOnce } from "../../src/lib/turns.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import type { Step } from "../../src/state/firing.ts";
import { hasRemains } from "../../src/state/forgetting.ts";
import { totals } from "../../src/state/queries.ts";
import { firesBefore } from "../../src/state/tables/schedule-fire.ts";
import { loadOf } from "../../src/state/tables/load.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { sql } from "../../src/state/tx.ts";
import type { Principal } from "../../src/state/types.ts";
import { admin, Cluster, record } from "./support.ts";

/** What schedules may take of the cluster: jobs of whoever set them, jobs of one command, rows of one entry (L1). */

const minute = 60_000;
const t0 = 1_000_000 * minute;
const bert: Principal = { ...admin, name: "bert" };

function cluster(): Cluster {
  const made = Cluster.ofNewest(1);
  made.now = t0;
  return made;
}

function set(on: Cluster, names: readonly string[], by: Principal = admin, more: Record<string, unknown> = {}): void {
  const schedules = names.map((name) => ({ name, every: "1m", overlap: "allow", job: { run: "true" }, ...more }));
  on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules }), by);
}

/** The steps that an evaluator would propose at that minute. */
function plan(on: Cluster, at: number, ...names: string[]): Step[] {
  on.now = t0 + at * minute;
  return names.map((name) => {
    const row = scheduleByName(on.database, name)!;
    const { to, check, fires, skips } = atOnce(
      planFires({ row, scope: scheduleScope(on.database), calendars: new Map() }, on.now),
    );
    return [row.id, row.revision, row.watermark, to, check, fires, skips];
  });
}

function take(on: Cluster, steps: readonly Step[]): void {
  expect(on.must("schedule.step", { scope: scheduleScope(on.database).scope, steps }).refused).toEqual([]);
}

/** [minutes since t0, what, message] of all lines, oldest first. */
function history(on: Cluster, name: string): [number, string, string | null][] {
  const { id } = scheduleByName(on.database, name)!;
  return firesBefore(on.database, id, Number.MAX_SAFE_INTEGER, 10_000)
    .toReversed()
    .map(({ at, reason, message }) => [(at - t0) / minute, reason ?? "fired", message]);
}

function limit(on: Cluster, name: string, jobs: number | null): void {
  on.must("submitter.set", { name, jobs_max: jobs }, admin);
}

const reached = (name: string, jobs: number): string =>
  `${name}, who set the schedule, has ${jobs} unfinished jobs and may have ${jobs}: wait for some to finish, or ask an admin for more ('skein submitters')`;

const lineRows = sql("select count(*) as rows from schedule_fire");
const openRows = sql("select count(*) as rows from schedule_open");
const lines = (on: Cluster): number => on.database.get<{ rows: number }>(lineRows)!.rows;

describe("rows of one entry", () => {
  test("are few where schedules with long histories go: nobody sees these any more, and they are swept in steps", () => {
    const on = cluster();
    const names = ["a", "b", "c"];
    set(on, names, admin, { missed: "all", missed_most: 500, catch_up: "24h" });
    take(on, plan(on, 0, ...names));
    take(on, plan(on, 500, ...names));
    expect(lines(on)).toBe(1_500);
    on.must("schedule.rm", { names }, admin);
    expect(lines(on)).toBe(1_500);
    set(on, ["a"]);
    expect(history(on, "a")).toEqual([]);
    expect(hasRemains(on.database)).toBe(true);
    const swept = [];
    while (hasRemains(on.database)) swept.push(on.must("job.sweep", { rows: 600 }).removed);
    expect([swept, lines(on)]).toEqual([[600, 600, 300], 0]);
    expect(on.database.get(openRows)).toEqual({ rows: 1_500 });
    for (const job of [1, 2, 3]) {
      on.assign(job, 1, [0, 1]);
      on.finish(job, 0, 1, 1);
    }
    expect(on.database.get(openRows)).toEqual({ rows: 1_497 });
  });

  test("are few where a history is to be much shorter, and it gets there", () => {
    const on = cluster();
    set(on, ["a"], admin, { missed: "all", missed_most: 1_000, catch_up: "24h" });
    take(on, plan(on, 0, "a"));
    take(on, plan(on, 1_000, "a"));
    set(on, ["a"], admin, { history: 16, missed: "all" });
    for (let at = 1_016; at <= 1_400; at += 16) {
      const before = lines(on);
      take(on, plan(on, at, "a"));
      expect(before - lines(on)).toBeLessThan(120);
    }
    expect(lines(on)).toBeLessThanOrEqual(32);
  });
});

describe("the limit of whoever set a schedule", () => {
  test("holds for the jobs of all their schedules together, those of the same entry too, and for nobody else's", () => {
    const on = cluster();
    limit(on, admin.name, 3);
    set(on, ["a", "b"]);
    set(on, ["c"], bert);
    take(on, plan(on, 0, "a", "b", "c"));
    const commands = ["a", "b", "c"].map((name) =>
      record("schedule.step", { scope: scheduleScope(on.database).scope, steps: plan(on, 1, name) }),
    );
    on.submit();
    on.submit();
    on.entry(commands);
    on.apply();
    expect(history(on, "a")).toEqual([[1, "fired", null]]);
    expect(history(on, "b")).toEqual([[1, "refused", reached("anna", 3)]]);
    expect(history(on, "c")).toEqual([[1, "fired", null]]);
    expect([loadOf(on.database, "anna"), totals(on.database).jobsUnfinished]).toEqual([3, 4]);
    on.assign(1, 1, [0, 1]);
    on.finish(1, 0, 1, 1);
    take(on, plan(on, 2, "a", "b"));
    expect([history(on, "a")[1]?.[1], history(on, "b").at(-1)?.[1]]).toEqual(["fired", "refused"]);
    limit(on, admin.name, null);
    take(on, plan(on, 3, "a", "b"));
    expect([history(on, "a")[2]?.[1], history(on, "b").at(-1)?.[1]]).toEqual(["fired", "fired"]);
  });

  test("is theirs also where somebody else asks for a job by hand, who is told so", () => {
    const on = cluster();
    limit(on, "*", 1);
    set(on, ["a"]);
    on.must("job.submit", { jobs: [{ run: "x" }] }, bert);
    on.must("schedule.fire", { schedule: "a" }, bert);
    expect(on.refused("schedule.fire", { schedule: "a" }, bert)).toEqual(["busy", reached("anna", 1)]);
    expect(history(on, "a")).toHaveLength(1);
  });

  test("that is reached leaves an instant beside a running job an overlap", () => {
    const on = cluster();
    limit(on, admin.name, 1);
    set(on, ["a"], admin, { overlap: "skip" });
    take(on, plan(on, 0, "a"));
    for (const at of [1, 2]) take(on, plan(on, at, "a"));
    expect(history(on, "a").map(([, what]) => what)).toEqual(["fired", "overlap"]);
  });

  test("comes to the same wherever entries are cut", () => {
    const [once, each] = [cluster(), cluster()];
    for (const on of [once, each]) {
      limit(on, admin.name, 2);
      set(on, ["a", "b", "c"]);
      take(on, plan(on, 0, "a", "b", "c"));
      for (const name of ["a", "b", "c"]) {
        on.entry([record("schedule.step", { scope: scheduleScope(on.database).scope, steps: plan(on, 1, name) })]);
        if (on === each) on.apply();
      }
      on.apply();
    }
    expect(history(once, "c")[0]?.[1]).toBe("refused");
    expect(once.database.hash).toEqual(each.database.hash);
  });
});
