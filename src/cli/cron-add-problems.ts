import type { Option } from "commander";
import { ApiError } from "../client/errors.ts";
import type { Problem } from "../lib/outcome.ts";
import { CliError, exit } from "./exit.ts";

/** What is wrong with a `skein cron add`, by its flags. */

/** Of these flags those that were given. */
export function givenOf(options: readonly Option[], flags: object): readonly string[] {
  const values = flags as Readonly<Record<string, unknown>>;
  return options.flatMap((option) => (values[option.attributeName()] === undefined ? [] : [option.long ?? ""]));
}

/** What says nothing beside a file. */
export function idleBesideFile(
  given: readonly string[],
  name: string | undefined,
  words: readonly string[],
): Problem[] {
  const all = [...(name === undefined ? [] : ["name"]), ...given, ...(words.length === 0 ? [] : ["words"])];
  return all.map((path) => ({ path, message: "goes not with -f: the file says all of its schedules" }));
}

/** What says nothing beside a template. */
export function idleBesideTemplate(given: readonly string[]): Problem[] {
  return given.map((path) => ({ path, message: "goes not with --template, which says what its jobs are" }));
}

/** Whoever typed it reads all of it. */
export function wrong(problems: readonly Problem[]): CliError {
  const message = problems.length === 1 ? "one thing is wrong" : `${problems.length} things are wrong`;
  return new CliError(exit.usage, message, problems);
}

/** Lists and maps of which each flag gives one. */
const repeated: ReadonlyMap<string, string> = new Map([
  ["calendars", "calendar"],
  ["tags", "tag"],
  ["labels", "label"],
  ["params", "param"],
]);

/** Paths of the request are flags to whoever typed some. */
export function asFlags(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.problems.length === 0) return error;
  const problems = error.problems.map(({ path, message }) => {
    const written = path.replace(/^schedules\[0\]\.?/, "");
    const [, key, of] = /^([a-z_]+)(?:\[\d+\]|\.(.+))?$/.exec(written) ?? [];
    if (key === undefined || key === "name" || key === "job") return { path: written, message };
    const flag = `--${repeated.get(key) ?? key.replaceAll("_", "-")}`;
    return { path: of === undefined ? flag : `${flag} ${of}`, message };
  });
  if (error.status === 409) return new CliError(exit.refused, error.message, problems);
  return wrong(problems);
}
