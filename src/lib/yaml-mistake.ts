import { LineCounter, parseDocument } from "yaml";

/** What is wrong with a text. Both count from 1. */
export interface YamlMistake {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/**
 * The first mistake of a text that ansible is to read; undefined: it is one document of YAML. No stricter than ansible is: tags of its own (`!vault`) and keys that are there twice are none,
 * and what the document says is ansible's to judge.
 */
export function yamlMistake(text: string): YamlMistake | undefined {
  const lineCounter = new LineCounter();
  const { errors } = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    uniqueKeys: false,
    strict: false,
    version: "1.1",
    logLevel: "error",
  });
  const [error] = errors;
  if (error === undefined) return undefined;
  const { line, col } = lineCounter.linePos(error.pos[0]);
  return { line, column: col, message: error.message };
}
