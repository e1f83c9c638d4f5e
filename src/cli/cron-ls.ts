import type { Command } from "commander";
import { wallMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Cli } from "./cli.ts";
import { printSchedules } from "./cron-views.ts";
import { exit } from "./exit.ts";
import { limitFlag, noteNext, oneOf } from "./jobs.ts";

interface ListFlags {
  readonly name?: string;
  readonly label?: string;
  readonly tag?: string;
  readonly state?: string;
  readonly failing?: boolean;
  readonly limit?: string;
  readonly next?: string;
}

/** `skein cron ls` */
export function addCronList(parent: Command, cli: Cli): void {
  const command = parent
    .command("ls")
    .description("list schedules: when they fire next, and how the last job fared")
    .option("--name <prefix>", "whose names begin so")
    .option("--label <selector>", "with these labels: team=docs")
    .option("--tag <word>", "with this tag")
    .option("--state <state>", "active, paused or ended")
    .option("--failing", "whose last job failed, or could not be made")
    .option("--limit <n>", `at most so many (1..${limits.listMax}, default ${limits.listDefault})`)
    .option("--next <mark>", "go on after an earlier list");
  cli.verb<ListFlags>(command, async (session, { name, label, tag, state, failing, limit, next }) => {
    const page = await session.client.schedules({
      name,
      label,
      tag,
      failing,
      next,
      limit: limitFlag(limit),
      state: state === undefined ? undefined : oneOf("--state", state, ["active", "paused", "ended"]),
    });
    session.output.result({
      value: page,
      ids: page.schedules.map((one) => one.name),
      table: (out) => printSchedules(out, page.schedules, wallMs()),
    });
    noteNext(session, page.next);
    return exit.done;
  });
}
