/** Words before a command that is the one which matters: their options that take a word with them, and how many words of their own follow. */
const wrappers: Readonly<Record<string, { readonly options?: string; readonly words?: number }>> = {
  sudo: { options: "-u -g" },
  doas: { options: "-u" },
  env: { options: "-u" },
  nice: { options: "-n" },
  ionice: { options: "-c -n" },
  chrt: { words: 1 },
  chronic: {},
  cronic: {},
  exec: {},
  command: {},
  nohup: {},
  setsid: {},
  time: {},
  timeout: { options: "-k -s", words: 1 },
  flock: { options: "-w -E", words: 1 },
  lockf: { options: "-t", words: 1 },
  setlock: { words: 1 },
};

/** Commands that only decide whether, or where, the next one runs. */
const preliminary = new Set([
  "cd",
  "exit",
  "test",
  "[",
  "[[",
  "if",
  "then",
  "while",
  "sleep",
  ":",
  "true",
  "export",
  ".",
  "source",
  "set",
  "umask",
  "ulimit",
]);

/** What runs a file that is named after it. */
const interpreters =
  /^(?:(?:ba|da|k|z|a)?sh|python[\d.]*|perl[\d.]*|php[\d.]*|ruby[\d.]*|node|bun|deno|java|run-parts)$/;

/**
 * What a command is called, from its own words: `cd / && nice /usr/bin/backup --all` is backup, `php /srv/cron.php` cron.php. The same command always gives
 * the same name.
 */
export function nameOfCommand(command: string): string {
  for (const words of segmentsOf(command)) {
    const name = nameOfWords(words);
    if (name !== undefined) return name;
  }
  return "job";
}

/** The words of each command of a line, without their quotes. */
function segmentsOf(command: string): readonly (readonly string[])[] {
  const segments: string[][] = [[]];
  for (const [piece] of command.matchAll(/(?:"[^"]*"|'[^']*'|[^\s;|&(){}"']|&(?!&))+|&&|\|\||["';|(){}\n]/g)) {
    if (/^(?:&&|\|\||["';|(){}\n])$/.test(piece)) segments.push([]);
    else segments.at(-1)!.push(piece.replaceAll(/["']/g, ""));
  }
  return segments;
}

function nameOfWords(words: readonly string[]): string | undefined {
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at]!;
    if (/^\w+=/.test(word) || word === "!") continue;
    const base = baseOf(word);
    // `command -v x` only asks whether there is one.
    if (preliminary.has(base) || (base === "command" && words[at + 1] === "-v")) return undefined;
    const wrapper = Object.hasOwn(wrappers, base) ? wrappers[base] : undefined;
    if (wrapper === undefined) break;
    const taking = wrapper.options?.split(" ") ?? [];
    while (words[at + 1]?.startsWith("-") === true) at += taking.includes(words[at + 1]!) ? 2 : 1;
    at += wrapper.words ?? 0;
  }
  const word = words[at];
  if (word === undefined) return undefined;
  const base = baseOf(word);
  return interpreters.test(base) ? nameOfFile(base, words.slice(at + 1)) : clean(base);
}

/** What an interpreter runs: a file, a module, or the text of a shell. */
function nameOfFile(interpreter: string, words: readonly string[]): string | undefined {
  const text = interpreter.endsWith("sh") ? words[words.findIndex((word) => /^-\w*c$/.test(word)) + 1] : undefined;
  if (text !== undefined && text !== words[0]) return nameOfCommand(text);
  const file =
    words.find((word) => !word.startsWith("-") && word.includes("/")) ?? words.find((word) => /^\w[\w.-]*$/.test(word));
  return (file === undefined ? undefined : clean(baseOf(file))) ?? clean(interpreter);
}

function baseOf(word: string): string {
  return word.replace(/\/+$/, "").split("/").at(-1)!;
}

/** What a schedule's name may hold; undefined: nothing is left. */
function clean(text: string): string | undefined {
  const name = text
    .replaceAll(/[^A-Za-z0-9_.-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+/, "")
    .replace(/-+$/, "")
    .slice(0, 60);
  return name === "" ? undefined : name;
}
