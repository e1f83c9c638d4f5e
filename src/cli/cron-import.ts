import type { Command } from "commander";
import { stringify } from "yaml";
import type { Problem } from "../lib/outcome.ts";
import { parseSelector } from "../lib/selector.ts";
import type { Cli, Session } from "./cli.ts";
import { checkImport } from "./cron-import-check.ts";
import { guessImportFormat, type ImportFormat, importFormats, readImport } from "./cron-import-format.ts";
import { setImported } from "./cron-import-set.ts";
import {
  type ImportRead,
  type Missed,
  missedWays,
  type Overlap,
  overlapWays,
  type WrittenSchedule,
} from "./cron-import-types.ts";
import { CliError, exit } from "./exit.ts";
import { oneOf } from "./jobs.ts";
import { readFileText } from "./specs-file.ts";
import { renderTable } from "./table.ts";

interface ImportFlags {
  readonly format?: string;
  /** undefined: as it looks. */
  readonly system?: boolean;
  readonly prefix?: string;
  readonly tz?: string;
  readonly overlap?: string;
  readonly missed?: string;
  readonly on?: string;
  readonly replace?: boolean;
  readonly dryRun?: boolean;
}

/** `skein cron import` */
export function addCronImport(parent: Command, cli: Cli): void {
  const command = parent
    .command("import")
    .description("set schedules from a crontab, CronJobs of Kubernetes, or jobs of Dkron")
    .argument("<file>", "the file, or - for standard input")
    .option("--format <format>", `${importFormats.join(", ")} (default: as it looks)`)
    .option("--system", "of a crontab: the sixth field is the user, as in /etc/crontab (default: as it looks)")
    .option("--no-system", "of a crontab: there is no field of a user")
    .option("--prefix <text>", "put before every name")
    .option("--tz <zone>", "the zone of schedules that name none (default UTC)")
    .option("--overlap <way>", `${overlapWays.join(", ")} (default: as it was)`)
    .option("--missed <way>", `${missedWays.join(", ")} (default: as it was)`)
    .option("--on <labels>", "which nodes may run the jobs")
    .option("--replace", "change schedules of these names that are there already")
    .option("--dry-run", "print the schedules as YAML, and set nothing");
  cli.verb<ImportFlags, [string]>(command, importFile);
}

async function importFile(session: Session, flags: ImportFlags, path: string): Promise<number> {
  const file = path === "-" ? "stdin" : path;
  const text = await readFileText(path, session.io);
  const asked = oneOf<ImportFormat>("--format", flags.format, importFormats);
  const format = asked ?? guessImportFormat(text, file);
  if (flags.system !== undefined && format !== "crontab")
    throw new CliError(exit.usage, `--system is of crontabs, and ${file} is read as ${format}`);
  const terms = parseSelector(flags.on ?? "");
  if (typeof terms === "string") throw new CliError(exit.usage, `--on: ${terms}`);
  const read = readImport(text, format, {
    file,
    system: flags.system,
    prefix: flags.prefix,
    tz: flags.tz,
    overlap: oneOf<Overlap>("--overlap", flags.overlap, overlapWays),
    missed: oneOf<Missed>("--missed", flags.missed, missedWays),
    on: flags.on,
  });
  const problems = [...read.problems, ...checkImport(read.schedules)];
  if (problems.length === 0 && read.schedules.length === 0)
    problems.push({ path: file, message: `holds no schedule (read as ${format})` });
  if (problems.length > 0) refuseAll(problems, file, format);
  tell(session, read);
  return flags.dryRun === true ? dryRun(session, read) : setImported(session, read, flags.replace === true);
}

/** So many of a kind are shown. */
const shown = 100;

function refuseAll(problems: readonly Problem[], file: string, format: ImportFormat): never {
  const more = problems.length - shown;
  const list = more <= 0 ? problems : [...problems.slice(0, shown), { path: "", message: `and ${more} more` }];
  const what = problems.length === 1 ? "a problem" : `${problems.length} problems`;
  throw new CliError(exit.usage, `nothing was set: ${file} has ${what} (read as ${format})`, list);
}

/** What is made, and what of it is otherwise than it was, for people. */
function tell({ output, io }: Session, { schedules, notes }: ImportRead): void {
  if (output.format === "quiet") return;
  const rows = schedules
    .slice(0, shown)
    .map(({ spec, where }) => [spec.name, whenText(spec), spec.tz ?? "UTC", runText(spec), where]);
  const columns = [
    { title: "NAME" },
    { title: "WHEN" },
    { title: "ZONE" },
    { title: "RUNS", shrinks: true },
    { title: "FROM" },
  ] as const;
  for (const line of renderTable(columns, rows, io.stderr.columns, output.errorColours)) output.note(line);
  if (schedules.length > shown) output.note(`and ${schedules.length - shown} more`);
  if (notes.length > 0) output.note("\nwhat is otherwise than it was:");
  const said = grouped(notes);
  for (const [message, places] of said.slice(0, shown)) output.note(`  ${places}: ${message}`);
  if (said.length > shown) output.note(`  and ${said.length - shown} more`);
  output.note("");
}

function whenText({ cron, every, at }: WrittenSchedule): string {
  return cron ?? (every === undefined ? `@at ${at}` : `@every ${every}`);
}

function runText({ job = {} }: WrittenSchedule): string {
  const http = job["http"] as { readonly method: string; readonly url: string } | undefined;
  const run = job["run"] as string | readonly string[] | undefined;
  return http === undefined ? (typeof run === "string" ? run : (run ?? []).join(" ")) : `${http.method} ${http.url}`;
}

/** Notes that say the same become one, with the first of their places. */
function grouped(notes: readonly Problem[]): readonly (readonly [message: string, places: string])[] {
  const byMessage = Map.groupBy(notes, ({ message }) => message);
  return Array.from(byMessage, ([message, alike]) => {
    const places = alike.slice(0, 3).map(({ path }) => path);
    return [message, `${places.join(", ")}${alike.length > 3 ? ` and ${alike.length - 3} more` : ""}`] as const;
  });
}

function dryRun({ output }: Session, { schedules, notes }: ImportRead): number {
  const value = { schedules: schedules.map(({ spec }) => spec) };
  output.result({
    value: output.format === "json" ? { ...value, notes } : value,
    ids: value.schedules.map(({ name }) => name),
    table: (out) => out.text(stringify(value)),
  });
  return exit.done;
}
