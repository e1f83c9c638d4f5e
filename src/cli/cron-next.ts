import type { Command } from "commander";
import type { Problem } from "../lib/outcome.ts";
import { readTiming } from "../lib/schedule-timing.ts";
import { addGlobalFlags, type Cli, Session } from "./cli.ts";
import { findTarget } from "./context.ts";
import {
  answer,
  type Asked,
  countMost,
  countUsual,
  type NextFlags,
  print,
  readBounds,
  wrong,
} from "./cron-next-answer.ts";
import { nextOf } from "./cron-next-name.ts";
import { exit } from "./exit.ts";

/** `skein cron next EXPR`: a calculator, which needs no mesh; `skein cron next NAME` asks for a schedule that is there. */
export function addCronNext(parent: Command, cli: Cli): void {
  const command = parent
    .command("next")
    .description("say in words what an expression means, and when it is due (needs no mesh); or the same of a schedule")
    .argument(
      "<expression...>",
      "in quotes: cron with 5 to 7 fields, @daily, @every 5m, @at 2026-12-01T02:00:00Z; or a schedule's name",
    )
    .option("--tz <zone>", "time zone of the expression, such as Europe/Berlin (default UTC)")
    .option("--count <n>", `so many instants (1..${countMost}, default ${countUsual})`)
    .option("--from <instant>", "those after this one (default now)")
    .option("--name <name>", "name of the schedule, from which H follows");
  addGlobalFlags(command);
  cli.local<NextFlags, [string[]]>(command, async (flags, global, words) => {
    const output = cli.output(global);
    if (isName(words)) return nextOf(new Session(cli, findTarget(global, cli.env), output), flags, words[0]!);
    const asked = readExpression(words, flags);
    const value = answer(asked);
    output.result({
      value,
      ids: value.next.map(({ at }) => at),
      table: (out) => print(out, value, asked, flags.tz === undefined),
    });
    return exit.done;
  });
}

/** No expression is one word without a sign of its own. */
function isName(words: readonly string[]): boolean {
  return words.length === 1 && /^[A-Za-z0-9][\w.-]*$/.test(words[0]!);
}

/** Throws CliError with all that is wrong. */
function readExpression(words: readonly string[], flags: NextFlags): Asked {
  const expression = words.join(" ");
  const problems: Problem[] = [];
  const { count, from } = readBounds(flags, problems);
  const name = flags.name ?? "";
  // One that is over is none for a schedule; here what is asked for may lie in the past.
  const made = readTiming({ cron: expression, tz: flags.tz }, name);
  if ("timing" in made && problems.length === 0) return { expression, timing: made.timing, name, from, count };
  if ("problems" in made) problems.push(...expressionProblems(words, made.problems));
  throw wrong(problems);
}

/** Told of what was typed: the expression has no flag. */
function expressionProblems(words: readonly string[], found: readonly Problem[]): Problem[] {
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
