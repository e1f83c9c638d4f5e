import { describe, expect, test } from "bun:test";
import type { CalendarEvents } from "../../src/lib/calendar-events.ts";
import { limits } from "../../src/lib/limits.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { planFires } from "../../src/scheduler/fires.ts";
import { findCalendar, listCalendars } from "../../src/state/calendar-views.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import type { Step } from "../../src/state/firing.ts";
import { calendarEvents, calendarTotals } from "../../src/state/tables/calendar.ts";
import { firesBefore } from "../../src/state/tables/schedule-fire.ts";
import { scheduleScope } from "../../src/state/tables/schedule-scope.ts";
import { scheduleByName } from "../../src/state/tables/schedule.ts";
import { admin, Cluster } from "./support.ts";

const minute = 60_000;
const t0 = 1_000_000 * minute;

function cluster(): Cluster {
  const made = Cluster.ofNewest(1);
  made.now = t0;
  return made;
}

const during = (...spans: [number, number][]): CalendarEvents => ({
  spans: spans.map(([from, to]) => [t0 + from * minute, t0 + to * minute]),
  windows: [],
});

function set(on: Cluster, name: string, events: CalendarEvents, more: { until?: number; description?: string } = {}) {
  const { until = null, description = null } = more;
  return on.must("calendar.set", { name, description, events: JSON.stringify(events), until }, admin);
}

function schedule(on: Cluster, ...calendars: string[]): void {
  const whole = { name: "s", every: "1m", job: { run: "true" }, overlap: "allow", calendars };
  on.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [whole] }), admin);
}

function plan(on: Cluster): Step {
  const row = scheduleByName(on.database, "s")!;
  const calendars = new Map(
    ["c", "d"].flatMap((name) => {
      const events = calendarEvents(on.database, name);
      return events === undefined ? [] : [[name, events] as const];
    }),
  );
  const { to, check, fires, skips } = atOnce(planFires({ row, scope: scheduleScope(on.database), calendars }, on.now));
  return [row.id, row.revision, row.watermark, to, check, fires, skips];
}

/** What became of each minute up to that one: "f" fired, "w" kept back by a calendar. */
function minutes(on: Cluster, upTo: number): string {
  for (let at = 1; at <= upTo; at++) {
    on.now = t0 + at * minute;
    on.must("schedule.step", { scope: scheduleScope(on.database).scope, steps: [plan(on)] });
  }
  const { id } = scheduleByName(on.database, "s")!;
  return firesBefore(on.database, id, Number.MAX_SAFE_INTEGER, 1000)
    .toReversed()
    .map(({ reason, count }) => (reason === null ? "f" : reason[0]!.repeat(count)))
    .join("");
}

describe("a calendar", () => {
  test("that is set the same again is the same; another one has another revision and is gone by at once", () => {
    const on = cluster();
    const first = set(on, "c", during([2, 4]));
    expect(first).toMatchObject({ name: "c", changed: true });
    expect(set(on, "c", during([2, 4]))).toEqual({ ...first, changed: false });
    const { scope } = scheduleScope(on.database);
    expect(scope).toBe(first.revision);
    const second = set(on, "c", during([2, 4]), { until: t0 });
    expect(second.revision).toBeGreaterThan(first.revision);
    expect(set(on, "c", during([2, 4]), { until: t0, description: "d" }).changed).toBe(true);
    expect(scheduleScope(on.database).scope).toBeGreaterThan(scope);
  });

  test("keeps a schedule from firing while it is on, or while it is off", () => {
    const closes = cluster();
    set(closes, "c", during([3, 5]));
    schedule(closes, "c");
    expect(minutes(closes, 7)).toBe("ffwwfff");
    const only = cluster();
    set(only, "c", during([3, 6]));
    set(only, "d", during([4, 5]));
    schedule(only, "only:c", "d");
    expect(minutes(only, 7)).toBe("wwfwfww");
  });

  test("that is changed has a step that was worked out before refused, so that nothing fires in it", () => {
    const on = cluster();
    set(on, "c", during([30, 50]));
    schedule(on, "c");
    on.now = t0 + minute;
    const [step, { scope }] = [plan(on), scheduleScope(on.database)];
    expect(step[5]).toHaveLength(1);
    set(on, "c", during([1, 2]));
    expect(on.must("schedule.step", { scope, steps: [step] }).refused).toHaveLength(1);
    expect(minutes(on, 2)).toBe("wf");
  });

  test("is not removed while a schedule goes by it", () => {
    const on = cluster();
    set(on, "c", during());
    schedule(on, "only:c");
    expect(on.refused("calendar.rm", { calendar: "c" }, admin)).toEqual([
      "conflict",
      expect.stringContaining("go by calendar c: s;"),
    ]);
    schedule(on);
    const { scope } = scheduleScope(on.database);
    expect(on.must("calendar.rm", { calendar: "c" }, admin)).toEqual({ name: "c" });
    expect(scheduleScope(on.database).scope).toBeGreaterThan(scope);
    expect(on.refused("calendar.rm", { calendar: "c" }, admin)[0]).toBe("not-found");
    expect(
      on.refused(
        "schedule.set",
        commandByName("schedule.set").input.parse({
          schedules: [{ name: "t", every: "1m", calendars: ["c"], job: { run: "x" } }],
        }),
        admin,
      )[0],
    ).toBe("invalid");
  });

  test("takes room that all of them share", () => {
    const on = cluster();
    const spans = Array.from({ length: limits.calendarSpans }, (_, at): [number, number] => [at * 1e9, at * 1e9 + 1]);
    const events: CalendarEvents = { spans, windows: [] };
    set(on, "c0", events);
    const { bytes } = calendarTotals(on.database);
    expect(bytes).toBe(JSON.stringify(events).length);
    const fit = Math.floor(limits.calendarsBytes / bytes);
    for (let more = 1; more < fit; more++) set(on, `c${more}`, events);
    const input = { name: "last", description: null, events: JSON.stringify(events), until: null };
    expect(on.refused("calendar.set", input, admin)[0]).toBe("conflict");
    set(on, "c0", events, { description: "in its place" });
    set(on, "last", during());
  });
});

test("what is no calendar is refused before the log", () => {
  const { payload } = commandByName("calendar.set");
  const good = { name: "c", description: null, until: null };
  const isGood = (events: unknown, more: object = {}): boolean =>
    payload.safeParse({ ...good, events: typeof events === "string" ? events : JSON.stringify(events), ...more })
      .success;
  const window = { cron: "0 22 * * *", tz: "Europe/Berlin", forMs: 1000 };
  expect(
    isGood({
      spans: [
        [0, 1],
        [2, 3],
      ],
      windows: [window],
    }),
  ).toBe(true);
  for (const [events, more] of [
    ["{", {}],
    [{ spans: [] }, {}],
    [
      {
        spans: [
          [2, 3],
          [0, 1],
        ],
        windows: [],
      },
      {},
    ],
    [
      {
        spans: [
          [0, 1],
          [1, 2],
        ],
        windows: [],
      },
      {},
    ],
    [{ spans: [[0, 1.5]], windows: [] }, {}],
    [{ spans: [], windows: [{ ...window, cron: "every day" }] }, {}],
    [{ spans: [], windows: [{ ...window, tz: "Mars/Base" }] }, {}],
    [{ spans: [], windows: [{ ...window, forMs: 1 }] }, {}],
    [{ spans: [], windows: Array.from({ length: limits.calendarWindows + 1 }, () => window) }, {}],
    [{ spans: [], windows: [] }, { name: "only:c" }],
    [{ spans: [], windows: [] }, { until: "never" }],
  ] as const)
    expect(isGood(events, more)).toBe(false);
});

test("calendars are listed with whether they are on, and shown with what is not over", () => {
  const on = cluster();
  set(on, "a", during([0, 1], [5, 6], [8, 9]), { description: "holidays", until: t0 });
  set(on, "b", { spans: [], windows: [{ cron: "* * * * *", tz: "UTC", forMs: 30_000 }] });
  schedule(on, "a");
  const now = t0 + 5.5 * minute;
  const { items, next } = listCalendars(on.database, now, { limit: 1 });
  expect([items[0]?.name, next]).toEqual(["a", "a"]);
  const at = (minutes: number): string => new Date(t0 + minutes * minute).toISOString();
  expect(listCalendars(on.database, now, { limit: 5, next }).items).toMatchObject([
    { name: "b", on: false, changes_at: at(6), windows: [{ cron: "* * * * *", tz: "UTC", for: "30s" }], until: null },
  ]);
  expect(findCalendar(on.database, "a", now, { spans: 10, schedules: 10 })).toMatchObject({
    description: "holidays",
    spans: 3,
    on: true,
    changes_at: at(6),
    until: at(0),
    span_list: [
      { from: at(5), to: at(6) },
      { from: at(8), to: at(9) },
    ],
    schedules: ["s"],
    set_by: admin.name,
  });
  expect(findCalendar(on.database, "x", now, { spans: 1, schedules: 1 })).toBeUndefined();
});
