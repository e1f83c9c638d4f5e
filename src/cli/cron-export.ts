import type { Command } from "commander";
import { stringify } from "yaml";
import { limits } from "../lib/limits.ts";
import type { ScheduleView } from "../state/answers.ts";
import { scheduleFields, scheduleName } from "../state/commands/schedule-schema.ts";
import type { Cli, Session } from "./cli.ts";
import { toCrontab, type Written } from "./cron-export-crontab.ts";
import { CliError, exit } from "./exit.ts";
import { oneOf } from "./jobs.ts";

const exportFormats = ["yaml", "json", "crontab"] as const;
type ExportFormat = (typeof exportFormats)[number];

interface ExportFlags {
  readonly format?: string;
  readonly system?: boolean;
}

/** `skein cron export` */
export function addCronExport(parent: Command, cli: Cli): void {
  const command = parent
    .command("export")
    .description("print schedules as `skein cron apply -f` reads them, or as a crontab")
    .argument("[names...]", "which ones (default: all)")
    .option("--format <format>", `${exportFormats.join(", ")} (default yaml)`)
    .option("--system", "of a crontab: with a field for the user, as in /etc/crontab");
  cli.verb<ExportFlags, [string[]]>(command, exportSchedules);
}

async function exportSchedules(session: Session, flags: ExportFlags, names: readonly string[]): Promise<number> {
  const { output } = session;
  const form = output.format === "json" ? "json" : "yaml";
  const format = oneOf<ExportFormat>("--format", flags.format, exportFormats) ?? form;
  if (flags.system === true && format !== "crontab")
    throw new CliError(exit.usage, "--system is of a crontab: --format crontab");
  const schedules = (names.length > 0 ? await named(session, names) : await all(session)).map(written);
  if (output.format === "quiet") for (const { name } of schedules) output.line(name as string);
  else if (format === "crontab") printCrontab(session, schedules, flags.system === true);
  else if (format === "json") output.line(JSON.stringify({ schedules }, undefined, 2));
  else output.text(stringify({ schedules }));
  return exit.done;
}

function printCrontab({ output }: Session, schedules: readonly Written[], system: boolean): void {
  const { text, problems, notes } = toCrontab(schedules, { system });
  if (problems.length > 0) throw new CliError(exit.usage, "not all of these can be lines of a crontab", problems);
  for (const { path, message } of notes) output.note(path === "" ? message : `${path}: ${message}`);
  output.text(text);
}

function all({ client }: Session): Promise<readonly ScheduleView[]> {
  return Array.fromAsync(client.everySchedule());
}

/** In the order in which they were asked for; what is no schedule's name may be an id. */
async function named({ client }: Session, names: readonly string[]): Promise<readonly ScheduleView[]> {
  const found = await client.schedulesNamed(names.filter((name) => scheduleName.safeParse(name).success));
  const views = new Map<string, ScheduleView>(found.map((view) => [view.name, view]));
  for (const name of names) if (!views.has(name)) views.set(name, await client.schedule(name));
  return [...new Set(names)].map((name) => views.get(name)!);
}

/** What is so where nothing is said; the zone is always said. */
const usual: Readonly<Record<string, unknown>> = {
  missed: "latest",
  catch_up: "1h",
  missed_most: 100,
  overlap: "skip",
  paused: false,
  history: limits.firesKept,
};

/** What somebody has said of it, in the order of the contract, and nothing of how it fares. */
function written(view: ScheduleView): Written {
  const fields: Readonly<Record<string, unknown>> = { ...view };
  const keys = Object.keys(scheduleFields.shape).filter(
    (key) => fields[key] !== undefined && fields[key] !== usual[key],
  );
  return Object.fromEntries(keys.map((key) => [key, fields[key]]));
}
