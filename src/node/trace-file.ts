import { closeSync, openSync, writeSync } from "node:fs";
import { fileFault } from "../storage/files.ts";

/** Steps of consensus as a file of lines (raft/trace.ts, docs/consensus.md). It is written at the end of each turn of the loop, and never synced. */
export class TraceFile {
  readonly #path: string;
  readonly #handle: number;
  #lines: string[] = [];

  /** Appends. Throws Fault "data" or "disk" when the file cannot be opened. */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#handle = openSync(path, "a", 0o600);
    } catch (error) {
      throw fileFault(error, path);
    }
  }

  add(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    if (this.#lines.length === 0) return;
    const text = `${this.#lines.join("\n")}\n`;
    this.#lines = [];
    try {
      writeSync(this.#handle, text);
    } catch (error) {
      throw fileFault(error, this.#path);
    }
  }

  close(): void {
    this.#flush();
    closeSync(this.#handle);
  }
}
