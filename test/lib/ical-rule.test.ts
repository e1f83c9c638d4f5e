import { describe, expect, test } from "bun:test";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { readRule, type Rule } from "../../src/lib/ical-rule.ts";
import { walk } from "../../src/lib/ical-walk.ts";
import { seededRandom } from "../../src/lib/prng.ts";
import { civilDay, dayMs, dayNumber, daysOfMonth, weekday } from "../../src/lib/wall-time.ts";

function ruleOf(text: string): Rule {
  const rule = readRule(text);
  if (!("frequency" in rule)) throw new Error(rule.join("; "));
  return rule;
}

/** The first times from the start on, as a clock shows them. */
function times(text: string, start: string, most: number, from = start): string[] {
  const found: string[] = [];
  const begins = parseInstant(`${start}:00Z`)!;
  const reach = { from: parseInstant(`${from}:00Z`)!, to: begins + 60 * 366 * dayMs };
  for (const at of walk(ruleOf(text), begins, reach, { left: 1e6 })) {
    if (at !== undefined && at >= reach.from) found.push(formatInstant(at).slice(0, 16));
    if (found.length === most) break;
  }
  return found;
}

const days = (text: string, start: string, most: number): string =>
  times(text, start, most)
    .map((one) => one.slice(2, 10))
    .join(" ");

describe("the examples of RFC 5545", () => {
  const start = "1997-09-02T09:00";
  test.each([
    ["FREQ=DAILY;INTERVAL=10;COUNT=5", start, "97-09-02 97-09-12 97-09-22 97-10-02 97-10-12"],
    ["FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,TH;COUNT=4", start, "97-09-02 97-09-04 97-09-16 97-09-18"],
    ["FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05T09:00", "97-08-05 97-08-10 97-08-19 97-08-24"],
    ["FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05T09:00", "97-08-05 97-08-17 97-08-19 97-08-31"],
    ["FREQ=MONTHLY;COUNT=4;BYDAY=1FR", "1997-09-05T09:00", "97-09-05 97-10-03 97-11-07 97-12-05"],
    [
      "FREQ=MONTHLY;INTERVAL=2;COUNT=6;BYDAY=1SU,-1SU",
      "1997-09-07T09:00",
      "97-09-07 97-09-28 97-11-02 97-11-30 98-01-04 98-01-25",
    ],
    ["FREQ=MONTHLY;COUNT=4;BYDAY=-2MO", "1997-09-22T09:00", "97-09-22 97-10-20 97-11-17 97-12-22"],
    ["FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28T09:00", "97-09-28 97-10-29 97-11-28 97-12-29"],
    ["FREQ=MONTHLY;COUNT=4;BYMONTHDAY=1,-1", "1997-09-30T09:00", "97-09-30 97-10-01 97-10-31 97-11-01"],
    ["FREQ=YEARLY;COUNT=4;BYMONTH=6,7", "1997-06-10T09:00", "97-06-10 97-07-10 98-06-10 98-07-10"],
    ["FREQ=YEARLY;INTERVAL=3;COUNT=4;BYDAY=20MO", "1997-05-19T09:00", "97-05-19 00-05-15 03-05-19 06-05-15"],
    [
      "FREQ=YEARLY;INTERVAL=3;COUNT=5;BYYEARDAY=1,100,200",
      "1997-01-01T09:00",
      "97-01-01 97-04-10 97-07-19 00-01-01 00-04-09",
    ],
    ["FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1997-05-12T09:00", "97-05-12 98-05-11 99-05-17"],
    ["FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8", "1997-06-05T09:00", "97-06-05 97-06-12 97-06-19"],
    ["FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13T09:00", "98-02-13 98-03-13 98-11-13 99-08-13 00-10-13"],
    ["FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13", "1997-09-13T09:00", "97-09-13 97-10-11 97-11-08"],
    [
      "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
      "1996-11-05T09:00",
      "96-11-05 00-11-07 04-11-02",
    ],
    ["FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04T09:00", "97-09-04 97-10-07 97-11-06"],
    ["FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29T09:00", "97-09-29 97-10-30 97-11-27 97-12-30"],
    ["FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15T09:00", "07-01-15 07-01-30 07-02-15 07-03-15 07-03-30"],
  ])("%s from %s", (rule, from, expected) => {
    expect(days(rule, from, expected.split(" ").length)).toBe(expected);
  });

  test("with times of day", () => {
    expect(times("FREQ=HOURLY;INTERVAL=3", start, 3)).toEqual([start, "1997-09-02T12:00", "1997-09-02T15:00"]);
    expect(times("FREQ=MINUTELY;INTERVAL=90;COUNT=3", start, 9)).toEqual([
      start,
      "1997-09-02T10:30",
      "1997-09-02T12:00",
    ]);
    const everyTwenty = times("FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40", start, 25);
    expect(everyTwenty).toEqual(times("FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16", start, 25));
    expect([everyTwenty[23], everyTwenty[24]]).toEqual(["1997-09-02T16:40", "1997-09-03T09:00"]);
  });
});

describe("a rule", () => {
  test("without its day in a period has none there, and the one without any ends", () => {
    expect(days("FREQ=MONTHLY", "2026-01-31T00:00", 4)).toBe("26-01-31 26-03-31 26-05-31 26-07-31");
    expect(days("FREQ=YEARLY", "2024-02-29T00:00", 3)).toBe("24-02-29 28-02-29 32-02-29");
    for (const rule of ["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=31"])
      expect(days(rule, "2026-01-30T00:00", 5)).toBe("26-01-30");
  });

  test("that is old is not gone through from its beginning, and gives the same", () => {
    const second = "FREQ=SECONDLY;INTERVAL=7";
    expect(times(second, "1970-01-01T00:00", 1, "2026-01-01T00:00")).toEqual(["2026-01-01T00:00"]);
    const all = times("FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,FR", "2001-02-03T04:05", 3000);
    const late = times("FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,FR", "2001-02-03T04:05", 10, "2026-01-01T00:00");
    expect(late).toEqual(all.filter((one) => one > "2026").slice(0, 10));
  });

  test("looks at no more than it may, and rests while it does", () => {
    const budget = { left: 10_000 };
    let [rests, given] = [0, 0];
    for (const at of walk(ruleOf("FREQ=SECONDLY"), 0, { from: 0, to: 1e12 }, budget)) {
      if (at === undefined) rests += 1;
      else given += 1;
    }
    expect(budget.left).toBeLessThan(0);
    expect(given).toBeLessThan(10_000);
    expect(rests).toBeGreaterThan(given / 1000);
  });

  test("of days gives what a look at each day gives", () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const random = seededRandom(seed);
    const some = <Item>(...items: Item[]): Item => items[Math.floor(random() * items.length)]!;
    for (let round = 0; round < 60; round++) {
      const months = some(undefined, [2], [3, 11], [1, 6, 12]);
      const monthDays = some([1], [31, -1], [13, -3], [30]);
      const weekdays = some(undefined, ["MO"], ["SA", "SU"]);
      const parts = [
        some("FREQ=YEARLY", "FREQ=MONTHLY", "FREQ=DAILY"),
        `BYMONTHDAY=${monthDays.join(",")}`,
        ...(months === undefined ? [] : [`BYMONTH=${months.join(",")}`]),
        ...(weekdays === undefined ? [] : [`BYDAY=${weekdays.join(",")}`]),
      ];
      const first = dayNumber(2020 + Math.floor(random() * 5), 1, 1);
      const expected: number[] = [first * dayMs];
      for (let day = first + 1; day < first + 3000; day++) {
        const { year, month, day: inMonth } = civilDay(day);
        const isDay = monthDays.includes(inMonth) || monthDays.includes(inMonth - daysOfMonth(year, month) - 1);
        const isWeekday = weekdays?.includes(["MO", "TU", "WE", "TH", "FR", "SA", "SU"][weekday(day)]!) ?? true;
        if (isDay && isWeekday && (months?.includes(month) ?? true)) expected.push(day * dayMs);
      }
      const reach = { from: 0, to: (first + 2999) * dayMs };
      const given = [...walk(ruleOf(parts.join(";")), first * dayMs, reach, { left: 1e6 })].filter(
        (at) => at !== undefined,
      );
      expect([parts.join(";"), given]).toEqual([parts.join(";"), expected]);
    }
  });
});

test("all that is wrong with a rule is told at once", () => {
  expect(readRule("FREQ=NEVER;COUNT=0;BYHOUR=24;FOO=1;BYDAY=XX;WKST=1;WKST=MO;oops")).toEqual([
    "FREQ is one of YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY",
    'COUNT: "0" is no whole number from 1 on',
    'BYHOUR: "24" is no number from 0 to 23',
    "there is no part FOO",
    'BYDAY: "XX" is no day: MO, TU, WE, TH, FR, SA, SU, with a number before it for the first or last ones: 1MO, -1FR',
    "WKST is one of MO, TU, WE, TH, FR, SA, SU",
    "WKST is there twice",
    '"oops" is not of the form KEY=VALUE',
  ]);
  expect(readRule("FREQ=WEEKLY;BYMONTHDAY=1;BYDAY=1MO;COUNT=1;UNTIL=20260101")).toEqual([
    "COUNT and UNTIL do not go together: leave one of them out",
    "BYMONTHDAY does not go with FREQ=WEEKLY",
    "BYDAY with numbers does not go with FREQ=WEEKLY",
  ]);
  expect(readRule("INTERVAL=2;BYSETPOS=1")).toHaveLength(2);
});
