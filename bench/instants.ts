/**
 * How many instants of a cron expression does one core compute in a second: the next after one, the newest up to one, and the first of an expression that was
 * not asked about before? By processor time, so that what runs beside it counts for little.
 *
 * `npm run bench -- instants [--rounds=3] [--write]`
 */
import { measureInTurns, option, printMachine } from "./harness.ts";
import { conclude } from "./page/conclude.ts";
import { atLeast, shown } from "./page/rows.ts";
import { cronerVersion, instantsPerSecond } from "./peers/croner.ts";

const cases = [
  ["* * * * * *", "Europe/Berlin"],
  ["*/5 * * * *", "UTC"],
  ["30 2 * * *", "America/New_York"],
  ["*/30 1 * * *", "America/New_York"],
  ["0 8-17 * * MON-FRI", "Europe/Berlin"],
  ["0 0 LW 12 +FRI", "Europe/Berlin"],
  ["0 0 29 2 *", "Europe/Berlin"],
] as const;

const conditions = await printMachine();
const { instants } = await measureInTurns(
  [{ name: "instants", measure: () => instantsPerSecond(cases) }],
  option("rounds", 3),
  { warmUp: false },
);
conclude("instants", conditions, {
  rows: [
    ...cases.flatMap(([cron, tz]) => [
      atLeast(`\`${cron}\`, ${tz}: the next`, 5_000, "/s", instants![`${cron} next`]!),
      shown(`the newest up to a moment`, "/s", instants![`${cron} newest`]!),
      shown("croner alone: the next", "/s", instants![`${cron} croner`]!),
    ]),
    shown("expressions that are new: the first of each", "/s", instants!["new"]!),
  ],
  figures: instants,
  peers: cronerVersion(),
});
