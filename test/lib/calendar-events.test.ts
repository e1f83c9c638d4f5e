import { describe, expect, test } from "bun:test";
import { type CalendarEvents, isMerged, isOn, isOpen, mergeSpans, nextChange } from "../../src/lib/calendar-events.ts";
import { readCalendarInput } from "../../src/lib/calendar-input.ts";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { limits } from "../../src/lib/limits.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { atOnce } from "../../src/lib/turns.ts";

const at = (text: string): number => parseInstant(text)!;
const hourMs = 3_600_000;

describe("spans of a calendar", () => {
  test("are merged, and an instant is found in them as by a look at all", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const random = seededRandom(seed);
    const upTo = (most: number): number => Math.floor(random() * most);
    for (let round = 0; round < 200; round++) {
      const written = Array.from({ length: upTo(12) }, (): [number, number] => {
        const from = upTo(100);
        return [from, from + upTo(15)];
      });
      const spans = mergeSpans(written);
      expect(isMerged(spans)).toBe(true);
      for (let instant = -1; instant < 120; instant++)
        expect(isOn({ spans, windows: [] }, instant)).toBe(
          written.some(([from, to]) => from <= instant && instant < to),
        );
    }
  });

  test("that are not in order, empty or next to each other are not merged", () => {
    for (const spans of [
      [[5, 5]],
      [
        [0, 2],
        [2, 3],
      ],
      [
        [3, 4],
        [0, 1],
      ],
      [
        [0, 5],
        [2, 3],
      ],
    ] as [number, number][][])
      expect(isMerged(spans)).toBe(false);
  });
});

describe("windows of a calendar", () => {
  const nights: CalendarEvents = {
    spans: [],
    windows: [{ cron: "0 22 * * *", tz: "Europe/Berlin", forMs: 8 * hourMs }],
  };

  test("are on from each instant of their expression, in its zone, for real time: also where clocks change meanwhile", () => {
    const on = (text: string): boolean => isOn(nights, at(text));
    expect([on("2026-01-10T20:59:59.999Z"), on("2026-01-10T21:00:00Z"), on("2026-01-11T04:59:59.999Z")]).toEqual([
      false,
      true,
      true,
    ]);
    expect(on("2026-01-11T05:00:00Z")).toBe(false);
    expect([on("2026-07-10T19:59:00Z"), on("2026-07-10T20:00:00Z"), on("2026-07-11T04:00:00Z")]).toEqual([
      false,
      true,
      false,
    ]);
    // Clocks are put forward: from 22:00 it is 07:00 when eight hours are over.
    expect([on("2026-03-29T04:59:00Z"), on("2026-03-29T05:00:00Z")]).toEqual([true, false]);
    expect([on("2026-10-25T03:59:00Z"), on("2026-10-25T04:00:00Z")]).toEqual([true, false]);
  });

  test("say when it is on or off next, over windows and spans that follow each other without a break", () => {
    const span = [at("2026-01-11T04:00:00Z"), at("2026-01-11T21:30:00Z")] as const;
    const both: CalendarEvents = { ...nights, spans: [span] };
    const change = (events: CalendarEvents, text: string): [boolean, string | undefined] => {
      const { isOn: on, at: next } = nextChange(events, at(text));
      return [on, next === undefined ? undefined : formatInstant(next)];
    };
    expect(change(both, "2026-01-10T12:00:00Z")).toEqual([false, "2026-01-10T21:00:00.000Z"]);
    expect(change(both, "2026-01-10T22:00:00Z")).toEqual([true, "2026-01-12T05:00:00.000Z"]);
    expect(change({ spans: [span], windows: [] }, "2026-01-12T00:00:00Z")).toEqual([false, undefined]);
    const always = { spans: [], windows: [{ cron: "0 * * * *", tz: "UTC", forMs: hourMs }] };
    expect(change(always, "2026-01-12T00:00:00Z")).toEqual([true, undefined]);
  });
});

test("a schedule is open while no calendar closes it, and every one that it is to be in is on", () => {
  const events: CalendarEvents = { spans: [[10, 20]], windows: [] };
  const never: CalendarEvents = { spans: [], windows: [] };
  const open = (calendars: Parameters<typeof isOpen>[0]): boolean[] =>
    [9, 10, 19, 20].map((one) => isOpen(calendars, one));
  expect(open([])).toEqual([true, true, true, true]);
  expect(open([{ events, mode: "closes" }])).toEqual([true, false, false, true]);
  expect(open([{ events, mode: "only" }])).toEqual([false, true, true, false]);
  expect(
    open([
      { events, mode: "only" },
      { events: { spans: [[15, 30]], windows: [] }, mode: "closes" },
    ]),
  ).toEqual([false, true, false, false]);
  expect(open([{ events: never, mode: "only" }])).toEqual([false, false, false, false]);
});

describe("what people write", () => {
  const read = (spans: readonly unknown[], windows: readonly unknown[] = []) =>
    atOnce(readCalendarInput({ spans, windows }));

  test("becomes events: spans in order, windows with their zone as it is spelt", () => {
    const spans = [
      { from: "2026-12-24T00:00:00+01:00", to: "2026-12-25T00:00:00Z" },
      { from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z" },
    ];
    expect(
      read(spans, [
        { cron: "0 22 * * FRI", tz: "europe/berlin", for: "8h" },
        { cron: "@daily", for: "1s" },
      ]),
    ).toEqual({
      events: {
        spans: [
          [at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")],
          [at("2026-12-23T23:00:00Z"), at("2026-12-25T00:00:00Z")],
        ],
        windows: [
          { cron: "0 22 * * FRI", tz: "Europe/Berlin", forMs: 8 * hourMs },
          { cron: "@daily", tz: "UTC", forMs: 1000 },
        ],
      },
    });
  });

  test("and is wrong is told all at once, each with its place", () => {
    const result = read(
      [{ from: "tomorrow", until: "x" }, 5, { from: "2026-01-02T00:00:00Z", to: "2026-01-01T00:00:00Z" }],
      [
        { cron: "0 0 30 2 *", tz: "Mars/Base", for: "0s" },
        { for: "400d", cron: 5 },
        { cron: "@every 5m", for: "1m" },
        {},
      ],
    );
    const paths = "problems" in result ? result.problems.map(({ path }) => path) : [];
    expect(paths).toEqual([
      "spans[0].until",
      "spans[0].from",
      "spans[0].to",
      "spans[1]",
      "spans[2].to",
      "windows[0].for",
      "windows[0].cron",
      "windows[0].tz",
      "windows[1].for",
      "windows[1].cron",
      "windows[2].cron",
      "windows[3].for",
      "windows[3].cron",
    ]);
  });

  test("is looked at with rests in between", () => {
    const many = Array.from({ length: limits.calendarSpans }, () => ({ from: "x", to: "y" }));
    const steps = readCalendarInput({ spans: many, windows: [] });
    let rests = 0;
    while (steps.next().done !== true) rests += 1;
    expect(rests).toBeGreaterThan(10);
  });
});
