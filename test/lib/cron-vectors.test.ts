/** What an expression gives on nights on which clocks change, whatever the zone of the host; and faults that croner had. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { parseInstant } from "../../src/lib/calendar.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";
import { zoneDataVersion } from "../../src/lib/zone-data.ts";
import type { WalkCase } from "./cron-walk.ts";

const newYork = "America/New_York";
const vectors: readonly (readonly [string, string, string, readonly string[]])[] = [
  // A fixed time in the gap fires at its end; others are left out.
  ["30 2 * * *", newYork, "2026-03-08T00:00:00Z", ["03-08 07:00", "03-09 06:30"]],
  ["0,30 2 * * *", newYork, "2026-03-08T00:00:00Z", ["03-08 07:00", "03-09 06:00", "03-09 06:30"]],
  ["0-30 2 * * *", newYork, "2026-03-08T00:00:00Z", ["03-08 07:00", "03-09 06:00", "03-09 06:01"]],
  ["*/30 2 * * *", newYork, "2026-03-08T00:00:00Z", ["03-09 06:00", "03-09 06:30"]],
  ["30 * * * *", newYork, "2026-03-08T05:00:00Z", ["03-08 05:30", "03-08 06:30", "03-08 07:30"]],
  ["30 2,3 * * *", newYork, "2026-03-08T05:00:00Z", ["03-08 07:00", "03-08 07:30", "03-09 06:30"]],
  // A fixed time that comes twice fires the first time; others both times.
  ["30 1 * * *", newYork, "2026-11-01T00:00:00Z", ["11-01 05:30", "11-02 06:30"]],
  ["30 * * * *", newYork, "2026-11-01T04:00:00Z", ["11-01 04:30", "11-01 05:30", "11-01 06:30", "11-01 07:30"]],
  ["*/30 1 * * *", newYork, "2026-11-01T00:00:00Z", ["11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30"]],
  ["15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", ["10-03 15:30", "10-04 15:15"]],
  ["45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", ["04-04 14:45", "04-05 15:15"]],
  ["0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", ["04-23 22:00", "04-24 21:00"]],
  // Day or weekday; both with +.
  ["0 0 13 * 5", "UTC", "2026-02-01T00:00:00Z", ["02-06 00:00", "02-13 00:00", "02-20 00:00"]],
  ["0 0 13 * 5", "UTC", "2026-04-10T00:00:00Z", ["04-13 00:00", "04-17 00:00"]],
  ["0 0 13 * +FRI", "UTC", "2026-02-01T00:00:00Z", ["02-13 00:00", "03-13 00:00", "11-13 00:00"]],
  ["0 0 15W * *", "UTC", "2026-02-01T00:00:00Z", ["02-16 00:00", "03-16 00:00", "04-15 00:00"]],
  ["0 0 L * *", "UTC", "2028-02-01T00:00:00Z", ["02-29 00:00", "03-31 00:00"]],
  ["0 0 LW * *", "UTC", "2026-02-01T00:00:00Z", ["02-27 00:00", "03-31 00:00"]],
  ["0 0 * * mon#1", "UTC", "2026-02-01T00:00:00Z", ["02-02 00:00", "03-02 00:00"]],
  ["0 0 * * friL", "UTC", "2026-02-01T00:00:00Z", ["02-27 00:00", "03-27 00:00"]],
  ["0 0 * * FRI-SUN", "UTC", "2026-02-05T00:00:00Z", ["02-06 00:00", "02-07 00:00", "02-08 00:00", "02-13 00:00"]],
  ["5/20 3 * * *", "UTC", "2026-02-05T00:00:00Z", ["02-05 03:05", "02-05 03:25", "02-05 03:45"]],
  ["15 30 2 * JUL *", "UTC", "2026-02-05T00:00:00Z", ["07-01 02:30:15", "07-02 02:30:15"]],
  ["0 0 0 29 2 * 2026-2030", "UTC", "2026-01-01T00:00:00Z", ["02-29 00:00"]],
  ["@weekly", "UTC", "2026-02-01T00:00:00Z", ["02-08 00:00", "02-15 00:00"]],
  ["@yearly", "UTC", "2026-02-01T00:00:00Z", ["01-01 00:00"]],
  // croner 284: an hourly pattern in UTC was wrong where the clocks of the host change.
  ["0 * * * *", "UTC", "2026-03-08T05:30:00Z", ["03-08 06:00", "03-08 07:00", "03-08 08:00"]],
  ["0 * * * *", "UTC", "2026-11-01T04:30:00Z", ["11-01 05:00", "11-01 06:00", "11-01 07:00"]],
  ["30 2 * * *", "UTC", "2026-03-07T12:00:00Z", ["03-08 02:30", "03-09 02:30"]],
  ["30 2 * * *", "UTC", "2026-03-28T12:00:00Z", ["03-29 02:30", "03-30 02:30"]],
];

describe.each([newYork, "Europe/Berlin", "Pacific/Auckland"])("on a host in %s", (zone) => {
  const cases = vectors.map(([cron, tz, from, { length: count }]): WalkCase => ({ cron, tz, from, count }));
  const child = path.join(import.meta.dir, "cron-walk.ts");
  const printed = execFileSync(process.execPath, [child, JSON.stringify(cases)], {
    encoding: "utf8",
    env: { ...process.env, TZ: zone },
  });
  const told = JSON.parse(printed) as {
    readonly zone: string;
    readonly data: string;
    readonly walks: readonly string[][];
  };

  test("the host's zone is that one, and changes nothing of the zones' data", () => {
    expect([told.zone, told.data]).toEqual([zone, zoneDataVersion()]);
    expect(told.data).toMatch(/^\S+ [0-9a-f]{8}$/);
  });

  test.each(vectors.map((vector, at) => [...vector, told.walks[at]!] as const))(
    "%s in %s after %s",
    (_cron, _tz, _from, expected, found) => {
      expect(found).toEqual([...expected]);
    },
  );
});

describe("what croner got wrong once", () => {
  test("each second has its instant, wherever in a second it is asked (343)", () => {
    for (const beside of [0, 1, 500, 999]) {
      const instants = instantsOf({ cron: "* * * * * *", tz: "Europe/Berlin" }, "seconds");
      const start = parseInstant("2026-06-01T09:59:00Z")!;
      for (let second = 0; second < 120; second++)
        expect(instants.after(start + second * 1000 + beside)).toBe(start + (second + 1) * 1000);
    }
  });

  test("an instant is never given for itself again, in the hour that comes twice as well (142)", () => {
    for (const cron of ["* * * * *", "*/7 1-2 * * *", "*/10 * 1 * * *", "0 1,2 * * *"]) {
      const instants = instantsOf({ cron, tz: newYork }, "again");
      let at = parseInstant("2026-11-01T03:00:00Z")!;
      for (let step = 0; step < 500; step++) {
        const next = instants.after(at)!;
        expect(next).toBeGreaterThan(at);
        at = next;
      }
    }
  });
});
