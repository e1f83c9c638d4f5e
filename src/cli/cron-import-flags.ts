import type { Problem } from "../lib/outcome.ts";
import { readTiming } from "../lib/schedule-timing.ts";
import { parseSelector } from "../lib/selector.ts";
import { guessImportFormat, type ImportFormat, importFormats } from "./cron-import-format.ts";
import { wrongWithSource } from "./cron-import-source.ts";
import { type ImportOptions, missedWays, overlapWays } from "./cron-import-types.ts";

/** As they were given. */
export interface ImportFlags {
  readonly format?: string;
  /** undefined: as it looks. */
  readonly system?: boolean;
  readonly prefix?: string;
  readonly source?: string;
  readonly tz?: string;
  readonly overlap?: string;
  readonly missed?: string;
  readonly on?: string;
  readonly replace?: boolean;
  readonly dryRun?: boolean;
}

/** What flags say of reading a file. A flag that is wrong is a problem and counts as not given, so that the file's own problems are told with it. */
export interface ReadFlags {
  /** undefined: it is wrong. */
  readonly format: ImportFormat | undefined;
  readonly options: ImportOptions & { readonly system?: boolean | undefined };
  readonly problems: readonly Problem[];
}

/** `text` and `file`: what is to be read, and its name, from which its format follows. */
export function readImportFlags(flags: ImportFlags, text: string, file: string): ReadFlags {
  const problems: Problem[] = [];
  const tell = (path: string, message: string): undefined => void problems.push({ path, message });
  const oneOf = <Value extends string>(flag: string, given: string | undefined, known: readonly Value[]) =>
    known.find((one) => one === given) ??
    (given === undefined ? undefined : tell(flag, `"${given}" is none of ${known.join(", ")}`));
  const unless = (flag: string, given: string | undefined, wrongWith: (text: string) => string | undefined) => {
    const wrong = given === undefined ? undefined : wrongWith(given);
    return wrong === undefined ? given : tell(flag, wrong);
  };
  const asked = oneOf("--format", flags.format, importFormats);
  const format = asked ?? (flags.format === undefined ? guessImportFormat(text, file) : undefined);
  if (flags.system !== undefined && format !== undefined && format !== "crontab")
    tell("--system", `is of crontabs, and ${file} is read as ${format}`);
  unless("--source", flags.source, wrongWithSource);
  const options = {
    file,
    system: flags.system,
    prefix: flags.prefix,
    overlap: oneOf("--overlap", flags.overlap, overlapWays),
    missed: oneOf("--missed", flags.missed, missedWays),
    tz: unless("--tz", flags.tz, wrongWithZone),
    on: unless("--on", flags.on, wrongWithLabels),
  };
  return { format, options, problems };
}

function wrongWithZone(tz: string): string | undefined {
  const read = readTiming({ every: "1m", tz }, "");
  return "problems" in read ? read.problems[0]!.message : undefined;
}

function wrongWithLabels(text: string): string | undefined {
  const terms = parseSelector(text);
  return typeof terms === "string" ? terms : undefined;
}
