/** What test/tidy.test.ts checks, as functions from text to complaints, so that each can be shown to fail on a bad snippet. */
import path from "node:path";

/** What code of one folder of src may import. */
export interface ImportRule {
  /**
   * Folder or file of ours -> "any", or "types" when only `import type` may name it. The longest name that fits decides. A folder's own
   * files need no mention.
   */
  readonly ours: Readonly<Record<string, "any" | "types">>;
  /** Packages. "node:" and "bun:" stand for all built-in modules of that runtime. */
  readonly packages: readonly string[];
}

interface Import {
  readonly specifier: string;
  readonly typesOnly: boolean;
  readonly line: number;
}

/** Imports and re-exports of a module, dynamic ones too. Inline `{ type X }` still loads the module, so it is no type import. */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const found: Import[] = [];
  const add = (specifier: string, typesOnly: boolean, offset: number): void => {
    found.push({ specifier, typesOnly, line: lineAt(code, offset) });
  };
  for (const match of code.matchAll(
    /^[ \t]*(?:import|export)\s+(type\s+)?(?:[^;"'()=]*?\sfrom\s+)?["']([^"']+)["']/gm,
  )) {
    add(match[2]!, match[1] !== undefined, match.index);
  }
  for (const match of code.matchAll(/\bimport\(\s*["']([^"']+)["']/g)) add(match[1]!, false, match.index);
  return found;
}

/** Complaints about the imports of `file` ("src/raft/log.ts"). `rules` by folder or file below src; the longest name that fits decides. */
export function wrongImports(file: string, source: string, rules: Readonly<Record<string, ImportRule>>): string[] {
  const inside = file.slice("src/".length);
  const place = longestPrefix(Object.keys(rules), inside);
  if (place === undefined)
    return [`${file}: no rule says what this folder may import; add it to the table in test/tidy.test.ts`];
  const rule = rules[place]!;
  const layer = inside.split("/")[0]!;
  const complaints: string[] = [];
  for (const { specifier, typesOnly, line } of importsOf(source)) {
    const complain = (why: string): number => complaints.push(`${file}:${line}: imports "${specifier}": ${why}`);
    if (!specifier.startsWith(".")) {
      const name = packageName(specifier);
      const allowed = rule.packages.some(
        (entry) =>
          entry === name ||
          (entry.endsWith(":") && specifier.startsWith(entry)) ||
          (typesOnly && entry === `type ${name}`),
      );
      if (!allowed) complain(`${place} may import ${list(rule.packages)} of packages`);
      continue;
    }
    if (!/\.(ts|tsx|json|html|css)$/.test(specifier)) complain("relative imports name the file with its extension");
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier));
    if (!target.startsWith("src/")) {
      complain("it leaves src");
      continue;
    }
    const to = target.slice("src/".length);
    if (to.split("/")[0] === layer && layer !== to) continue;
    const entry = longestPrefix(Object.keys(rule.ours), to);
    if (entry === undefined) complain(`${place} may import ${list(Object.keys(rule.ours))} of ours`);
    else if (rule.ours[entry] === "types" && !typesOnly) complain(`${place} may only \`import type\` from ${entry}`);
  }
  return complaints;
}

const impure = [
  [/\basync\b|\bawait\b/, "async code"],
  [/(?<![.\w])Date\b/, "Date"],
  [/\bMath\s*\.\s*random\b/, "Math.random"],
  [/(?<![.\w])(setTimeout|setInterval|setImmediate|queueMicrotask)\b/, "a timer"],
  [
    /(?<![.\w])(console|process|performance|crypto|fetch|Bun|globalThis)\s*[.(]/,
    "the outside (console, process, performance, crypto, fetch, Bun)",
  ],
  [/\bnew\s+(Promise|Worker|WebSocket)\b/, "asynchronous or outside objects"],
] as const;

/** Impure words in code of the pure three; comments and strings do not count. */
export function impurities(file: string, source: string): string[] {
  const lines = withoutStrings(withoutComments(source)).split("\n");
  return lines.flatMap((text, at) =>
    impure.filter(([pattern]) => pattern.test(text)).map(([, what]) => `${file}:${at + 1}: pure code uses ${what}`),
  );
}

/**
 * Exported functions and classes without a docstring right above them. The file's header (a docstring on its first line) stands for the
 * first of them. Types are left to judgement: where every member says what it is, a sentence above would repeat it.
 */
export function undocumented(file: string, source: string): string[] {
  const lines = source.split("\n");
  const complaints: string[] = [];
  let headerSpeaks = source.startsWith("/**");
  for (const [at, text] of lines.entries()) {
    const match = /^export (?:async )?(?:abstract )?(function\*?|class) (\w+)/.exec(text);
    if (match === null) continue;
    const above = lines[at - 1] ?? "";
    const overload = new RegExp(`^export (?:async )?function ${match[2]}\\b`).test(above);
    if (!above.trimEnd().endsWith("*/") && !overload && !headerSpeaks) {
      complaints.push(`${file}:${at + 1}: ${match[1]} ${match[2]} has no docstring`);
    }
    headerSpeaks = false;
  }
  return complaints;
}

/** Lines with a word that must not be in a tracked file. */
export function forbidden(file: string, text: string, words: readonly (readonly [RegExp, string])[]): string[] {
  return text
    .split("\n")
    .flatMap((line, at) =>
      words
        .filter(([pattern]) => pattern.test(line))
        .map(([, why]) => `${file}:${at + 1}: ${why}: ${line.trim().slice(0, 100)}`),
    );
}

/** Links of a markdown file to files that do not exist, and files it names in backticks that do not exist. */
export function brokenMentions(file: string, text: string, exists: (file: string) => boolean): string[] {
  const complaints: string[] = [];
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, (block) => block.replaceAll(/[^\n]/g, ""));
  for (const match of prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)) {
    const link = match[1]!.replace(/#.*$/, "");
    if (link === "" || /^[a-z]+:/.test(link)) continue;
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), link));
    if (!exists(target)) complaints.push(`${file}:${lineAt(prose, match.index)}: the link ${match[1]} leads nowhere`);
  }
  for (const match of prose.matchAll(/`((?:src|test|scripts|bench|docs)\/[\w./-]+\.[a-z]+)`/g)) {
    if (!exists(match[1]!)) complaints.push(`${file}:${lineAt(prose, match.index)}: ${match[1]} does not exist`);
  }
  return complaints;
}

/** Same text with comments blanked, lines kept. Knows strings and templates, so that "//" inside one is no comment. */
export function withoutComments(source: string): string {
  return source.replaceAll(
    /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[\s\S])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (part) => (part.startsWith("/") ? blank(part) : part),
  );
}

function withoutStrings(code: string): string {
  // Of a template only the text goes: what stands in ${...} is code.
  return code
    .replaceAll(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, blank)
    .replaceAll(/`(?:[^`\\]|\\[\s\S])*`/g, (template) =>
      template.replaceAll(/(\$\{[^}]*\})|[^\n]/g, (_, code: string | undefined) => code ?? " "),
    );
}

const blank = (text: string): string => text.replaceAll(/[^\n]/g, " ");
const lineAt = (text: string, offset: number): number => text.slice(0, offset).split("\n").length;
const list = (names: readonly string[]): string => (names.length === 0 ? "none" : names.join(", "));

function packageName(specifier: string): string {
  const parts = specifier.split("/");
  return specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0]!;
}

function longestPrefix(names: readonly string[], file: string): string | undefined {
  return names
    .filter((name) => file === name || file.startsWith(`${name}/`))
    .toSorted((a, b) => b.length - a.length)[0];
}
