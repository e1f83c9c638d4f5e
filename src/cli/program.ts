import { Command, CommanderError } from "commander";
import { addAudit } from "./audit.ts";
import { addBackup } from "./backup.ts";
import { addBench } from "./bench.ts";
import { addBundle } from "./bundle.ts";
import { addCancel } from "./cancel.ts";
import { addGlobalFlags, Cli, type CliActions } from "./cli.ts";
import { addCluster } from "./cluster.ts";
import { addCompletion } from "./completion.ts";
import { addCron } from "./cron.ts";
import { addDead } from "./dead.ts";
import type { Environment } from "./context.ts";
import { endingOf, exit } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { addFacts } from "./facts.ts";
import { addInventory } from "./inventory.ts";
import { addJobs } from "./jobs.ts";
import { addLater } from "./later.ts";
import { addLeave } from "./leave.ts";
import { addLogs } from "./logs.ts";
import { addNodes } from "./nodes.ts";
import { addPlan } from "./plan.ts";
import { addRestore } from "./restore.ts";
import { addResults } from "./results.ts";
import { addRun } from "./run.ts";
import { addSecret } from "./secret.ts";
import { addSubmit } from "./submit.ts";
import { addSubmitters } from "./submitters.ts";
import { addTemplate } from "./template.ts";
import { addToken } from "./token.ts";
import { addUp } from "./up.ts";
import { addVersion } from "./version.ts";
import { addWait } from "./wait.ts";

/** In the order of the help text. */
const verbs: readonly ((program: Command, cli: Cli) => void)[] = [
  addUp,
  addLeave,
  addRun,
  addSubmit,
  addPlan,
  addWait,
  addJobs,
  addTemplate,
  addCron,
  addDead,
  addResults,
  addInventory,
  addFacts,
  addLogs,
  addCancel,
  addNodes,
  addCluster,
  addToken,
  addSubmitters,
  addSecret,
  addBundle,
  addAudit,
  addBackup,
  addRestore,
  addBench,
  addCompletion,
  addVersion,
];

/** The program with all its verbs; parsing it runs one of them. */
export function buildProgram(cli: Cli): Command {
  const { io } = cli;
  const program = new Command("skein")
    .description("A job mesh in one binary: any node takes jobs, all nodes share the work.")
    .usage("VERB [flags]")
    // A flag before the verb is the program's, one after it the verb's: `up --token` is a join token, not the API token.
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => write(usageText(text)),
      getOutHelpWidth: () => io.stdout.columns || 100,
      getErrHelpWidth: () => io.stderr.columns || 100,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .version(`skein ${cli.actions.version}`, "-V, --version", "print the version");
  addGlobalFlags(program);
  for (const add of verbs) add(program, cli);
  addLater(program);
  return program;
}

/**
 * Runs one command line (`argv` without the program's name) and gives its exit code. Never throws: all that goes wrong is told
 * on standard error.
 */
export async function runCli(
  argv: readonly string[],
  env: Environment,
  io: CliIo,
  actions: CliActions,
): Promise<number> {
  const cli = new Cli(env, io, actions);
  let code: number;
  try {
    await buildProgram(cli).parseAsync(argv, { from: "user" });
    code = cli.exitCode;
  } catch (error) {
    code = error instanceof CommanderError ? usageExit(error) : tell(error, io);
  }
  await Promise.all([io.stdout.drained(), io.stderr.drained()]);
  return code;
}

function tell(error: unknown, io: CliIo): number {
  const { code, lines } = endingOf(error);
  for (const [at, line] of lines.entries()) io.stderr.write(at === 0 ? `skein: ${line}\n` : `${line}\n`);
  return code;
}

/** Help and version asked for are no mistakes; commander has said already what is wrong with the rest. */
function usageExit(error: CommanderError): number {
  return error.code === "commander.helpDisplayed" || error.code === "commander.version" ? exit.done : exit.usage;
}

/** commander's "error: unknown option '--x'\n(Did you mean --y?)" as one line of ours. */
function usageText(text: string): string {
  return `${text
    .trim()
    .replace(/^error: /, "skein: ")
    .replace(/\n\(Did you mean (.*)\?\)$/s, " (did you mean $1?)")}\n`;
}
