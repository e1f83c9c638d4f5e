import { describe, expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { newJob } from "../../src/state/adding.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { specOfFire } from "../../src/state/firing.ts";
import { findJob } from "../../src/state/queries.ts";
import { definitionOf } from "../../src/state/schedules.ts";
import { firesBefore } from "../../src/state/tables/schedule-fire.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { admin, Cluster } from "./support.ts";

/** A schedule whose jobs ran side by side, and are to come one after the other from now on. */

const minute = 60_000;
const t0 = 1_000_000 * minute;

function set(on: Cluster, overlap: string): void {
  const schedule = { name: "s", every: "1m", overlap, job: { run: "true" } };
  on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [schedule] }), admin);
}

/** The next minute comes. `isMade`: its job was made before the log, as that of a template is. */
function fire(on: Cluster, isMade = false): void {
  on.now = Math.floor(on.now / minute) * minute + minute;
  const row = scheduleByName(on.database, "s")!;
  const scope = scheduleScope(on.database);
  const { to, check, fires, skips } = atOnce(planFires({ row, scope, calendars: new Map() }, on.now));
  const definition = definitionOf(row);
  const made = fires.map((at) => ({ job: newJob(specOfFire("s", definition, definition.job!, at), () => []) }));
  const step = [row.id, row.revision, row.watermark, to, check, fires, skips, ...(isMade ? [made] : [])] as const;
  expect(on.must("schedule.step", { scope: scope.scope, steps: [step as never] }).refused).toEqual([]);
}

/** As many jobs as that run side by side, and then no more do. */
function besides(jobs: number, overlap: string): Cluster {
  const on = Cluster.ofNewest(1);
  on.now = t0;
  set(on, "allow");
  for (let job = 1; job <= jobs; job++) {
    fire(on);
    on.assign(job, 1, [0, 1]);
  }
  on.now += minute / 2;
  set(on, overlap);
  return on;
}

function end(on: Cluster, job: number, state: "succeeded" | "failed" | "cancelled" = "succeeded"): void {
  on.finish(job, 0, 1, 1, state);
}

/** What keeps it from being planned; undefined: nothing. */
function waits(on: Cluster, job: number): object | undefined {
  return findJob(on.database, job)?.waits ?? undefined;
}

function states(on: Cluster, ...jobs: number[]): (string | undefined)[] {
  return jobs.map((job) => {
    const view = findJob(on.database, job);
    return view?.cancelling === true ? "cancelling" : view?.state;
  });
}

function newest(on: Cluster): { reason: string | null; message: string | null } {
  const [line] = firesBefore(on.database, 1, Number.MAX_SAFE_INTEGER, 1);
  return { reason: line!.reason, message: line!.message };
}

describe("jobs of before overlap was changed", () => {
  test.each([false, true])("to queue_all are waited for by each that comes (made before the log: %p)", (isMade) => {
    const on = besides(3, "queue_all");
    fire(on, isMade);
    fire(on, isMade);
    expect(findJob(on.database, 4)?.spec["after"]).toEqual([1, 2, 3].map((job) => ({ job, when: "done" })));
    end(on, 2);
    end(on, 1, "failed");
    expect(waits(on, 4)).toMatchObject({ after: 1 });
    fire(on, isMade);
    expect(findJob(on.database, 6)?.spec["after"]).toEqual([{ job: 3, when: "done" }]);
    end(on, 3);
    expect([waits(on, 4), waits(on, 5), waits(on, 6)]).toEqual([
      undefined,
      { key: "cron:s" },
      { key: "cron:s" },
    ] as never);
    on.assign(4, 1, [0, 1]);
    fire(on, isMade);
    expect(findJob(on.database, 7)?.spec["after"]).toBeUndefined();
    end(on, 4);
    expect([waits(on, 5), waits(on, 6)]).toEqual([undefined, { key: "cron:s" }] as never);
  });

  test("to queue are waited for by one, and while two have not ended by none", () => {
    const on = besides(2, "queue");
    fire(on);
    expect(newest(on).reason).toBe("overlap");
    end(on, 1);
    fire(on);
    expect(waits(on, 3)).toMatchObject({ after: 1 });
    fire(on);
    expect(newest(on).reason).toBe("overlap");
    end(on, 2);
    expect(waits(on, 3)).toBeUndefined();
  });

  test("to replace are cancelled, and the newest begins when all of them have ended", () => {
    const on = besides(2, "replace");
    fire(on);
    expect(states(on, 1, 2, 3)).toEqual(["cancelling", "cancelling", "queued"]);
    end(on, 1, "cancelled");
    fire(on);
    expect(states(on, 1, 2, 3, 4)).toEqual(["cancelled", "cancelling", "cancelled", "queued"]);
    expect(waits(on, 4)).toMatchObject({ after: 1 });
    end(on, 2, "cancelled");
    expect(waits(on, 4)).toBeUndefined();
    expect(findJob(on.database, 1)?.reason).toBe('replaced by a newer job of the key "cron:s"');
    on.assign(4, 1, [0, 1]);
    fire(on);
    expect([states(on, 4, 5), findJob(on.database, 5)?.spec["after"]]).toEqual([["cancelling", "queued"], undefined]);
  });

  test("to replace and that had not begun end at once, and hold up nothing", () => {
    const on = Cluster.ofNewest(1);
    on.now = t0;
    set(on, "allow");
    fire(on);
    fire(on);
    set(on, "replace");
    fire(on);
    expect([states(on, 1, 2, 3), waits(on, 3)]).toEqual([["cancelled", "cancelled", "queued"], undefined]);
  });

  test("that had the key before they ran side by side are behind those that have it, and the others are waited for", () => {
    const on = Cluster.ofNewest(1);
    on.now = t0;
    set(on, "queue_all");
    fire(on);
    fire(on);
    set(on, "allow");
    fire(on);
    set(on, "queue_all");
    fire(on);
    expect(findJob(on.database, 4)?.spec["after"]).toEqual([{ job: 3, when: "done" }]);
    expect(waits(on, 4)).toMatchObject({ after: 1, key: "cron:s" });
  });

  test("are waited for also where the state's clock was ahead when they were made, and is not believed any more", () => {
    const on = Cluster.ofNewest(1);
    on.now = t0 + 60 * minute;
    on.submit({ run: "x" });
    on.now = t0;
    set(on, "allow");
    fire(on);
    on.now += 1_000;
    set(on, "queue");
    fire(on);
    expect(findJob(on.database, 3)?.spec["after"]).toEqual([{ job: 2, when: "done" }]);
  });

  test("and are too many to be waited for are told of, and nothing comes beside them", () => {
    const on = Cluster.ofNewest(1);
    on.now = t0;
    set(on, "allow");
    for (let job = 0; job <= limits.formerJobs; job++) fire(on);
    set(on, "replace");
    fire(on);
    expect(newest(on)).toMatchObject({
      reason: "refused",
      message: expect.stringContaining("more than 100 jobs of before its overlap was changed") as string,
    });
    on.must("job.cancel", { id: jobId(1) }, admin);
    fire(on);
    expect(states(on, 2, limits.formerJobs + 1, limits.formerJobs + 2)).toEqual(["cancelled", "cancelled", "queued"]);
  });
});
