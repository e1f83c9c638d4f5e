/**
 * Scripts: readable text with what was recorded. A step is command lines, a line `----`, and what they said, up to an empty line; lines that
 * begin with `#` between steps are for people. A script is run in one {@link Stage} from its top to its end.
 */

export interface Command {
  readonly verb: string;
  /** Words without `=`. */
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

/** What a script is played on: answers one command with lines. */
export interface Stage {
  perform(command: Command): Promise<readonly string[]> | readonly string[];
  close?(): Promise<void> | void;
}

interface Step {
  readonly commands: readonly string[];
  readonly recorded: readonly string[];
}

type Part = { readonly comment: readonly string[] } | Step;

/** Throws on text that is not a script: a step without `----` would check nothing. */
export function parse(text: string): readonly Part[] {
  const parts: Part[] = [];
  for (const block of text.split(/\n[ \t]*\n+/)) {
    const lines = block.split("\n").filter((line) => line !== "");
    if (lines.length === 0) continue;
    if (lines.every((line) => line.startsWith("#"))) {
      parts.push({ comment: lines });
      continue;
    }
    const bar = lines.indexOf("----");
    if (bar < 1) throw new Error(`a step has commands and then a line '----': ${lines[0]}`);
    parts.push({ commands: lines.slice(0, bar), recorded: lines.slice(bar + 1) });
  }
  return parts;
}

/** Words of a line; `key=value` are options, in quotes a word may have spaces. */
export function parseCommand(line: string): Command {
  const found = line.match(/[^\s"=]+="[^"]*"|"[^"]*"|\S+/g) ?? [];
  const words: string[] = [];
  const options = new Map<string, string>();
  for (const word of found) {
    const [, key, value] = /^([a-z-]+)=(.*)$/.exec(word) ?? [];
    if (key === undefined) words.push(word.replaceAll('"', ""));
    else options.set(key, value!.replaceAll('"', ""));
  }
  const [verb, ...rest] = words;
  if (verb === undefined) throw new Error(`a command begins with a verb: ${line}`);
  return { verb, words: rest, options };
}

/** The text of the script with what this run said. */
export async function play(text: string, stage: Stage): Promise<string> {
  const out: string[] = [];
  for (const part of parse(text)) {
    if ("comment" in part) {
      out.push(part.comment.join("\n"));
      continue;
    }
    const said: string[] = [];
    for (const line of part.commands) said.push(...(await stage.perform(parseCommand(line))));
    if (said.length === 0) said.push("ok");
    out.push([...part.commands, "----", ...said].join("\n"));
  }
  return `${out.join("\n\n")}\n`;
}
