import type { Command } from "commander";
import { Option } from "commander";
import type { Cli } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { parseTask } from "./selectors.ts";
import { streamOutput } from "./stream.ts";

interface LogsFlags {
  readonly follow?: boolean;
  readonly stream?: "stdout" | "stderr";
  readonly tail?: string;
  readonly attempt?: string;
}

/** `skein logs ID[/TASK] [-f]` */
export function addLogs(program: Command, cli: Cli): void {
  const command = program
    .command("logs")
    .description("print the output of a job or of one task")
    .argument("<id>", "5, last, or one task: 5/0")
    .option("-f, --follow", "go on until the tasks have ended")
    .addOption(new Option("--stream <stream>", "only this one").choices(["stdout", "stderr"]))
    .option("--tail <lines>", "only the last lines of each task")
    .option("--attempt <n>", "of one task: that attempt, and not the present one");
  cli.verb<LogsFlags, [string]>(command, async (session, flags, text) => {
    if (flags.tail !== undefined && !/^\d{1,9}$/.test(flags.tail)) {
      throw new CliError(exit.usage, `--tail "${flags.tail}" is not a number of lines`);
    }
    if (session.output.forMachines) {
      throw new CliError(
        exit.usage,
        "logs prints output as it is; for results as json use `skein jobs tasks ID -o json`",
      );
    }
    const { job, task } = await parseTask(text, session.findLast);
    if (flags.attempt !== undefined && (task === undefined || !/^[1-9]\d{0,8}$/.test(flags.attempt)))
      throw new CliError(exit.usage, "--attempt is a number, and of one task: `skein logs 5/0 --attempt 1`");
    const complete = await session.interruptible(async (signal) =>
      streamOutput(session, job, {
        task,
        attempt: flags.attempt === undefined ? undefined : Number(flags.attempt),
        follow: flags.follow === true,
        stream: flags.stream,
        tail: flags.tail === undefined ? undefined : Number(flags.tail),
        signal,
      }),
    );
    // What is missing lies on a node that does not answer.
    return complete ? exit.done : exit.unreachable;
  });
}
