import { createHash } from "node:crypto";
import type { ImportedSchedule, WrittenSchedule } from "./cron-import-types.ts";

/** A line of a crontab that was read, before it has its name. */
export interface UnnamedLine {
  readonly imported: ImportedSchedule;
  /** What its command, or a comment, calls it. */
  readonly name: string;
  /** A comment says so, and nothing is guessed. */
  readonly isSaid: boolean;
}

/** By which a line is known again under another name. */
const keys = ["cron", "every", "tz", "job.run", "job.user", "job.stdin"];

/**
 * Names lines by what they run, never by their place, so that a line which is removed renames no other one: of several that run the same program each
 * has a mark of its command behind its name, and of its time as well where commands are the same. Which lines share a program may change, so each comes with all
 * names under which the same line may have been set before.
 */
export function nameLines(lines: readonly UnnamedLine[]): ImportedSchedule[] {
  const names = new Map<UnnamedLine, string>();
  const others = new Map<UnnamedLine, readonly string[]>();
  const taken = new Map<string, number>();
  for (const [name, alike] of Map.groupBy(lines, (line) => line.name)) {
    const said = alike.filter(({ isSaid }) => isSaid);
    const plain = alike.length === 1 ? alike[0] : said.length === 1 ? said[0] : undefined;
    const commands = Map.groupBy(alike, ({ imported }) => commandOf(imported.spec));
    for (const line of alike) {
      const command = commandOf(line.imported.spec);
      const byCommand = `${name}-${markOf(command)}`;
      const byBoth = `${name}-${markOf(command + timeOf(line.imported.spec))}`;
      const wanted = line === plain ? name : commands.get(command)!.length === 1 ? byCommand : byBoth;
      names.set(line, unique(wanted, taken));
      others.set(line, [name, byCommand, byBoth]);
    }
  }
  return lines.map((line) => {
    const name = names.get(line)!;
    line.imported.spec.name = name;
    return { ...line.imported, former: { names: others.get(line)!, keys } };
  });
}

/** Lines that are the same in everything are counted: which of them goes makes no difference. `taken`: names, and how often each was wanted. */
function unique(wanted: string, taken: Map<string, number>): string {
  let name = wanted;
  let count = taken.get(wanted) ?? 0;
  while (taken.has(name)) name = `${wanted}-${++count + 1}`;
  taken.set(wanted, count);
  if (name !== wanted) taken.set(name, 0);
  return name;
}

/** What it runs; how is of no account, so that a variable above many lines renames none. */
function commandOf({ job = {} }: WrittenSchedule): string {
  return JSON.stringify([job["run"], job["user"], job["stdin"]]);
}

function timeOf({ cron, every, tz, job = {} }: WrittenSchedule): string {
  return JSON.stringify([cron, every, tz, job["env"]]);
}

function markOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
