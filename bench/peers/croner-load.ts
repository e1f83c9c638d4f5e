/**
 * The floor of lateness: so many schedules in one process that keeps nothing and tells nobody, by croner, in the runtime that skein has.
 * `bun bench/peers/croner-load.ts '{"schedules":4000,"everySeconds":5,"seconds":20}'` prints one JSON object.
 */
import { Cron } from "croner";

const { schedules, everySeconds, seconds } = JSON.parse(process.argv[2]!) as {
  schedules: number;
  everySeconds: number;
  seconds: number;
};
const everyMs = everySeconds * 1_000;
const lags: number[] = [];
let measuresFrom = Infinity;
const all = Array.from(
  { length: schedules },
  () =>
    new Cron(`*/${everySeconds} * * * * *`, { timezone: "UTC" }, () => {
      const now = Date.now();
      if (now >= measuresFrom) lags.push(now % everyMs);
    }),
);
// As the mesh has it: an interval of warming up, and then those that are looked at.
measuresFrom = (Math.floor(Date.now() / everyMs) + 2) * everyMs;
const instants = Math.ceil(seconds / everySeconds);
await new Promise((resolve) => setTimeout(resolve, measuresFrom + (instants - 0.5) * everyMs - Date.now()));
for (const one of all) one.stop();
lags.sort((a, b) => a - b);
const at = (share: number): number => lags[Math.max(0, Math.ceil(share * lags.length) - 1)]!;
console.log(JSON.stringify({ fires: lags.length, p50: at(0.5), p99: at(0.99), max: at(1) }));
