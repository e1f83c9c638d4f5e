import type { Command } from "commander";
import { limits } from "../lib/limits.ts";
import type { AskedState } from "../state/types.ts";
import type { Cli } from "./cli.ts";
import { exit } from "./exit.ts";
import { limitFlag, noteNext, askedStates, oneOf } from "./jobs.ts";
import { parseTask } from "./selectors.ts";
import { printResults } from "./views.ts";

interface ResultsFlags {
  readonly job?: string;
  readonly state?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: string;
  readonly next?: string;
}

/** `skein results [TARGET...]` */
export function addResults(program: Command, cli: Cli): void {
  const command = program
    .command("results")
    .description("list what was run on targets, over all jobs, newest first")
    .argument("[targets...]", "web1  web[01-30]  10.0.0.1-50  (default: whichever there are)")
    .option("--job <id>", "only of this job: 5 or last")
    .option("--state <state>", askedStates.join(", "))
    .option("--since <time>", "of jobs submitted since then: 2h, 2026-12-01T02:00:00Z")
    .option("--until <time>", "of jobs submitted until then")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ResultsFlags, [string[]]>(command, async (session, flags, targets) => {
    const { job, state, since, until, limit, next } = flags;
    const page = await session.client.results({
      target: targets.length === 0 ? undefined : targets,
      job: job === undefined ? undefined : (await parseTask(job, session.findLast)).job,
      state: oneOf<AskedState>("--state", state, askedStates),
      since,
      until,
      limit: limitFlag(limit),
      next,
    });
    session.output.result({
      value: page,
      ids: page.results.map((one) => `${one.job}/${one.task}`),
      table: (out) => printResults(out, page.results),
    });
    noteNext(session, page.next);
    if (page.results.length === 0 && page.next === undefined)
      session.output.note(
        targets.length === 0
          ? "nothing of that was run"
          : `nothing of that was run on ${targets.join(",")}, as far as jobs are kept`,
      );
    return exit.done;
  });
}
