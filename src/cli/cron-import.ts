import type { Command } from "commander";
import { stringify } from "yaml";
import type { Problem } from "../lib/outcome.ts";
import type { Cli, Session } from "./cli.ts";
import { checkImport } from "./cron-import-check.ts";
import { readImportFlags, type ImportFlags } from "./cron-import-flags.ts";
import { importFormats, readImport } from "./cron-import-format.ts";
import { keepNames, namesToLookFor } from "./cron-import-kept.ts";
import { setImported } from "./cron-import-set.ts";
import { sourceOf, withSource } from "./cron-import-source.ts";
import { type ImportRead, missedWays, overlapWays, type WrittenSchedule } from "./cron-import-types.ts";
import { CliError, exit } from "./exit.ts";
import { readFileText } from "./specs-file.ts";
import { renderTable } from "./table.ts";

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
    .option("--source <name>", "value of the label imported-from (default: the file's name; none of standard input)")
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
  const { format, options, problems: ofFlags } = readImportFlags(flags, text, file);
  if (format === undefined) refuseFlags(ofFlags, []);
  const read = readImport(text, format, options);
  const ofFile = inOrder([...read.problems, ...checkImport(read.schedules)], file);
  if (ofFile.length === 0 && read.schedules.length === 0)
    ofFile.push({ path: file, message: `holds no schedule (read as ${format})` });
  if (ofFlags.length > 0) refuseFlags(ofFlags, ofFile);
  if (ofFile.length > 0)
    refuseAll(
      ofFile,
      `${file} has ${ofFile.length === 1 ? "a problem" : `${ofFile.length} problems`} (read as ${format})`,
    );
  const source = flags.source ?? sourceOf(path, flags.prefix);
  const found = withSource(read, source, file);
  if (flags.dryRun === true) {
    tell(session, found);
    return dryRun(session, found);
  }
  const views = await session.client.schedulesNamed(namesToLookFor(found.schedules));
  const present = new Map(views.map((view) => [view.name, view]));
  const named = { ...found, schedules: keepNames(found.schedules, present) };
  tell(session, named);
  return setImported(session, named, { replace: flags.replace === true, present, source });
}

/** By their lines; what has none comes last. */
function inOrder(problems: readonly Problem[], file: string): Problem[] {
  const lineOf = ({ path }: Problem): number =>
    path.startsWith(`${file}:`) ? Number(/^\d+/.exec(path.slice(file.length + 1))?.[0] ?? Infinity) : Infinity;
  const lines = new Map(problems.map((problem) => [problem, lineOf(problem)]));
  return problems.toSorted((a, b) => {
    const [first, second] = [lines.get(a)!, lines.get(b)!];
    return first === second ? 0 : first - second;
  });
}

/** So many of a kind are shown. */
const shown = 100;

function refuseFlags(ofFlags: readonly Problem[], ofFile: readonly Problem[]): never {
  const flags = ofFlags.length === 1 ? "a flag is" : `${ofFlags.length} flags are`;
  refuseAll([...ofFlags, ...ofFile], `${flags} wrong${ofFile.length > 0 ? ", and the file as well" : ""}`);
}

function refuseAll(problems: readonly Problem[], what: string): never {
  const more = problems.length - shown;
  const list = more <= 0 ? problems : [...problems.slice(0, shown), { path: "", message: `and ${more} more` }];
  throw new CliError(exit.usage, `nothing was set: ${what}`, list);
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
