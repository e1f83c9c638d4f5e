import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Problem } from "../lib/outcome.ts";
import { problemsOf } from "../state/commands/problems.ts";
import { type ReadSchedule, scheduleInput } from "../state/commands/schedule-schema.ts";
import { asFields, type FoundDocument, type PathInFile, readDocuments } from "./cron-import-documents.ts";
import { CliError, exit } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { readFileText } from "./specs-file.ts";

/** A schedule of a file: as it was written, as it was understood, and where. */
export interface DeclaredSchedule {
  readonly written: object;
  readonly read: ReadSchedule;
  /** "FILE:LINE: the.path" */
  where(path: PathInFile): string;
}

/** All schedules of files and directories (`-`: standard input), and all that is wrong with any of them. */
export async function readDeclared(
  paths: readonly string[],
  io: CliIo,
): Promise<{ readonly schedules: readonly DeclaredSchedule[]; readonly problems: readonly Problem[] }> {
  const schedules: DeclaredSchedule[] = [];
  const problems: Problem[] = [];
  for (const path of paths)
    for (const file of await filesOf(path, problems))
      readOne(await readFileText(file, io), file === "-" ? "stdin" : file, schedules, problems);
  tellTwice(schedules, problems);
  return { schedules, problems };
}

/** Of a directory and those below it: what is YAML or JSON by its name, in the order of the names. */
async function filesOf(path: string, problems: Problem[]): Promise<readonly string[]> {
  const isDirectory = path !== "-" && (await stat(path).then((one) => one.isDirectory(), noSuchFile));
  if (!isDirectory) return [path];
  const names = await readdir(path, { recursive: true }).catch((error: unknown) => {
    throw new CliError(exit.usage, `cannot read ${path}: ${String(error)}`);
  });
  const files = names.filter((name) => /\.(?:ya?ml|json)$/i.test(name) && !/(?:^|\/)\./.test(name)).toSorted();
  if (files.length === 0) problems.push({ path, message: "holds no .yaml, .yml or .json file" });
  return files.map((name) => join(path, name));
}

/** Whoever reads it says so. */
const noSuchFile = (): boolean => false;

function readOne(text: string, file: string, schedules: DeclaredSchedule[], problems: Problem[]): void {
  const found = readDocuments(text, file);
  problems.push(...found.problems);
  if (found.documents.length === 0 && found.problems.length === 0)
    problems.push({ path: file, message: "holds no schedule" });
  for (const document of found.documents) {
    for (const { value, base } of entriesOf(document, problems)) {
      const where = (path: PathInFile): string => document.where([...base, ...path]);
      const read = scheduleInput.safeParse(value);
      if (read.success) schedules.push({ written: value as object, read: read.data, where });
      else problems.push(...wrongWith(value, read.error, where));
    }
  }
}

interface Entry {
  readonly value: unknown;
  readonly base: PathInFile;
}

/** A list of schedules, {"schedules": […]}, or one schedule. */
function entriesOf(document: FoundDocument, problems: Problem[]): readonly Entry[] {
  const { value } = document;
  if (Array.isArray(value)) return value.map((one: unknown, at) => ({ value: one, base: [at] }));
  const fields = asFields(value);
  if (fields === undefined || !("schedules" in fields)) return [{ value, base: [] }];
  for (const key of Object.keys(fields))
    if (key !== "schedules") problems.push({ path: document.where([key]), message: "no such key beside schedules" });
  const { schedules } = fields;
  if (Array.isArray(schedules)) return schedules.map((one: unknown, at) => ({ value: one, base: ["schedules", at] }));
  problems.push({ path: document.where(["schedules"]), message: "must be a list of schedules" });
  return [];
}

type ReadError = NonNullable<ReturnType<typeof scheduleInput.safeParse>["error"]>;

function wrongWith(value: unknown, { issues }: ReadError, where: DeclaredSchedule["where"]): readonly Problem[] {
  const fields = asFields(value);
  if (fields === undefined)
    return [{ path: where([]), message: 'is no schedule: write names and values, for example "every: 5m"' }];
  if ("apiVersion" in fields && "kind" in fields) {
    const message = "is an object of Kubernetes: 'skein cron import FILE' makes schedules of CronJobs";
    return [{ path: where([]), message }];
  }
  return issues.flatMap((issue) => {
    const path = issue.path.filter((key) => typeof key !== "symbol");
    // Each key that there is not stands on a line of its own.
    const isUnknown = issue.code === "unrecognized_keys";
    if (isUnknown) return issue.keys.map((key) => ({ path: where([...path, key]), message: "no such key" }));
    return problemsOf({ issues: [issue] }).map(({ message }) => ({ path: where(path), message }));
  });
}

function tellTwice(schedules: readonly DeclaredSchedule[], problems: Problem[]): void {
  const first = new Map<string, DeclaredSchedule>();
  for (const one of schedules) {
    const { name } = one.read;
    const before = first.get(name);
    if (before === undefined) first.set(name, one);
    else problems.push({ path: one.where(["name"]), message: `${name} is there already: ${before.where(["name"])}` });
  }
}
