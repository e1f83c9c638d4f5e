/** The lines of a crontab, as cron(8) takes them apart. Pure text: what they come to is cron-import-crontab.ts. */

/** A line that sets a variable for those below it. */
export interface Setting {
  readonly name: string;
  readonly value: string;
}

/** A line that runs something. */
export interface Entry {
  /** Five fields with one space between, or a word that begins with @. */
  readonly time: string;
  /** All that stands behind the time, a user's name included. */
  readonly rest: string;
}

/** NAME=value, where either may be in quotes; undefined: the line is none; text: what is wrong with it. */
export function readSetting(line: string): Setting | string | undefined {
  const match = /^(?:"([^"=]*)"|'([^'=]*)'|([^\s"'=][^\s=]*))\s*=\s*(.*)$/s.exec(line);
  if (match === null) return undefined;
  const name = (match[1] ?? match[2] ?? match[3])!;
  const raw = match[4]!;
  if (!/^[A-Za-z_]\w*$/.test(name)) return `"${name}" is not a variable's name: letters, digits and _ only`;
  const quote = raw[0];
  if (quote !== '"' && quote !== "'") return { name, value: raw.trimEnd() };
  const end = raw.indexOf(quote, 1);
  if (end === -1) return `${name}: the quote ${quote} has no end`;
  if (raw.slice(end + 1).trim() !== "")
    return `${name}: text stands behind the quoted value, and cron takes no such line`;
  return { name, value: raw.slice(1, end) };
}

/** Time and the rest of a line; text: what is wrong with it. */
export function readEntry(line: string): Entry | string {
  // A minus first keeps the command out of the log of the system (cronie): there is none here.
  const words = line.replace(/^-\s*/, "");
  const special = /^(@\S*)\s*(.*)$/s.exec(words);
  if (special !== null) {
    const [, time, rest] = special;
    return rest === "" ? `${time}: the command is missing` : { time: time!.toLowerCase(), rest: rest! };
  }
  const match = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)(?:\s+(.*))?$/s.exec(words);
  if (match === null) {
    const count = words.trim().split(/\s+/).length;
    return `has ${count} word${count === 1 ? "" : "s"}: five fields (minute, hour, day, month, weekday) and a command are needed, or NAME=value`;
  }
  const rest = match[6] ?? "";
  if (rest.trim() === "") return "the command is missing behind the five fields";
  return { time: match.slice(1, 6).join(" "), rest };
}

/** The user's name of a line of the system form, and the command; undefined: there are not both. */
export function splitUser(rest: string): { readonly user: string; readonly command: string } | undefined {
  const match = /^(\S+)\s+(\S.*)$/s.exec(rest);
  return match === null ? undefined : { user: match[1]!, command: match[2]! };
}

/** Options that may stand before a command: -n (mail only what fails), -q (no log), -s (one at a time; OpenBSD). */
export function splitOptions(text: string): { readonly options: string; readonly command: string } {
  const match = /^((?:-[nqs]+[ \t]+)+)(.*)$/s.exec(text);
  if (match === null) return { options: "", command: text };
  return { options: match[1]!.replaceAll(/[^nqs]/g, ""), command: match[2]! };
}

/**
 * A command up to the first `%` that has no backslash, and what stands behind it as standard input, in which further ones end lines.
 * A backslash before a % is left out, and is itself where anything else follows; one before a backslash makes that one plain.
 */
export function splitInput(text: string): { readonly command: string; readonly stdin: string | undefined } {
  let command = "";
  let at = 0;
  for (; at < text.length && text[at] !== "%"; at++) {
    if (text[at] !== "\\") command += text[at];
    else {
      const next = text[at + 1] ?? "";
      command += next === "%" ? "%" : `\\${next}`;
      at += 1;
    }
  }
  if (at >= text.length) return { command, stdin: undefined };
  const lines = text.slice(at + 1).replaceAll(/\\?%/g, (mark) => (mark === "%" ? "\n" : "%"));
  return { command, stdin: lines === "" || lines.endsWith("\n") ? lines : `${lines}\n` };
}
