import type { Command } from "commander";
import { formatInstant, parseInstant } from "../lib/calendar.ts";
import { formatInZone } from "../lib/calendar-zones.ts";
import { wallMs } from "../lib/clock.ts";
import { instantsOf, readTiming, type Timing } from "../lib/schedule-timing.ts";
import { addOutputFlags, type Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import type { Problem } from "../lib/outcome.ts";

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
    .description("say when an expression is due, without a mesh")
    .argument("<expression...>", 'cron with 5 to 7 fields, "@every 5m", "@at 2026-12-01T02:00:00Z", @daily')
    .option("--tz <zone>", "time zone of the expression (default UTC)")
    .option("--count <n>", `so many instants (1..${countMost}, default ${countUsual})`)
    .option("--from <instant>", "those after this one (default: now)")
    .option("--name <name>", "name of the schedule, which H goes by");
  addOutputFlags(command);
  cli.local<NextFlags, [string[]]>(command, (flags, global, words) => {
    const asked = read(words.join(" "), flags);
    const value = answer(asked);
    cli.output(global).result({
      value,
      ids: value.next.map(({ at }) => at),
      table: (out) => {
        out.fields([
          ["expression", value.expression],
          ["zone", flags.tz === undefined ? "UTC, as none is given" : value.tz],
        ]);
        out.line("");
        out.rows(
          [{ title: "IN THE ZONE" }, { title: "UTC" }],
          value.next.map(({ at, local }) => [local, at]),
        );
      },
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
function read(expression: string, flags: NextFlags): Asked {
  const problems: Problem[] = [];
  const count = flags.count === undefined ? countUsual : /^\d{1,6}$/.test(flags.count) ? Number(flags.count) : 0;
  if (count < 1 || count > countMost)
    problems.push({ path: "--count", message: `"${flags.count}" is not a whole number from 1 to ${countMost}` });
  const from = flags.from === undefined ? wallMs() : parseInstant(flags.from);
  if (from === undefined)
    problems.push({
      path: "--from",
      message: `"${flags.from}" is not an instant: write 2026-12-01T02:00:00Z, with its zone`,
    });
  const name = flags.name ?? "";
  const made = readTiming({ cron: expression, tz: flags.tz }, name, from);
  if ("problems" in made)
    problems.push(
      ...made.problems.map(({ path, message }) => ({ path: path === "cron" ? "EXPR" : `--${path}`, message })),
    );
  if (problems.length === 0 && "timing" in made) return { expression, timing: made.timing, name, from: from!, count };
  throw new CliError(
    exit.usage,
    problems.length === 1 ? "one thing is wrong" : `${problems.length} things are wrong`,
    problems,
  );
}

interface Answer {
  readonly expression: string;
  readonly tz: string;
  readonly next: readonly { readonly at: string; readonly local: string }[];
}

function answer({ expression, timing, name, from, count }: Asked): Answer {
  const instants = instantsOf(timing, name);
  const next: Answer["next"][number][] = [];
  for (let at = instants.after(from); at !== undefined && next.length < count; at = instants.after(at))
    next.push({ at: formatInstant(at), local: formatInZone(at, timing.tz) });
  return { expression, tz: timing.tz, next };
}
