import { describe, expect, test } from "bun:test";
import { cli } from "./support.ts";

/** Nobody listens there: the verb asks no mesh. */
const nowhere = { SKEIN_ADDR: "http://127.0.0.1:9" };

describe("skein cron next", () => {
  test("tells what an expression means and when it is due, with what changes of clocks do", async () => {
    const { code, out, err } = await cli(
      ["cron", "next", "30 2 * * *", "--tz", "america/new_york", "--from", "2026-03-07T12:00:00Z", "--count", "2"],
      { ...nowhere, COLUMNS: "200" },
    );
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^means +at 02:30, every day, in America\/New_York$/m);
    expect(out).toMatch(/^zone +America\/New_York$/m);
    expect(out).toMatch(/^2026-03-08 03:00 EDT \(UTC-04:00\) +2026-03-08T07:00:00Z +clocks go forward/m);
    expect(out).toMatch(/^2026-03-09 02:30 EDT \(UTC-04:00\) +2026-03-09T06:30:00Z *$/m);
  });

  test("says that the zone is UTC where none is given, whatever the host's", async () => {
    const { out } = await cli(["cron", "next", "@daily"], { ...nowhere, TZ: "Asia/Tokyo" });
    expect(out).toMatch(/^zone +UTC, because none is given/m);
    expect(out).toMatch(/ 00:00 UTC +\d{4}-\d\d-\d\dT00:00:00Z/);
  });

  test("gives one value to programs", async () => {
    const { code, out } = await cli(
      ["cron", "next", "@every", "90m", "--from", "2026-01-01T00:00:00Z", "--count", "1", "-o", "json"],
      nowhere,
    );
    expect([code, JSON.parse(out)]).toEqual([
      0,
      {
        expression: "@every 90m",
        words: "every 1h30m, counted from 1970-01-01T00:00:00.000Z",
        tz: "UTC",
        zone_data: expect.any(String),
        next: [{ at: "2026-01-01T01:30:00.000Z", local: "2026-01-01 01:30 UTC" }],
      },
    ]);
    const quiet = await cli([
      "cron",
      "next",
      "0 0 1 1 *",
      "--from",
      "2026-06-01T00:00:00Z",
      "--count",
      "2",
      "-o",
      "quiet",
    ]);
    expect(quiet.out).toBe("2027-01-01T00:00:00.000Z\n2028-01-01T00:00:00.000Z\n");
  });

  test("says so when nothing comes any more", async () => {
    const argv = ["cron", "next", "0 0 0 1 1 * 2026", "--from", "2027-01-01T00:00:00Z"];
    expect(await cli(argv)).toMatchObject({
      code: 0,
      out: expect.stringContaining("never after 2027-01-01T00:00:00.000Z"),
    });
    expect(JSON.parse((await cli([...argv, "-o", "json"])).out)).toMatchObject({ next: [] });
  });

  test("the name decides what H is", async () => {
    const of = async (name: string): Promise<string> =>
      (await cli(["cron", "next", "H H * * *", "--name", name, "-o", "quiet"])).out;
    expect(await of("backup")).toBe(await of("backup"));
    expect(await of("backup")).not.toBe(await of("report"));
  });

  test("every mistake is told at once, and ends with 2", async () => {
    const { code, out, err } = await cli(
      ["cron", "next", "99 * 30 2 NEVER", "--tz", "Europe/Berln", "--count", "0", "--from", "noon"],
      nowhere,
    );
    expect([code, out]).toEqual([2, ""]);
    expect(err.trim().split("\n")).toEqual([
      "skein: 5 things are wrong",
      '  --count: "0" is not a whole number from 1 to 1000',
      '  --from: "noon" is not an instant: write 2026-12-01T02:00:00Z, with its zone',
      "  EXPR: minute 99 is not from 0 to 59",
      '  EXPR: weekday "NEVER" is none of SUN, MON, TUE, WED, THU, FRI, SAT',
      '  --tz: "Europe/Berln" is no time zone: is it Europe/Berlin?',
    ]);
  });

  test.each([
    [["0 0 30 2 *"], "the 30th of February does not exist"],
    [["* * * *"], "has 4 fields"],
    [["@every", "1ms"], '"1ms" is shorter than 1s'],
    [["@reboot"], "systemd"],
    [["0", "8", "README.md", "README.md", "1-5"], "put it in quotes"],
  ])("%j is answered with what to do", async (words, hint) => {
    const { code, err } = await cli(["cron", "next", ...words], nowhere);
    expect([code, err]).toEqual([2, expect.stringContaining(hint)]);
  });
});
