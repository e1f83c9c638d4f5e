import type { Sink } from "./io.ts";

/** A line that is longer than this is written in parts. */
const lineBytesMax = 64 * 1024;
const newline = 10;

/**
 * Output of several tasks on one stream: whole lines only, each with its task's name before it. Bytes are passed on as
 * they are, UTF-8 or not.
 */
export class PrefixedLines {
  readonly #sink: Sink;
  readonly #prefix: Uint8Array;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(sink: Sink, prefix: string) {
    this.#sink = sink;
    this.#prefix = new TextEncoder().encode(`${prefix}| `);
  }

  write(bytes: Uint8Array): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const parts: Uint8Array[] = [];
    let start = 0;
    for (let end = all.indexOf(newline); end !== -1; end = all.indexOf(newline, start)) {
      parts.push(this.#prefix, all.subarray(start, end + 1));
      start = end + 1;
    }
    this.#rest = all.slice(start);
    if (parts.length > 0) this.#sink.write(Buffer.concat(parts));
    if (this.#rest.length >= lineBytesMax) this.end();
  }

  /** Writes what has no newline yet, and gives it one. */
  end(): void {
    if (this.#rest.length === 0) return;
    this.#sink.write(Buffer.concat([this.#prefix, this.#rest, Uint8Array.of(newline)]));
    this.#rest = new Uint8Array(0);
  }
}
