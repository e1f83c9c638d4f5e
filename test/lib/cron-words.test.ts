import { describe, expect, test } from "bun:test";
import { formatInZone, zonesLike } from "../../src/lib/calendar-zones.ts";
import { parseInstant } from "../../src/lib/calendar.ts";
import { dstNote } from "../../src/lib/cron-dst.ts";
import { plainCron } from "../../src/lib/cron-fields.ts";
import { timingWords } from "../../src/lib/cron-words.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";

const at = (text: string): number => parseInstant(text)!;

test.each([
  ["*/15 8-17 * * MON-FRI", "every 15 minutes, from 08:00 to 17:59, on Monday to Friday, in UTC"],
  ["30 2 * * *", "at 02:30, every day, in UTC"],
  ["0,30 2 * * *", "at 02:00 and 02:30, every day, in UTC"],
  ["15 0,30 2 * * *", "at 02:00:15 and 02:30:15, every day, in UTC"],
  ["* * * * *", "every minute, in UTC"],
  ["*/5 * * * * *", "every 5 seconds, in UTC"],
  ["0 0 13 * FRI", "at 00:00, on the 13th or on Friday, in UTC"],
  ["0 0 13 * +FRI", "at 00:00, on the 13th if that is Friday, in UTC"],
  [
    "0 0 1,15W,22 1-3 *",
    "at 00:00, on the 1st, the working day nearest to the 15th and the 22nd, in January to March, in UTC",
  ],
  ["0 0 L * *", "at 00:00, on the last day of the month, in UTC"],
  ["0 0 LW */2 *", "at 00:00, on the last working day of the month, in every 2nd month from January, in UTC"],
  ["0 0 * * 1#1,5L", "at 00:00, on the 1st Monday of the month and the last Friday of the month, in UTC"],
  ["0 0 */2 * *", "at 00:00, on every 2nd day from the 1st, in UTC"],
  ["0 0 0 1 1 * 2030-2032", "at 00:00, on the 1st, in January, in 2030 to 2032, in UTC"],
  ["@weekly", "at 00:00, on Sunday, in UTC"],
  // What does not divide its field begins anew at another distance.
  ["*/7 * * * *", "at 0, 7, 14, 21, 28, 35, 42, 49, and 56 minutes past the hour, in UTC"],
  ["*/45 * * * *", "at 0 and 45 minutes past the hour, in UTC"],
  ["*/45 3 * * *", "at 03:00 and 03:45, every day, in UTC"],
  ["3-59/25,50 * * * *", "at 3, 28, 50, and 53 minutes past the hour, in UTC"],
  ["0 */13 * * *", "at 00:00 and 13:00, every day, in UTC"],
  ["*/40 * * * * *", "at 0 and 40 seconds past the minute, in UTC"],
  ["5/15 * * * *", "every 15 minutes, minutes 5 to 59 past the hour, in UTC"],
  ["10-30/7 * * * *", "every 7 minutes, minutes 10 to 30 past the hour, in UTC"],
  ["0 */6 * * *", "on the hour, every 6 hours, in UTC"],
  // A star among others is all.
  ["*,5 * * * *", "every minute, in UTC"],
  ["0 0 13 * *,FRI", "at 00:00, every day, in UTC"],
  ["0 0 *,13 * FRI", "at 00:00, every day, in UTC"],
  ["0 0 13 * +*,FRI", "at 00:00, on the 13th, in UTC"],
  ["0 0 *,13 * +FRI", "at 00:00, on Friday, in UTC"],
  ["0 0 13 *,3 *", "at 00:00, on the 13th, in UTC"],
])("%s is %s", (cron, words) => {
  expect(timingWords({ cron, tz: "UTC" }, "nightly")).toBe(words);
});

test("other timings, and their bounds in their zone", () => {
  expect(timingWords({ everyMs: 5_400_000, tz: "UTC" }, "x")).toBe(
    "every 1h30m, counted from 1970-01-01T00:00:00.000Z",
  );
  expect(timingWords({ at: at("2026-12-01T02:00:00Z"), tz: "Europe/Berlin" }, "x")).toBe(
    "once, at 2026-12-01 03:00 CET (UTC+01:00)",
  );
  const bounds = { start: at("2026-03-01T00:00:00Z"), end: at("2026-07-01T00:00:30Z") };
  expect(timingWords({ cron: "@daily", tz: "America/New_York", ...bounds }, "x")).toBe(
    "at 00:00, every day, in America/New_York, from 2026-02-28 19:00 EST (UTC-05:00) on, until 2026-06-30 20:00:30 EDT (UTC-04:00)",
  );
});

test("local time has its offset, and a name where English has one", () => {
  expect(formatInZone(at("2026-03-08T07:00:00Z"), "America/New_York")).toBe("2026-03-08 03:00 EDT (UTC-04:00)");
  expect(formatInZone(at("2026-03-08T07:00:00.250Z"), "Asia/Kathmandu")).toBe("2026-03-08 12:45:00.250 UTC+05:45");
  expect(formatInZone(at("2026-03-08T07:00:00Z"), "UTC")).toBe("2026-03-08 07:00 UTC");
});

test("a zone that is misspelt is led to those that are like it", () => {
  expect(zonesLike("Europe/Berln")).toEqual(["Europe/Berlin"]);
  expect(zonesLike("new_york")).toContain("America/New_York");
  expect(zonesLike("Atlantis/Capital")).toEqual([]);
});

describe("H", () => {
  const plain = (cron: string, name: string): string => {
    const read = plainCron(cron, name);
    return "plain" in read ? read.plain : read.mistakes.join();
  };

  test("gives a name the same place for ever: these are kept by what runs", () => {
    expect(
      ["H H * * *", "H/15 * * * *", "H(0-29)/10 H(0-7) H * H", "H H H H H *"].map((cron) => plain(cron, "nightly")),
    ).toEqual(["59 17 * * *", "14-59/15 * * * *", "9-29/10 5 6 * 0", "4 59 17 6 1 *"]);
  });

  test("spreads names evenly over each field", () => {
    const seen = { minute: new Map<string, number>(), hour: new Map<string, number>() };
    for (let at = 0; at < 6000; at++) {
      const [minute, hour] = plain("H H * * *", `task-${at}`).split(" ");
      seen.minute.set(minute!, (seen.minute.get(minute!) ?? 0) + 1);
      seen.hour.set(hour!, (seen.hour.get(hour!) ?? 0) + 1);
    }
    expect([seen.minute.size, seen.hour.size]).toEqual([60, 24]);
    // 100 and 250 are even.
    expect(Math.max(...seen.minute.values())).toBeLessThan(150);
    expect(Math.min(...seen.minute.values())).toBeGreaterThan(55);
    expect(Math.max(...seen.hour.values())).toBeLessThan(320);
  });

  test("stays within its range, and says what is none", () => {
    for (let at = 0; at < 500; at++) {
      const [minute, hour, day] = plain("H(10-12) H/6 H * *", `task-${at}`).split(" ");
      expect(["10", "11", "12"]).toContain(minute!);
      expect(hour).toMatch(/^[0-5]-23\/6$/);
      expect(Number(day)).toBeLessThanOrEqual(28);
    }
    expect(plain("H(50-70) H/30 * * *", "x")).toBe(
      'minute "H(50-70)" is no range from 0 to 59,hour "H/30" steps by more than there is, or not at all',
    );
    expect(plain("0 0 0 1 1 * H", "x")).toBe("year cannot be H: no year is as good as another");
  });
});

describe("notes of changes of clocks", () => {
  const notes = (cron: string, tz: string, from: string, count: number): (string | undefined)[] => {
    const instants = instantsOf({ cron, tz }, "nightly");
    const found: (string | undefined)[] = [];
    for (let next = instants.after(at(from)); next !== undefined && found.length < count; next = instants.after(next))
      found.push(dstNote({ cron, tz }, "nightly", next));
    return found;
  };
  const newYork = "America/New_York";
  const forward = "clocks go forward 02:00 -> 03:00";
  const back = "clocks go back 02:00 -> 01:00";

  test.each<[string, string, string, (string | undefined)[]]>([
    [
      "30 2 * * *",
      newYork,
      "2026-03-07T00:00:00Z",
      [undefined, `${forward}: 02:30 does not exist and fires at 03:00`, undefined],
    ],
    [
      "0,30 2 * * *",
      newYork,
      "2026-03-08T00:00:00Z",
      [`${forward}: 02:00, 02:30 do not exist and fire once at 03:00`, undefined],
    ],
    [
      "*/30 2 * * *",
      newYork,
      "2026-03-08T00:00:00Z",
      [`${forward} on 2026-03-08: 02:00, 02:30 do not exist and are left out`, undefined],
    ],
    [
      "* 2 * * *",
      newYork,
      "2026-03-08T00:00:00Z",
      [`${forward} on 2026-03-08: 02:00, 02:01, 02:02 and more do not exist and are left out`, undefined],
    ],
    [
      "30 * * * *",
      newYork,
      "2026-03-08T06:00:00Z",
      [undefined, `${forward} on 2026-03-08: 02:30 does not exist and is left out`, undefined],
    ],
    ["30 1 * * *", newYork, "2026-11-01T00:00:00Z", [`${back}: 01:30 happens twice: the first one fires`, undefined]],
    [
      "30 * * * *",
      newYork,
      "2026-11-01T04:00:00Z",
      [
        undefined,
        `${back}: 01:30 happens twice: both fire, this is the first`,
        `${back}: 01:30 happens twice: both fire, this is the second`,
        undefined,
      ],
    ],
    ["0 4 * * *", newYork, "2026-03-08T00:00:00Z", [undefined]],
    ["0 0 1 1 *", newYork, "2026-03-08T00:00:00Z", [undefined]],
    [
      "15 2 * * *",
      "Australia/Lord_Howe",
      "2026-10-03T00:00:00Z",
      ["clocks go forward 02:00 -> 02:30: 02:15 does not exist and fires at 02:30"],
    ],
    ["30 2 * * *", "Asia/Tokyo", "2026-03-08T00:00:00Z", [undefined]],
  ])("%s in %s after %s", (cron, tz, from, expected) => {
    expect(notes(cron, tz, from, expected.length)).toEqual(expected);
  });

  test("nothing is said of what is not counted in local time", () => {
    expect(dstNote({ everyMs: 60_000, tz: newYork }, "x", at("2026-11-01T05:30:00Z"))).toBeUndefined();
  });
});
