import type { Command } from "commander";
import type { Cli, Session } from "./cli.ts";
import { isOverThere } from "./cron-over.ts";
import { CliError, exit } from "./exit.ts";
import { waitFor } from "./wait.ts";

interface ChosenFlags {
  readonly label?: string;
  readonly all?: boolean;
}

/** `skein cron pause|resume|fire|rm` */
export function addCronChange(parent: Command, cli: Cli): void {
  addPause(parent, cli, true);
  addPause(parent, cli, false);
  addFire(parent, cli);
  addRemove(parent, cli);
}

function addPause(parent: Command, cli: Cli, paused: boolean): void {
  const command = parent
    .command(paused ? "pause" : "resume")
    .description(
      paused
        ? "pause schedules: their instants are recorded meanwhile, and not made up"
        : "have paused schedules go on, from now",
    )
    .argument("[names...]")
    .option("--label <selector>", "all with these labels: team=docs")
    .option("--all", paused ? "the whole mesh, until `cron resume --all`" : "ends a pause of the whole mesh");
  cli.verb<ChosenFlags, [string[]]>(command, async (session, flags, names) => {
    if (flags.all === true) {
      if (names.length > 0 || flags.label !== undefined)
        throw new CliError(exit.usage, "--all is the whole mesh: it goes with neither names nor --label");
      const changed = await session.client.pauseAllSchedules(paused);
      session.output.result({
        value: { paused, changed },
        ids: [],
        table: (out) =>
          out.line(
            changed
              ? `all schedules ${paused ? "are paused" : "go on, but those that are paused by themselves"}`
              : `they were ${paused ? "" : "not "}paused together before`,
          ),
      });
      return exit.done;
    }
    const chosen = await chosenNames(session, flags, names);
    const changed = await session.client.pauseSchedules(chosen, paused);
    const ended = paused ? [] : await withNothingToCome(session, chosen);
    session.output.result({
      value: { names: chosen, changed, ...(paused ? {} : { ended }) },
      ids: chosen,
      table: (out) => {
        const does = paused ? "are paused now" : ended.length === 0 ? "go on" : "are paused no more";
        const others = changed === chosen.length ? "" : ", the others were so before";
        out.line(`${changed} of ${chosen.length} schedules ${does}${others}`);
        for (const name of ended) out.line(`schedule ${name} has ended: it has no instant to come`);
      },
    });
    return exit.done;
  });
}

/** Of what goes on, those whose last instant fell into the pause: nobody is to believe that they run again. */
async function withNothingToCome({ client }: Session, names: readonly string[]): Promise<readonly string[]> {
  const views = await client.schedulesNamed(names);
  // Their owner may not have come to them yet, so that the mesh still says that they are active.
  const now = Date.now();
  return views.filter((view) => isOverThere(view, now)).map(({ name }) => name);
}

/** Those that were named, or all that have the labels. */
async function chosenNames(session: Session, { label }: ChosenFlags, names: readonly string[]): Promise<string[]> {
  if (names.length > 0 && label !== undefined) throw new CliError(exit.usage, "say names or --label, not both");
  if (label === undefined) {
    if (names.length === 0) throw new CliError(exit.usage, "which schedules? Names, or --label");
    return [...new Set(names)];
  }
  const chosen: string[] = [];
  for (let next: string | undefined; ;) {
    const page = await session.client.schedules({ label, limit: 1_000, next });
    chosen.push(...page.schedules.map(({ name }) => name));
    ({ next } = page);
    if (next === undefined) break;
  }
  // As for a name that there is not: a label that is misspelt has done nothing.
  if (chosen.length === 0) throw new CliError(exit.notFound, `no schedule has the labels ${label}`);
  return chosen;
}

function addFire(parent: Command, cli: Cli): void {
  const command = parent
    .command("fire")
    .description("make a job of a schedule now, whatever the time")
    .argument("<name>")
    .option("--force", "also while a job of it is unfinished and overlap is skip")
    .option("--wait", "until the job has ended; exits with 1 if that failed");
  cli.verb<{ readonly force?: boolean; readonly wait?: boolean }, [string]>(command, async (session, flags, name) => {
    const { job } = await session.client.fireSchedule(name, { force: flags.force === true });
    if (flags.wait !== true) {
      session.output.result({ value: { name, job }, ids: [job], table: (out) => out.line(String(job)) });
      return exit.done;
    }
    session.output.note(`skein: job ${job} of schedule ${name}`);
    return waitFor(session, [job], undefined);
  });
}

function addRemove(parent: Command, cli: Cli): void {
  const command = parent
    .command("rm")
    .description("forget schedules and their history; jobs that they have made stay")
    .argument("[names...]")
    .option("--label <selector>", "all with these labels: team=docs");
  cli.verb<ChosenFlags, [string[]]>(command, async (session, flags, names) => {
    const chosen = await chosenNames(session, flags, names);
    await session.client.removeSchedules(chosen);
    session.output.result({
      value: { removed: chosen },
      ids: chosen,
      table: (out) => chosen.forEach((name) => out.line(`schedule ${name} is forgotten`)),
    });
    return exit.done;
  });
}
