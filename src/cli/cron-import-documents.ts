import { type Document, LineCounter, type Node, parseAllDocuments } from "yaml";
import { repeatedKey } from "../lib/json-keys.ts";
import type { Problem } from "../lib/outcome.ts";
import { atOnce } from "../lib/turns.ts";
import { pathOf } from "../state/commands/problems.ts";
import { keepWritten } from "./yaml-text.ts";

const linedJsonMost = 1024 * 1024;

export type PathInFile = readonly (string | number)[];

/** One document of a file, and where its parts stand. */
export interface FoundDocument {
  readonly value: unknown;
  /** "FILE:LINE: the.path", as near as the text has it; for JSON of one line, and for much of it, without the line. */
  where(path: PathInFile): string;
}

/** Reads YAML (several documents) or JSON. All that keeps it from being read is told, each with its line. */
export function readDocuments(
  text: string,
  file: string,
): { readonly documents: readonly FoundDocument[]; readonly problems: readonly Problem[] } {
  const start = text.trimStart();
  if (start === "") return { documents: [], problems: [{ path: file, message: "is empty" }] };
  if (start.startsWith("{") || start.startsWith("[")) {
    const value = tryJson(text);
    if (value !== undefined) {
      const twice = atOnce(repeatedKey(text));
      if (twice !== undefined)
        return {
          documents: [],
          problems: [{ path: `${file}:${twice.line}`, message: `the key ${JSON.stringify(twice.key)} is there twice` }],
        };
      return { documents: [{ value, where: placesInJson(text, file) }], problems: [] };
    }
  }
  return readYaml(text, file);
}

/** undefined: it is none. */
function tryJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** JSON is YAML, whose reader knows lines, and is slow: it is asked when something is wrong. */
function placesInJson(text: string, file: string): FoundDocument["where"] {
  let read: FoundDocument | undefined;
  const hasLines = text.length <= linedJsonMost && text.trim().includes("\n");
  return (path) => {
    if (!hasLines) return placed(file, path);
    read ??= readYaml(text, file).documents[0];
    return read === undefined ? placed(file, path) : read.where(path);
  };
}

function placed(at: string, path: PathInFile): string {
  return path.length === 0 ? at : `${at}: ${pathOf(path)}`;
}

function readYaml(text: string, file: string): ReturnType<typeof readDocuments> {
  const lineCounter = new LineCounter();
  const read = parseAllDocuments(text, { lineCounter, prettyErrors: false, merge: true });
  const lineOf = (offset: number): string => `${file}:${lineCounter.linePos(offset).line}`;
  const documents: FoundDocument[] = [];
  const problems: Problem[] = [];
  for (const document of Array.isArray(read) ? read : []) {
    for (const { pos, message } of document.errors) problems.push({ path: lineOf(pos[0]), message });
    if (document.errors.length > 0) continue;
    try {
      // A few lines of anchors may stand for more than any machine holds.
      const value: unknown = document.toJS({ maxAliasCount: 100 });
      keepWritten(document, value);
      if (value !== null && value !== undefined)
        documents.push({ value, where: (path) => placed(lineOf(offsetOf(document, path)), path) });
    } catch (error) {
      problems.push({
        path: lineOf(document.range[0]),
        message: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return { documents, problems };
}

/** Where the innermost part of the path begins that the text has. */
function offsetOf(document: Document.Parsed, path: PathInFile): number {
  for (let depth = path.length; depth > 0; depth--) {
    const node = document.getIn(path.slice(0, depth), true) as Node | undefined;
    const range = typeof node === "object" && node !== null ? node.range : undefined;
    if (range !== undefined && range !== null) return range[0];
  }
  return (document.contents as Node | null)?.range?.[0] ?? document.range[0];
}

/** A map with values of any kind. */
export type Fields = Readonly<Record<string, unknown>>;

/** undefined: it is no map. */
export function asFields(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
