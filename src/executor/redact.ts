import { limits } from "../lib/limits.ts";

/**
 * Keeps secrets out of output: every occurrence of a value becomes `***`, wherever the pieces in which the output comes are cut. What could be the
 * beginning of a value is held back until the next piece shows what it is. A value is also known as it stands within JSON, in a URL and in base64, and
 * one of several lines by each line: that is how programs print them. Other transformations are not seen: this keeps accidents out of logs, not thieves.
 */
export class Redactor {
  readonly #values: readonly Buffer[];
  readonly #longest: number;
  /** The end of what has come, not written yet: it may be the beginning of a value. */
  #held: Buffer = Buffer.alloc(0);
  /** So many bytes of #held belong to a value that was replaced already, which ends there. */
  #covered = 0;

  constructor(values: readonly string[]) {
    this.#values = [...new Set(values.flatMap(formsOf))].map((value) => Buffer.from(value));
    this.#longest = Math.max(...this.#values.map((value) => value.length));
  }

  /** What can be written now. */
  push(bytes: Uint8Array): Uint8Array {
    const all = this.#held.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#held, bytes]);
    const hidden = this.#hiddenIn(all);
    const end = this.#heldFrom(all);
    const last = hidden.findLast(({ from }) => from < end);
    const written = this.#write(all, hidden, end);
    this.#held = all.subarray(end);
    this.#covered = Math.max(0, (last?.to ?? 0) - end);
    return written;
  }

  /** The rest. What is a part of a value, because its writer was cut short, is not shown either. */
  end(): Uint8Array {
    const rest = this.#held.subarray(this.#covered);
    this.#held = Buffer.alloc(0);
    this.#covered = 0;
    return rest.length < partBytes ? rest : stars;
  }

  /** Where values stand, in order; what overlaps is one. The first may have been replaced before. */
  #hiddenIn(all: Buffer): readonly Hidden[] {
    const found: Hidden[] = this.#covered > 0 ? [{ from: 0, to: this.#covered }] : [];
    for (const value of this.#values) {
      for (let at = all.indexOf(value); at >= 0; at = all.indexOf(value, at + 1))
        found.push({ from: at, to: at + value.length });
    }
    const joined: { from: number; to: number }[] = [];
    for (const { from, to } of found.toSorted((a, b) => a.from - b.from || a.to - b.to)) {
      const last = joined.at(-1);
      if (last !== undefined && from < last.to) last.to = Math.max(last.to, to);
      else joined.push({ from, to });
    }
    return joined;
  }

  /** Where the longest end of `all` begins that is the beginning of a value, and not all of it. */
  #heldFrom(all: Buffer): number {
    let first = all.length;
    const start = Math.max(0, all.length - this.#longest + 1);
    for (const value of this.#values) {
      for (let at = all.indexOf(value[0]!, start); at >= 0 && at < first; at = all.indexOf(value[0]!, at + 1)) {
        const length = all.length - at;
        if (length < value.length && all.compare(value, 0, length, at) === 0) first = at;
      }
    }
    return first;
  }

  #write(all: Buffer, hidden: readonly Hidden[], end: number): Uint8Array {
    if (hidden.length === 0) return all.subarray(0, end);
    const pieces: Uint8Array[] = [];
    let at = 0;
    for (const { from, to } of hidden) {
      if (from >= end) break;
      if (from > at) pieces.push(all.subarray(at, from));
      if (from > 0 || this.#covered === 0) pieces.push(stars);
      at = to;
    }
    if (at < end) pieces.push(all.subarray(at, end));
    return Buffer.concat(pieces);
  }
}

/** A text that is said at once, like a reason. */
export function redactText(values: readonly string[] | undefined, text: string): string {
  if (values === undefined || values.length === 0) return text;
  const redactor = new Redactor(values);
  return Buffer.concat([redactor.push(Buffer.from(text)), redactor.end()]).toString();
}

interface Hidden {
  readonly from: number;
  readonly to: number;
}

const stars = new TextEncoder().encode("***");
/** A shorter beginning of a value says nothing of it. */
const partBytes = 4;
const lineCharacters = 8;

/** The value as programs print it. */
function formsOf(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= lineCharacters);
  return [
    value,
    ...(value.includes("\n") ? [value.trimEnd(), ...lines] : []),
    JSON.stringify(value).slice(1, -1),
    encodeURIComponent(value),
    Buffer.from(value).toString("base64").replace(/=+$/, ""),
  ].filter((form) => form.length >= limits.secretMinCharacters);
}
