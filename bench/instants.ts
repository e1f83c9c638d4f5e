/**
 * How many instants of a cron expression does one core compute in a second: the next after one, the newest up to one, and the first of an expression that was
 * not asked about before? By processor time, so that what runs beside it counts for little.
 *
 * `npm run bench -- instants`
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { tool } from "../scripts/steps.ts";
import { parseInstant } from "../src/lib/calendar.ts";
import { instantsOf } from "../src/lib/schedule-timing.ts";

const cases = [
  ["* * * * * *", "Europe/Berlin"],
  ["*/5 * * * *", "UTC"],
  ["30 2 * * *", "America/New_York"],
  ["*/30 1 * * *", "America/New_York"],
  ["0 8-17 * * MON-FRI", "Europe/Berlin"],
  ["0 0 LW 12 +FRI", "Europe/Berlin"],
  ["0 0 29 2 *", "Europe/Berlin"],
] as const;

// Zones and their changes are the runtime's that the binary has within.
if (process.versions.bun === undefined)
  execFileSync(tool("bun"), [fileURLToPath(import.meta.url)], { stdio: "inherit" });
else measure();

function measure(): void {
  const first = parseInstant("2026-01-01T00:00:00Z")!;
  const last = parseInstant("2080-01-01T00:00:00Z")!;
  for (const [cron, tz] of cases) {
    const instants = instantsOf({ cron, tz }, "bench");
    let at = first;
    const next = perSecond(() => {
      const found = instants.after(at) ?? last;
      at = found < last ? found : first;
    });
    let asked = 0;
    const newest = perSecond(() => instants.latestUpTo(first + asked++ * 7_777_777));
    console.log(`${cron.padEnd(20)} ${tz.padEnd(18)} next ${next}/s, newest ${newest}/s`);
  }
  let fresh = 0;
  const made = perSecond(() => {
    const cron = `${fresh % 60} ${fresh % 24} ${1 + (fresh % 28)} ${1 + (fresh % 12)} *`;
    instantsOf({ cron, tz: "Europe/Berlin", start: fresh++ }, "bench").after(first);
  });
  console.log(`of new expressions the first: ${made}/s`);
}

function perSecond(work: () => unknown): number {
  const enoughUs = 500_000;
  const began = process.cpuUsage().user;
  let times = 0;
  while (process.cpuUsage().user - began < enoughUs) for (let each = 0; each < 20; each++, times++) work();
  return Math.round(times / ((process.cpuUsage().user - began) / 1e6));
}
