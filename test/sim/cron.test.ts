import { expect, test } from "bun:test";
import { runMany } from "./cron-many.ts";

/** Far more than it needs: a machine may have other things to do. */
const patienceMs = 25 * 60_000;
const wantedHours = 10_000;
const hours = 3;
const schedules = 690;
/** One alone where it is said: `SEED=3 bun test test/sim/cron.test.ts` runs a failing one again, with its story. */
const only = process.env["SEED"];
const seeds = only === undefined ? [1, 2, 3, 4, 5] : [Number(only)];

test(
  `${wantedHours} hours of schedules: three members, six, three again, leaders that change, clocks that are wrong: none twice, none lost, none early`,
  async () => {
    const results = await runMany(seeds.map((seed) => ({ seed, hours, schedules, story: only !== undefined })));
    const sum = (of: (result: (typeof results)[number]) => number): number =>
      results.reduce((total, result) => total + of(result), 0);
    for (const { seed, scheduleHours, fires, skips, onTime, worstMs, elections } of results)
      console.log(
        `seed ${seed}: ${Math.round(scheduleHours)} hours of schedules, ${fires} fires, ${skips} skipped, ${onTime} judged as on time (${worstMs} ms late at most), ${elections} elections`,
      );
    const failed = results.filter(({ problems }) => problems.length > 0);
    expect(
      failed.map(({ seed, problems, story }) => [`SEED=${seed}`, ...problems, ...story.slice(-25)].join("\n")),
    ).toEqual([]);
    if (only !== undefined) return;
    expect(sum(({ scheduleHours }) => scheduleHours)).toBeGreaterThanOrEqual(wantedHours);
    expect(sum(({ fires }) => fires)).toBeGreaterThan(5_000);
    // Most of it is judged for its lateness as well, or a mesh that is always late would not be noticed.
    expect(sum(({ onTime }) => onTime)).toBeGreaterThan(sum(({ fires }) => fires) * 0.3);
    expect(sum(({ elections }) => elections)).toBeGreaterThan(20);
    for (const reason of ["missed", "overlap", "paused", "window"])
      expect({ reason, instants: sum(({ reasons }) => reasons[reason] ?? 0) }).not.toEqual({ reason, instants: 0 });
  },
  patienceMs,
);
