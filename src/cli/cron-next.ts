import type { Command } from "commander";
import { formatInstant, parseInstant } from "../lib/calendar.ts";
import { formatInZone } from "../lib/calendar-zones.ts";
import { wallMs } from "../lib/clock.ts";
import { dstNote } from "../lib/cron-dst.ts";
import { timingWords } from "../lib/cron-words.ts";
import type { Problem } from "../lib/outcome.ts";
import { instantsOf, readTiming, type Timing } from "../lib/schedule-timing.ts";
import { zoneDataVersion } from "../lib/zone-data.ts";
import { addOutputFlags, type Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import type { Output } from "./output.ts";

interface NextFlags {
  readonly tz?: string;
  readonly count?: string;
  readonly from?: string;
  readonly name?: string;
}

const countMost = 1000;
const countUsual = 5;

/** `skein cron next EXPR`: a calculator, which needs no mesh. */
export function addCronNext(parent: Command, cli: Cli): void {
  const command = parent
    .command("next")
    .description("say in words what an expression means, and when it is due; needs no mesh")
    .argument("<expression...>", "in quotes: cron with 5 to 7 fields, @daily, @every 5m, @at 2026-12-01T02:00:00Z")
    .option("--tz <zone>", "time zone of the expression, such as Europe/Berlin (default UTC)")
    .option("--count <n>", `so many instants (1..${countMost}, default ${countUsual})`)
    .option("--from <instant>", "those after this one (default now)")
    .option("--name <name>", "name of the schedule, from which H follows");
  addOutputFlags(command);
  cli.local<NextFlags, [string[]]>(command, (flags, global, words) => {
    const asked = read(words, flags);
    const value = answer(asked);
    cli.output(global).result({
      value,
      ids: value.next.map(({ at }) => at),
      table: (out) => print(out, value, asked, flags.tz === undefined),
    });
    return Promise.resolve(exit.done);
  });
}

interface Asked {
  readonly expression: string;
  readonly timing: Timing;
  readonly name: string;
  readonly from: number;
  readonly count: number;
}

/** Throws CliError with all that is wrong. */
function read(words: readonly string[], flags: NextFlags): Asked {
  const expression = words.join(" ");
  const problems: Problem[] = [];
  const count = flags.count === undefined ? countUsual : /^\d{1,6}$/.test(flags.count) ? Number(flags.count) : 0;
  if (count < 1 || count > countMost)
    problems.push({ path: "--count", message: `"${flags.count}" is not a whole number from 1 to ${countMost}` });
  const from = flags.from === undefined ? wallMs() : parseInstant(flags.from);
  if (from === undefined) {
    const message = `"${flags.from}" is not an instant: write 2026-12-01T02:00:00Z, with its zone`;
    problems.push({ path: "--from", message });
  }
  const name = flags.name ?? "";
  // One that is over is none for a schedule; here what is asked for may lie in the past.
  const made = readTiming({ cron: expression, tz: flags.tz }, name);
  if ("timing" in made && problems.length === 0) return { expression, timing: made.timing, name, from: from!, count };
  if ("problems" in made) problems.push(...expressionProblems(words, made.problems));
  throw new CliError(
    exit.usage,
    problems.length === 1 ? "one thing is wrong" : `${problems.length} things are wrong`,
    problems,
  );
}

/** Told of what was typed: the expression has no flag. */
function expressionProblems(words: readonly string[], found: readonly Problem[]): Problem[] {
  const [word] = words;
  if (words.length === 1 && /^[A-Za-z][\w.-]*$/.test(word!)) {
    const message = `"${word}" is one word, as the name of a schedule is: this verb takes an expression, such as "0 8 * * MON-FRI" or @daily`;
    return [{ path: "EXPR", message }, ...found.filter(({ path }) => path === "tz").map(ofFlag)];
  }
  const problems = found.map((problem) => (problem.path === "tz" ? ofFlag(problem) : { ...problem, path: "EXPR" }));
  if (words.length < 4 || problems.every(({ path }) => path !== "EXPR")) return problems;
  return [
    ...problems,
    { path: "EXPR", message: "came as several words: put it in quotes, or the shell gives names of files for *" },
  ];
}

function ofFlag({ path, message }: Problem): Problem {
  return { path: `--${path}`, message };
}

/** What `-o json` gives. */
interface Answer {
  readonly expression: string;
  readonly words: string;
  readonly tz: string;
  readonly zone_data: string;
  readonly next: readonly { readonly at: string; readonly local: string; readonly note?: string }[];
}

function answer({ expression, timing, name, from, count }: Asked): Answer {
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

function print(out: Output, value: Answer, { from }: Asked, isUsualZone: boolean): void {
  out.fields([
    ["expression", value.expression, "bold"],
    ["means", value.words],
    ["zone", isUsualZone ? "UTC, because none is given (--tz)" : value.tz],
    ["zone data", value.zone_data],
  ]);
  out.line("");
  if (value.next.length === 0) return out.line(`never after ${formatInstant(from)}`);
  out.rows(
    [{ title: "IN THE ZONE" }, { title: "UTC" }, { title: "NOTE", shrinks: true }],
    value.next.map(({ at, local, note }) => [local, at.replace(".000Z", "Z"), note ?? ""]),
  );
}
