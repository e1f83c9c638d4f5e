import { describe, expect, test } from "bun:test";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { instantsOf, readTiming, type Timing, type TimingInput } from "../../src/lib/schedule-timing.ts";

const at = (text: string): number => parseInstant(text)!;

/** Of input that must be right. */
function timingOf(input: TimingInput, name = "nightly"): Timing {
  const read = readTiming(input, name);
  if ("problems" in read) throw new Error(JSON.stringify(read.problems));
  return read.timing;
}

function problemsOf(input: TimingInput, now?: number): string[] {
  const read = readTiming(input, "nightly", now);
  return "problems" in read ? read.problems.map(({ path, message }) => `${path}: ${message}`) : [];
}

/** The first instants after one, as people write them. */
function walk(input: TimingInput, from: string, count: number): string[] {
  const instants = instantsOf(timingOf(input), "nightly");
  const found: string[] = [];
  for (let next = instants.after(at(from)); next !== undefined && found.length < count; next = instants.after(next))
    found.push(formatInstant(next).slice(0, 19));
  return found;
}

describe("what is read", () => {
  test("keeps what was written, and the zone as the zone data spells it", () => {
    expect(timingOf({ cron: " 0 8 * * thu ", tz: "europe/berlin" })).toEqual({
      cron: "0 8 * * thu",
      tz: "Europe/Berlin",
    });
    expect(timingOf({ cron: "@every 5m" })).toEqual({ everyMs: 300_000, tz: "UTC" });
    expect(timingOf({ every: "1h30m", start: "2026-01-01T00:00:00Z" })).toEqual({
      everyMs: 5_400_000,
      tz: "UTC",
      start: at("2026-01-01T00:00:00Z"),
    });
    expect(timingOf({ cron: "@at 2026-12-01T02:00:00+01:00", end: null })).toEqual({
      at: at("2026-12-01T01:00:00Z"),
      tz: "UTC",
    });
  });

  test.each<[TimingInput, string[]]>([
    [{}, [": says not when: give one of cron, every and at"]],
    [{ cron: 5 }, ["cron: is no text"]],
    [{ cron: "* * * * *", every: "5m" }, ["every: goes not with cron: each says when a schedule is due"]],
    [{ cron: "0 0 30 2 *" }, ["cron: the 30th of February does not exist"]],
    [{ cron: "0 0 30,31 2 *" }, ["cron: the 30th and the 31st of February do not exist"]],
    [{ cron: "0 0 31 4,6 *" }, ["cron: the 31st of April and June does not exist"]],
    [{ cron: "0 0 29 2 +MON#1" }, ["cron: has no run"]],
    [{ cron: "0 0 29 2 +MON" }, ["cron: has no run within 5 years"]],
    [{ every: "1ms" }, ['every: "1ms" is shorter than 1s']],
    [{ cron: "@every 1ms" }, ['cron: "1ms" is shorter than 1s']],
    [{ every: "11000d" }, ['every: "11000d" is longer than 10 years']],
    [{ every: "5 minutes" }, ['every: "5 minutes" is not a duration: write 5m or 1h30m']],
    [{ every: "1d", tz: "Europe/Berln" }, ['tz: "Europe/Berln" is no time zone: is it Europe/Berlin?']],
    [{ every: "1d", tz: "+02:00" }, ['tz: "+02:00" is no time zone: write one such as Europe/Berlin']],
    [{ every: "1d", start: "2026-01-02T00:00:00Z", end: "2026-01-02T00:00:00Z" }, ["end: is not after start"]],
    [
      { every: "1d", start: "2026-01-02T00:00:01Z", end: "2026-01-02T23:59:59Z" },
      ["every: has no run between start and end"],
    ],
    [{ at: "2026-01-02T00:00:01Z", end: "2026-01-02T00:00:00Z" }, ["at: is after end: it would never be due"]],
    [
      { cron: "61 24 ? foo 5#6", tz: "Nowhere", start: "tomorrow" },
      [
        "cron: minute 61 is not from 0 to 59",
        "cron: hour 24 is not from 0 to 23",
        'cron: day "?" is of Quartz: write * in its place',
        'cron: month "FOO" is none of JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, NOV, DEC',
        'cron: weekday "5#6" is not understood: # is for the first to fifth of a weekday in its month, such as MON#1',
        'tz: "Nowhere" is no time zone: write one such as Europe/Berlin',
        'start: "tomorrow" is not an instant: write 2026-12-01T02:00:00Z, with its zone',
      ],
    ],
  ])("%j is refused with all that is wrong", (input, problems) => {
    expect(problemsOf(input)).toEqual(problems);
  });

  test.each(["* * * *", "@reboot", "@fortnightly", "", "CRON_TZ=UTC 0 0 * * *", "* * * * * * * *", "every monday"])(
    "%j is one mistake, and told with what to write",
    (cron) => {
      expect(problemsOf({ cron })).toHaveLength(1);
    },
  );

  test("a year that is over is one only where it is known what time it is", () => {
    expect(problemsOf({ cron: "0 0 0 1 1 * 2025" })).toEqual([]);
    expect(problemsOf({ cron: "0 0 0 1 1 * 2025" }, at("2026-01-01T00:00:00Z"))).toEqual(["cron: has no run any more"]);
    expect(problemsOf({ cron: "0 0 0 1 1 * 2099" }, at("2026-01-01T00:00:00Z"))).toEqual([
      "cron: has no run within 5 years",
    ]);
  });
});

describe("instants", () => {
  test("every is counted from the epoch, whatever it starts from", () => {
    expect(walk({ every: "7h", start: "2026-03-01T00:00:00Z" }, "2026-01-01T00:00:00Z", 2)).toEqual([
      "2026-03-01T05:00:00",
      "2026-03-01T12:00:00",
    ]);
    expect(at("2026-03-01T05:00:00Z") % (7 * 3_600_000)).toBe(0);
  });

  test("a cron with years ends, and says so for ever after", () => {
    const instants = instantsOf(timingOf({ cron: "0 0 12 1 1 * 2026-2027" }), "nightly");
    expect(walk({ cron: "0 0 12 1 1 * 2026-2027" }, "1999-01-01T00:00:00Z", 9)).toEqual([
      "2026-01-01T12:00:00",
      "2027-01-01T12:00:00",
    ]);
    for (const ms of [at("2027-01-01T12:00:00Z"), 8.64e15, Infinity]) {
      expect(instants.after(ms)).toBeUndefined();
      expect(formatInstant(instants.latestUpTo(ms)!)).toBe("2027-01-01T12:00:00.000Z");
    }
    expect(instants.latestUpTo(at("2025-12-31T00:00:00Z"))).toBeUndefined();
  });

  test("a zone that this host does not know is told of at once, and not by what is asked later", () => {
    expect(() => instantsOf({ cron: "0 0 * * *", tz: "Mars/Olympus" }, "nightly")).toThrow(
      'no time zone "Mars/Olympus"',
    );
  });

  test("start and end count themselves", () => {
    const input = { cron: "0 0 * * *", start: "2026-01-02T00:00:00Z", end: "2026-01-04T00:00:00Z" };
    expect(walk(input, "2025-01-01T00:00:00Z", 9)).toEqual([
      "2026-01-02T00:00:00",
      "2026-01-03T00:00:00",
      "2026-01-04T00:00:00",
    ]);
    const instants = instantsOf(timingOf(input), "nightly");
    expect(instants.latestUpTo(at("2026-01-01T23:59:59Z"))).toBeUndefined();
    expect(instants.latestUpTo(at("2030-01-01T00:00:00Z"))).toBe(at("2026-01-04T00:00:00Z"));
  });
});
