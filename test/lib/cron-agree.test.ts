/** What is asked of instants agrees: the next one, the newest one and how many there are, for any expression, zone and moment. */
import { expect, test } from "bun:test";
import { offsetChanges } from "../../src/lib/calendar-zones.ts";
import { formatInstant, parseInstant } from "../../src/lib/calendar.ts";
import { timingWords } from "../../src/lib/cron-words.ts";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";
import { instantsOf, readTiming } from "../../src/lib/schedule-timing.ts";

const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const random = seededRandom(seed);
const within = (low: number, high: number): number => randomInteger(random, low, high);
const pick = <Value>(...values: readonly Value[]): Value => values[within(0, values.length - 1)]!;

const from = parseInstant("2024-01-01T00:00:00Z")!;
const to = parseInstant("2030-01-01T00:00:00Z")!;
const zones = Intl.supportedValuesOf("timeZone")
  .map((tz) => ({ tz, changes: offsetChanges(from, to, tz) }))
  .filter(({ changes }) => changes.length > 0);

function field(low: number, high: number): string {
  const value = within(low, high);
  const later = within(value, high);
  return pick(
    "*",
    `*/${within(1, 7)}`,
    `${value}`,
    `${value}-${later}`,
    `${value},${within(low, high)}`,
    `${value}/3`,
    "H",
  );
}

function expression(): string {
  const day = pick("*", "*", field(1, 31), "L", "LW", "1,L", `${within(1, 31)}W`);
  const weekday = pick(
    "*",
    "*",
    field(0, 6),
    `${within(0, 7)}#${within(1, 5)}`,
    `${within(0, 7)}L`,
    `+${within(0, 6)}`,
  );
  const hour = pick("0", "1", "2", "3", "2,3", "0-4", "*/2", field(0, 23));
  const five = `${field(0, 59)} ${hour} ${day} ${pick("*", "*", field(1, 12))} ${weekday}`;
  return pick(five, five, `${field(0, 59)} ${five}`, `${within(0, 59)} ${five} ${within(2024, 2030)}`);
}

test(`in 1,200 moments, most of them near a change of clocks (seed ${seed})`, () => {
  let looked = 0;
  while (looked < 1200) {
    const cron = expression();
    const { tz, changes } = zones[within(0, zones.length - 1)]!;
    const read = readTiming({ cron, tz }, "agree");
    if ("problems" in read) {
      // Dates that there are not come out of this as well, and nothing else that is refused.
      expect([cron, read.problems.map(({ message }) => message).join()]).toEqual([
        cron,
        expect.stringMatching(/has no run|not exist/),
      ]);
      continue;
    }
    expect(timingWords(read.timing, "agree")).toEndWith(`, in ${tz}`);
    const instants = instantsOf(read.timing, "agree");
    for (let moment = 0; moment < 4; moment++, looked++) {
      const near = changes[within(0, changes.length - 1)]!.atMs;
      const at =
        (random() < 0.7 ? near : within(from / 1000, to / 1000) * 1000) +
        within(-10_800, 10_800) * 1000 +
        pick(0, 1, 999);
      const told = `${cron} in ${tz} at ${formatInstant(at)}, seed ${seed}`;
      const next = instants.after(at);
      const last = instants.latestUpTo(at);
      const is = (what: string, found: unknown, expected: unknown): void =>
        expect([told, what, found]).toEqual([told, what, expected]);
      if (next !== undefined) {
        is("next is later", next > at, true);
        is("the newest at next", instants.latestUpTo(next), next);
        is("the newest before next", instants.latestUpTo(next - 1), last);
      }
      if (last !== undefined) {
        is("the newest is not later", last <= at, true);
        is("the one after the newest", instants.after(last), next);
        is("the one that the newest is", instants.after(last - 1), last);
      }
    }
  }
});
