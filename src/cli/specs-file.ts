import { readFile, stat } from "node:fs/promises";
import { extname } from "node:path";
import { type Document, LineCounter, type Node, parseAllDocuments } from "yaml";
import { limits } from "../lib/limits.ts";
import { repeatedKey } from "../lib/json-keys.ts";
import { atOnce } from "../lib/turns.ts";
import { formatSize } from "../lib/units.ts";
import { findBadUtf8, placeOfByte } from "../lib/utf8.ts";
import { CliError, exit } from "./exit.ts";
import type { CliIo } from "./io.ts";
import { keepWritten } from "./yaml-text.ts";

/** Job specs as they were written, and where. */
export interface SpecsFile {
  readonly specs: readonly object[];
  /** "FILE:LINE:COLUMN" of a problem's path as the API gives it ("jobs[2].retries.max", or without jobs[] for one spec). */
  locate(path: string): string | undefined;
}

/** Reads `path` (`-`: standard input). Throws CliError with file, line and column of what is broken. */
export async function readSpecs(path: string, io: CliIo): Promise<SpecsFile> {
  return parseSpecs(await readFileText(path, io), path === "-" ? "stdin" : path);
}

/** Text of a file, or of standard input (`-`). */
export async function readFileText(path: string, io: CliIo): Promise<string> {
  return path === "-" ? decodeText(await io.readStdin(limits.bodyBytes), "stdin") : readText(path);
}

/**
 * YAML (several documents make several specs), JSON (a spec, a list of specs, or {"jobs": […]}) or NDJSON. All of them are told
 * apart by their text: JSON is tried first as it is the fast one, and what is neither goes to the YAML parser, whose messages
 * have positions.
 */
export function parseSpecs(text: string, name: string): SpecsFile {
  const start = text.trimStart();
  const ndjson = [".ndjson", ".jsonl"].includes(extname(name));
  if (ndjson || start.startsWith("{") || start.startsWith("[")) {
    const whole = ndjson ? undefined : tryJson(start);
    if (whole !== undefined) {
      refuseRepeated(text, name);
      return checked(flatten(whole), name);
    }
    const lines = ndjsonOf(text, name, ndjson);
    if (lines !== undefined) {
      const specs = lines.map((line) => line.spec);
      return { ...checked(specs, name), locate: (path) => lineOf(lines, path, name) };
    }
  }
  return yamlOf(text, name);
}

/** Text of a file; errors name it. */
export async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > limits.bodyBytes) {
      throw new CliError(
        exit.refused,
        `${path} has ${formatSize(size)}; at most ${formatSize(limits.bodyBytes)} go at once`,
      );
    }
    return decodeText(await readFile(path), path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a directory" : String(error);
    throw new CliError(exit.usage, `cannot read ${path}: ${why}`);
  }
}

function decodeText(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const { line, column } = placeOfByte(bytes, findBadUtf8(bytes) ?? 0);
    throw new CliError(
      exit.usage,
      `${name} is not UTF-8 text: line ${line}, byte ${column} of it is the first that is none`,
    );
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** As the YAML parser does of its own accord. */
function refuseRepeated(json: string, name: string, linesBefore = 0): void {
  const found = atOnce(repeatedKey(json));
  if (found === undefined) return;
  const place = `${name}:${found.line + linesBefore}:${found.column}`;
  throw new CliError(exit.usage, `${place}: the key ${JSON.stringify(found.key)} is there twice`);
}

interface SpecLine {
  readonly spec: unknown;
  /** From 1. */
  readonly line: number;
}

/** undefined: not NDJSON. The first line decides, unless the file's name said it. */
function ndjsonOf(text: string, name: string, sure: boolean): SpecLine[] | undefined {
  const specs: SpecLine[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const spec = tryJson(line);
    if (spec === undefined) {
      if (!sure && specs.length === 0) return undefined;
      throw new CliError(exit.usage, `${name}:${at + 1}:1: this line is not JSON`);
    }
    refuseRepeated(line, name, at);
    specs.push({ spec, line: at + 1 });
  }
  return specs;
}

/** A spec of NDJSON is its line. */
function lineOf(lines: readonly SpecLine[], path: string, name: string): string | undefined {
  const [first, at] = keysOf(path);
  const line = lines[first === "jobs" && typeof at === "number" ? at : 0]?.line;
  return line === undefined ? undefined : `${name}:${line}:1`;
}

function yamlOf(text: string, name: string): SpecsFile {
  const lineCounter = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter, prettyErrors: false });
  const position = (offset: number): string => {
    const { line, col } = lineCounter.linePos(offset);
    return `${name}:${line}:${col}`;
  };
  const found: { document: Document; spec: unknown }[] = [];
  for (const document of Array.isArray(documents) ? documents : []) {
    const error = document.errors[0];
    if (error !== undefined) throw new CliError(exit.usage, `${position(error.pos[0])}: ${error.message}`);
    const spec = plainOf(document, position(document.range?.[0] ?? 0));
    if (spec !== null && spec !== undefined) found.push({ document, spec });
  }
  const specs = found.flatMap(({ spec }) => flatten(spec));
  return {
    ...checked(specs, name),
    locate(path) {
      const keys = keysOf(path);
      // One list in one document: its positions are those of the list. Otherwise each document is one spec.
      const listed = found.length === 1 && flatten(found[0]!.spec)[0] !== found[0]!.spec;
      const at = keys[0] === "jobs" && typeof keys[1] === "number" ? keys[1] : 0;
      const inSpec = keys[0] === "jobs" && typeof keys[1] === "number" ? keys.slice(2) : keys;
      const document = found[listed ? 0 : at]?.document;
      if (document === undefined) return undefined;
      const base = listed ? (Array.isArray(found[0]!.spec) ? [at] : ["jobs", at]) : [];
      for (let depth = inSpec.length; depth >= 0; depth--) {
        const node = document.getIn([...base, ...inSpec.slice(0, depth)], true) as Node | undefined;
        if (node?.range) return position(node.range[0]);
      }
      return undefined;
    },
  };
}

/** A few lines of anchors may stand for more than any machine holds. */
function plainOf(document: Document, where: string): unknown {
  try {
    const plain = document.toJS({ maxAliasCount: 100 }) as unknown;
    keepWritten(document, plain);
    return plain;
  } catch (error) {
    throw new CliError(exit.usage, `${where}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A list of specs, {"jobs": […]}, or one spec. */
function flatten(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  const { jobs } = (value ?? {}) as { jobs?: unknown };
  return Array.isArray(jobs) ? jobs : [value];
}

function checked(specs: readonly unknown[], name: string): SpecsFile {
  if (specs.length === 0) throw new CliError(exit.usage, `${name} holds no job spec`);
  if (specs.length > limits.specsPerRequest) {
    throw new CliError(
      exit.refused,
      `${name} holds ${specs.length} specs; at most ${limits.specsPerRequest} go at once: split it, or use count for an array`,
    );
  }
  for (const [at, spec] of specs.entries()) {
    if (typeof spec !== "object" || spec === null || Array.isArray(spec)) {
      const which = specs.length === 1 ? "it" : `spec ${at + 1} of ${specs.length}`;
      throw new CliError(
        exit.usage,
        `${name}: ${which} is no job spec: write names and values, for example "run: make -j4"`,
      );
    }
  }
  return { specs: specs as readonly object[], locate: () => undefined };
}

/** "jobs[2].retries.max" -> ["jobs", 2, "retries", "max"] */
export function keysOf(path: string): (string | number)[] {
  return [...path.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map((match) =>
    match[1] === undefined ? match[0] : Number(match[1]),
  );
}
