import type { Command } from "commander";
import { Option } from "commander";
import { foldNames } from "../lib/node-set-fold.ts";
import { isTerminal } from "../lib/states.ts";
import type { Cli, Session } from "./cli.ts";
import { CliError, exit } from "./exit.ts";
import { Folding } from "./fold.ts";
import { nameOf, outcomeOf, printFolded } from "./fold-print.ts";
import { parseTask } from "./selectors.ts";
import { streamOutput } from "./stream.ts";

interface LogsFlags {
  readonly follow?: boolean;
  readonly stream?: "stdout" | "stderr";
  readonly tail?: string;
  readonly attempt?: string;
  readonly fold?: boolean;
  readonly diff?: boolean;
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
    .option("-b, --fold", "of a job: equal output once, the odd ones first; of those that have ended")
    .option("--diff", "the same, with what differs from the output of the most")
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
    if (flags.fold === true || flags.diff === true) {
      if (task !== undefined || flags.follow === true || flags.tail !== undefined || flags.stream !== undefined)
        throw new CliError(exit.usage, "--fold and --diff are of a whole job, and of all of its output");
      return foldedLogs(session, job, flags.diff === true);
    }
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

async function foldedLogs(session: Session, job: number, diff: boolean): Promise<number> {
  const folding = new Folding();
  const left: string[] = [];
  await session.interruptible(async (signal) => {
    for await (const task of session.client.everyTask(job)) {
      signal.throwIfAborted();
      if (isTerminal(task.state)) folding.add(await outcomeOf(session.client, task, signal));
      else left.push(nameOf(task));
    }
  });
  await session.interruptible((signal) => printFolded(session.output, folding, { job, diff, signal }));
  if (left.length > 0) session.output.note(`skein: not ended yet: ${foldNames(left)}`, "yellow");
  return exit.done;
}
