import { type InventoryRead, InventoryBuilder } from "./inventory.ts";
import { expandHosts } from "./inventory-hosts.ts";
import { pythonValue } from "./python-literal.ts";

/**
 * Ansible's INI inventories, which are no plain INI: hosts with `name=value` behind them as a shell would read them, sections `[group]`, `[group:vars]` and
 * `[group:children]`, ranges of hosts, ports behind names. Read as ansible-core's own plugin reads them; but every mistake is told, and what
 * names nobody is one. Rests after some lines.
 */
export function* readIni(text: string): Generator<undefined, InventoryRead, undefined> {
  const builder = new InventoryBuilder();
  /** Named by sections `:vars` or as children: somewhere else each has to be a section of its own. */
  const awaited = new Map<string, { readonly path: string; readonly message: string }>();
  const sections = new Set<string>(["all", "ungrouped"]);
  let group = "ungrouped";
  let kind = "hosts";
  let number = 0;
  for (const raw of text.split(/\r\n|\r|\n/)) {
    number += 1;
    if (number % linesAtOnce === 0) yield;
    if (builder.isFull) break;
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const path = `line ${number}`;
    if (line.startsWith("[") && !/^\[[^\]]*\]:\d+/.test(line)) {
      const section = /^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$/.exec(line);
      if (section !== null) {
        const [, name = "", word = "hosts"] = section;
        // What stands in a section that cannot be is looked at all the same.
        [group, kind] = [name, ["hosts", "children", "vars"].includes(word) ? word : "unknown"];
        if (kind === "unknown")
          builder.refuse(
            path,
            `there are sections [${name}], [${name}:children] and [${name}:vars], and none of the kind "${word}"`,
          );
        else if (!builder.group(name, path)) kind = "unknown";
        else if (kind !== "vars") sections.add(name);
        else if (!awaited.has(name))
          awaited.set(name, {
            path,
            message: `there is no group ${name} that these variables could be of: begin one with [${name}]`,
          });
        continue;
      }
      if (/\]\s*(?:#.*)?$/.test(line) && !line.slice(1).includes("[")) {
        builder.refuse(path, `"${line}" is no section: [group], [group:children] or [group:vars], without spaces`);
        kind = "unknown";
        continue;
      }
    }
    if (kind === "hosts") readHost(builder, line, group, path);
    else if (kind === "vars") {
      const at = line.indexOf("=");
      if (at < 1) builder.refuse(path, `expected name=value in a section of variables, and found "${line}"`);
      else builder.setGroup(group, { [line.slice(0, at).trim()]: pythonValue(line.slice(at + 1).trim()) });
    } else if (kind === "children") {
      const name = /^([^:\]\s]+)\s*(?:#.*)?$/.exec(line)?.[1];
      if (name === undefined) builder.refuse(path, `expected the name of a group, and found "${line}"`);
      else if (builder.group(name, path)) {
        builder.child(group, name, path);
        if (!awaited.has(name))
          awaited.set(name, { path, message: `there is no group ${name}: begin one with [${name}]` });
      }
    }
  }
  for (const [name, { path, message }] of awaited) if (!sections.has(name)) builder.refuse(path, message);
  return builder.close();
}

const linesAtOnce = 500;

function readHost(builder: InventoryBuilder, line: string, group: string, path: string): void {
  const words = shellWords(line);
  if (typeof words === "string") return builder.refuse(path, words);
  const [pattern = "", ...rest] = words;
  const hosts = expandHosts(pattern);
  if (typeof hosts === "string") return builder.refuse(path, hosts);
  const vars: Record<string, unknown> = hosts.port === undefined ? {} : { ansible_port: hosts.port };
  for (const word of rest) {
    const at = word.indexOf("=");
    if (at < 1) builder.refuse(path, `expected name=value behind the host, and found "${word}"`);
    else vars[word.slice(0, at)] = pythonValue(word.slice(at + 1));
  }
  for (const name of hosts.names) {
    builder.host(name, group, path);
    builder.setHost(name, vars);
    if (builder.isFull) return;
  }
}

/** As a POSIX shell would part them: Python's shlex with comments. Or what is wrong. */
export function shellWords(line: string): string[] | string {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (character === "#") break;
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "'" || character === '"') {
      const end = endOfQuote(line, at);
      if (end === undefined) return `a quotation begins at ${line.slice(at, at + 20)} and does not end`;
      const inside = line.slice(at + 1, end);
      word = (word ?? "") + (character === '"' ? inside.replaceAll(/\\(["\\])/g, "$1") : inside);
      at = end;
    } else if (character === "\\") {
      at += 1;
      if (at === line.length) return `nothing follows the \\ at the end of the line`;
      word = (word ?? "") + line[at]!;
    } else word = (word ?? "") + character;
  }
  if (word !== undefined) words.push(word);
  return words;
}

function endOfQuote(line: string, from: number): number | undefined {
  const quote = line[from]!;
  for (let at = from + 1; at < line.length; at++) {
    if (line[at] === quote) return at;
    if (quote === '"' && line[at] === "\\") at += 1;
  }
  return undefined;
}
