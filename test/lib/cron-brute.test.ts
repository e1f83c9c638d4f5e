/**
 * Walking a schedule's instants gives what a look at every minute of the year gives, in all zones whose clocks change in 2026. The look knows nothing of croner:
 * it moves a local clock by the zone's changes and asks of each minute whether the expression names it.
 */
import { expect, test } from "bun:test";
import { offsetAt, offsetChanges } from "../../src/lib/calendar-zones.ts";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";

const yearStart = parseInstant("2026-01-01T00:00:00Z")!;
const yearEnd = parseInstant("2027-01-01T00:00:00Z")!;
const minuteMs = 60_000;
const dayMs = 86_400_000;
const zones = Intl.supportedValuesOf("timeZone").filter(
  (tz) => offsetChanges(yearStart, yearEnd - minuteMs, tz).length > 0,
);

/** An expression, and the same said in another way: which local minutes it names, and whether as fixed times. */
interface Case {
  readonly cron: string;
  readonly isFixed: boolean;
  readonly names: (minute: number, hour: number, day: number, weekday: number) => boolean;
}

const cases: readonly Case[] = [
  { cron: "30 2 * * *", isFixed: true, names: (minute, hour) => minute === 30 && hour === 2 },
  { cron: "0 0 * * *", isFixed: true, names: (minute, hour) => minute === 0 && hour === 0 },
  { cron: "15,45 0-3 * * *", isFixed: true, names: (minute, hour) => (minute === 15 || minute === 45) && hour <= 3 },
  {
    cron: "0 2,3 * * SUN",
    isFixed: true,
    names: (m, hour, _day, weekday) => m === 0 && (hour === 2 || hour === 3) && weekday === 0,
  },
  {
    cron: "5 1 29 * 0",
    isFixed: true,
    names: (m, hour, day, weekday) => m === 5 && hour === 1 && (day === 29 || weekday === 0),
  },
  { cron: "*/20 1-2 * * *", isFixed: false, names: (minute, hour) => minute % 20 === 0 && (hour === 1 || hour === 2) },
  { cron: "30 * * * *", isFixed: false, names: (minute) => minute === 30 },
  {
    cron: "10-59/25 */3 * * *",
    isFixed: false,
    names: (minute, hour) => (minute === 10 || minute === 35) && hour % 3 === 0,
  },
];

/** All instants after `from` up to `to`, minute by minute. */
function scan({ isFixed, names }: Case, tz: string, from: number, to: number): number[] {
  const changes = offsetChanges(from, to, tz);
  const found: number[] = [];
  const isNamed = (ms: number): boolean => {
    const minutes = Math.floor(ms / minuteMs);
    const days = Math.floor(ms / dayMs);
    const day = dayOf(days);
    return names(minutes % 60, Math.floor(minutes / 60) % 24, day, (days + 4) % 7);
  };
  let offset = offsetAt(from, tz);
  // The local minutes that have been, which a fixed time is not for again.
  let reached = from + offset;
  for (let at = from + minuteMs; at <= to; at += minuteMs) {
    if (changes[0]?.atMs === at) offset = changes.shift()!.afterMs;
    const local = at + offset;
    let due = isNamed(local) && (!isFixed || local > reached);
    // What was jumped over and is of fixed time is due at the end of the gap, when that is on the same day.
    for (let missed = reached + minuteMs; missed < local; missed += minuteMs)
      due ||= isFixed && isNamed(missed) && Math.floor(missed / dayMs) === Math.floor(local / dayMs);
    if (due) found.push(at);
    reached = Math.max(reached, local);
  }
  return found;
}

const daysOfMonth = new Map<number, number>();
function dayOf(days: number): number {
  let day = daysOfMonth.get(days);
  if (day === undefined) daysOfMonth.set(days, (day = Number(formatInstant(days * dayMs).slice(8, 10))));
  return day;
}

function walk(cron: string, tz: string, from: number, to: number): number[] {
  const instants = instantsOf({ cron, tz }, "brute");
  const found: number[] = [];
  for (let at = instants.after(from); at !== undefined && at <= to; at = instants.after(at)) found.push(at);
  return found;
}

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

test(`zones have changes this year, in both directions (seed ${seed})`, () => {
  expect(zones.length).toBeGreaterThan(100);
  expect(zones).toContain("Australia/Lord_Howe");
  expect(zones).not.toContain("Asia/Tokyo");
});

test.each(cases)("$cron around every change of clocks in every zone", (one) => {
  for (const tz of zones)
    for (const { atMs } of offsetChanges(yearStart, yearEnd, tz)) {
      const [from, to] = [atMs - 1.5 * dayMs, atMs + 1.5 * dayMs];
      expect([tz, walk(one.cron, tz, from, to)]).toEqual([tz, scan(one, tz, from, to)]);
    }
});

test("one expression through the year in every zone, the others in some", () => {
  const random = seededRandom(seed);
  const some = (): string => zones[randomInteger(random, 0, zones.length - 1)]!;
  for (const [at, one] of cases.entries())
    for (const tz of at === 0 ? zones : [some(), some()]) {
      const told = `${one.cron} in ${tz}, seed ${seed}`;
      expect([told, walk(one.cron, tz, yearStart, yearEnd)]).toEqual([told, scan(one, tz, yearStart, yearEnd)]);
    }
});
