import { describe, expect, test } from "bun:test";
import { stretchFrom } from "../../src/lib/calendar-changes.ts";
import { type CalendarEvents, isOpen, mergeSpans } from "../../src/lib/calendar-events.ts";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";
import { atOnce } from "../../src/lib/turns.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { nextDue, upcoming } from "../../src/state/schedule-next.ts";
import { definitionOf } from "../../src/state/schedules.ts";
import { scheduleByName, type StoredSchedule } from "../../src/state/tables/schedule.ts";
import { admin, Cluster } from "./support.ts";

/** When schedules fire next, as people are told it: calendars that keep them shut for long are jumped over. */

const at = (text: string): number => parseInstant(text)!;
const hour = 3_600_000;
const saturday = at("2026-11-28T19:33:49Z");
const office: CalendarEvents = { spans: [], windows: [{ cron: "0 9 * * MON-FRI", tz: "UTC", forMs: 8 * hour }] };
const year2028: CalendarEvents = { spans: [[at("2028-01-01T00:00:00Z"), at("2029-01-01T00:00:00Z")]], windows: [] };
const past: CalendarEvents = { spans: [[at("2020-01-01T00:00:00Z"), at("2021-01-01T00:00:00Z")]], windows: [] };
const always: CalendarEvents = { spans: [], windows: [{ cron: "0 * * * *", tz: "UTC", forMs: hour }] };

function scheduled(when: object, calendars: readonly string[], now = saturday): StoredSchedule {
  const cluster = Cluster.ofNewest(1);
  cluster.now = now;
  for (const name of calendars.map((one) => one.replace("only:", ""))) {
    const events = JSON.stringify({ spans: [], windows: [] });
    cluster.must("calendar.set", { name, description: null, events, until: null }, admin);
  }
  const whole = { name: "s", job: { run: "true" }, calendars: [...calendars], ...when };
  cluster.must("schedule.set", commandByName("schedule.set").input.parse({ schedules: [whole] }), admin);
  return scheduleByName(cluster.database, "s")!;
}

/** [as a list says it, as it is said of one]. */
function firsts(row: StoredSchedule, calendars: ReadonlyMap<string, CalendarEvents>): (string | undefined)[] {
  return [
    atOnce(nextDue(row, calendars, saturday)).due,
    atOnce(upcoming(row, new Map(calendars), saturday, 5)).due,
  ].map((due) => (due === undefined ? undefined : formatInstant(due)));
}

describe("the next instant of a schedule that a calendar keeps shut", () => {
  test.each<[string, object, string, CalendarEvents, string]>([
    ["a weekend, every 10 s", { every: "10s" }, "only:c", office, "2026-11-30T09:00:00.000Z"],
    ["a weekend, every minute", { cron: "* * * * *" }, "only:c", office, "2026-11-30T09:00:00.000Z"],
    ["a weekend, every 5 minutes at half past", { cron: "30/5 * * * *" }, "only:c", office, "2026-11-30T09:30:00.000Z"],
    ["more than a year", { cron: "0 * * * *" }, "only:c", year2028, "2028-01-01T00:00:00.000Z"],
    [
      "a whole year, every second",
      { every: "1s", start: "2028-01-01T00:00:00Z" },
      "c",
      year2028,
      "2029-01-01T00:00:00.000Z",
    ],
  ])("for %s is found in a list and alone", (_, when, use, events, expected) => {
    expect(firsts(scheduled(when, [use]), new Map([["c", events]]))).toEqual([expected, expected]);
  });

  test("is where all of several let it", () => {
    const row = scheduled({ every: "10s" }, ["only:office", "only:late", "past"]);
    const late: CalendarEvents = { spans: [], windows: [{ cron: "30 16 * * WED", tz: "UTC", forMs: 8 * hour }] };
    const calendars = new Map(Object.entries({ office, late, past }));
    expect(firsts(row, calendars)).toEqual(Array(2).fill("2026-12-02T16:30:00.000Z"));
  });

  test("is not called never where the search was given up: it says how far that came", () => {
    for (const [when, use, events, days] of [
      [{ cron: "0 3 * * *" }, "only:c", office, [20, 800]],
      [{ every: "1h" }, "c", always, [5, 400]],
    ] as const) {
      const row = scheduled(when, [use]);
      const [inList, alone] = [
        atOnce(nextDue(row, new Map([["c", events]]), saturday)),
        atOnce(upcoming(row, new Map([["c", { ...events }]]), saturday, 5)),
      ];
      for (const [place, { due, none }] of [inList, alone].entries()) {
        expect(due).toBeUndefined();
        expect(none!.reason).toBe("far");
        for (const told of [none!.looked_until!, `(${use})`]) expect(none!.message).toContain(told);
        expect(at(none!.looked_until!) - saturday).toBeGreaterThan(days[place]! * 24 * hour);
      }
    }
  });

  test("is none where the calendar that it is to be in is over, or its own end comes before", () => {
    const over = scheduled({ every: "10s" }, ["only:c"]);
    for (const search of [nextDue(over, new Map([["c", past]]), saturday), upcoming(over, new Map(), saturday, 5)])
      expect(atOnce<{ due?: number; none?: object }>(search)).toMatchObject({ none: { reason: "shut" } });
    const ends = scheduled({ every: "10s", end: "2026-11-30T08:00:00Z" }, ["only:c"]);
    expect(atOnce(nextDue(ends, new Map([["c", office]]), saturday))).toMatchObject({ none: { reason: "shut" } });
    const two = scheduled({ every: "1h", end: "2026-11-30T10:00:00Z" }, ["only:c"]);
    const { instants, none } = atOnce(upcoming(two, new Map([["c", office]]), saturday, 5));
    expect([instants.length, none!.reason]).toEqual([2, "shut"]);
  });

  test("is the same as by a look at each instant, whatever the calendars", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const random = seededRandom(seed);
    const upTo = (most: number): number => Math.floor(random() * most);
    const one = <Value>(values: readonly Value[]): Value => values[upTo(values.length)]!;
    const events = (): CalendarEvents => ({
      spans: mergeSpans(
        Array.from({ length: upTo(6) }, (): [number, number] => {
          const from = saturday + upTo(100) * hour;
          return [from, from + upTo(40) * hour];
        }),
      ),
      windows: Array.from({ length: upTo(3) }, () => ({
        cron: one(["0 9 * * MON-FRI", "30 22 * * *", "0 */6 * * *", "0 0 1 * *"]),
        tz: one(["UTC", "Europe/Berlin"]),
        forMs: one([1, 6, 30]) * hour,
      })),
    });
    for (let round = 0; round < 20; round++) {
      const written = [one(["a", "only:a"]), ...(upTo(2) === 0 ? [] : [one(["b", "only:b"])])];
      const row = scheduled(one([{ every: "20m" }, { cron: "7 * * * *" }, { cron: "0 9,17 * * *" }]), written);
      const calendars = new Map(["a", "b"].map((name) => [name, events()]));
      const uses = definitionOf(row).rules.calendars!.map(({ name, only }) => ({
        events: calendars.get(name)!,
        mode: only === true ? ("only" as const) : ("closes" as const),
      }));
      const instants = instantsOf(definitionOf(row).rules.timing, "s");
      const expected: string[] = [];
      const end = saturday + 120 * hour;
      for (let next = instants.after(saturday); next! <= end && expected.length < 5; next = instants.after(next!))
        if (isOpen(uses, next!)) expected.push(formatInstant(next!));
      const found = atOnce(upcoming(row, calendars, saturday, 5));
      const within = found.instants.map((instant) => instant.at).filter((instant) => at(instant) <= end);
      expect(within, JSON.stringify([...calendars])).toEqual(expected);
    }
  });
});

test("what a calendar is is found out once for all schedules that go by it", () => {
  const events = { ...office };
  const first = stretchFrom(events, saturday);
  expect(first).toMatchObject({ isOn: false, until: at("2026-11-30T09:00:00Z") });
  expect(first.looks).toBeGreaterThan(0);
  for (const instant of [saturday, saturday + 1, at("2026-11-30T08:59:59Z")])
    expect(stretchFrom(events, instant)).toEqual({ isOn: false, until: first.until, looks: 0 });
  expect(stretchFrom(events, first.until)).toMatchObject({ isOn: true, until: at("2026-11-30T17:00:00Z") });
  expect(stretchFrom(events, saturday - hour)).toMatchObject({ isOn: false, until: first.until });
  expect(stretchFrom(events, saturday - 3 * hour).looks).toBeGreaterThan(0);
  expect(stretchFrom(events, saturday - 2 * hour).looks).toBe(0);
  expect(stretchFrom({ spans: [], windows: [] }, saturday)).toMatchObject({ isOn: false, until: Infinity });
});
