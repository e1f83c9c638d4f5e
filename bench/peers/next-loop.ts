/**
 * The instants a second of cron expressions, ours as a node works them out and plain croner's, in the runtime that skein has: zones and their changes are those that the binary has within. By
 * processor time, so that what runs beside it counts for little.
 * `bun bench/peers/next-loop.ts '{"cases":[["30 2 * * *","Europe/Berlin"]]}'` prints one JSON object.
 */
import { Cron } from "croner";
import { parseInstant } from "../../src/lib/calendar.ts";
import { instantsOf } from "../../src/lib/schedule-timing.ts";

const { cases } = JSON.parse(process.argv[2]!) as { cases: readonly (readonly [cron: string, tz: string])[] };
const first = parseInstant("2026-01-01T00:00:00Z")!;
const last = parseInstant("2080-01-01T00:00:00Z")!;
const figures: Record<string, number> = {};
for (const [cron, tz] of cases) {
  const instants = instantsOf({ cron, tz }, "bench");
  figures[`${cron} next`] = inARow((at) => instants.after(at));
  let asked = 0;
  figures[`${cron} newest`] = perSecond(() => instants.latestUpTo(first + asked++ * 7_777_777));
  const plain = new Cron(cron, { timezone: tz, paused: true });
  figures[`${cron} croner`] = inARow((at) => plain.nextRun(new Date(at))?.getTime());
}
let fresh = 0;
figures["new"] = perSecond(() => {
  const cron = `${fresh % 60} ${fresh % 24} ${1 + (fresh % 28)} ${1 + (fresh % 12)} *`;
  instantsOf({ cron, tz: "Europe/Berlin", start: fresh++ }, "bench").after(first);
});
console.log(JSON.stringify(figures));

/** One after the other, and from the beginning again. */
function inARow(next: (at: number) => number | undefined): number {
  let at = first;
  return perSecond(() => {
    const found = next(at) ?? last;
    at = found < last ? found : first;
  });
}

function perSecond(work: () => unknown): number {
  const enoughUs = 500_000;
  const began = process.cpuUsage().user;
  let times = 0;
  while (process.cpuUsage().user - began < enoughUs) for (let each = 0; each < 20; each++, times++) work();
  return Math.round(times / ((process.cpuUsage().user - began) / 1e6));
}
