import { formatInstant, parseInstant } from "../lib/calendar.ts";
import { formatInZone } from "../lib/calendar-zones.ts";
import { wallMs } from "../lib/clock.ts";
import { dstNote } from "../lib/cron-dst.ts";
import { timingWords } from "../lib/cron-words.ts";
import type { Problem } from "../lib/outcome.ts";
import { instantsOf, type Timing } from "../lib/schedule-timing.ts";
import { zoneDataVersion } from "../lib/zone-data.ts";
import { CliError, exit } from "./exit.ts";
import type { Output } from "./output.ts";

/** What is asked for. */
export interface Asked {
  readonly expression: string;
  readonly timing: Timing;
  readonly name: string;
  readonly from: number;
  readonly count: number;
}

/** Flags of `skein cron next`. */
export interface NextFlags {
  readonly tz?: string;
  readonly count?: string;
  readonly from?: string;
  readonly name?: string;
}

export const countMost = 1000;
export const countUsual = 5;

/** How many instants, and after which one. */
export function readBounds(flags: NextFlags, problems: Problem[]): Pick<Asked, "from" | "count"> {
  const count = flags.count === undefined ? countUsual : /^\d{1,6}$/.test(flags.count) ? Number(flags.count) : 0;
  if (count < 1 || count > countMost)
    problems.push({ path: "--count", message: `"${flags.count}" is not a whole number from 1 to ${countMost}` });
  const from = flags.from === undefined ? wallMs() : parseInstant(flags.from);
  if (from === undefined) {
    const message = `"${flags.from}" is not an instant: write 2026-12-01T02:00:00Z, with its zone`;
    problems.push({ path: "--from", message });
  }
  return { count, from: from ?? 0 };
}

/** All that is wrong, at once. */
export function wrong(problems: readonly Problem[]): CliError {
  const message = problems.length === 1 ? "one thing is wrong" : `${problems.length} things are wrong`;
  return new CliError(exit.usage, message, problems);
}

/** What `-o json` gives. */
export interface Answer {
  readonly expression: string;
  readonly words: string;
  readonly tz: string;
  readonly zone_data: string;
  readonly next: readonly { readonly at: string; readonly local: string; readonly note?: string }[];
}

/** Worked out here. */
export function answer({ expression, timing, name, from, count }: Asked): Answer {
  const instants = instantsOf(timing, name);
  const next: Answer["next"][number][] = [];
  for (let at = instants.after(from); at !== undefined && next.length < count; at = instants.after(at)) {
    const note = dstNote(timing, name, at);
    next.push({
      at: formatInstant(at),
      local: formatInZone(at, timing.tz),
      ...(note === undefined ? {} : { note }),
    });
  }
  return { expression, words: timingWords(timing, name), tz: timing.tz, zone_data: zoneDataVersion(), next };
}

/** For people. `none`: why the mesh knows of none. */
export function print(out: Output, value: Answer, { from }: Asked, isUsualZone: boolean, none?: string): void {
  out.fields([
    ["expression", value.expression, "bold"],
    ["means", value.words],
    ["zone", isUsualZone ? "UTC, because none is given (--tz)" : value.tz],
    ["zone data", value.zone_data],
  ]);
  out.line("");
  if (value.next.length === 0) return out.line(none ?? `never after ${formatInstant(from)}`);
  out.rows(
    [{ title: "IN THE ZONE" }, { title: "UTC" }, { title: "NOTE", below: true }],
    value.next.map(({ at, local, note }) => [local, at.replace(".000Z", "Z"), note ?? ""]),
  );
}
