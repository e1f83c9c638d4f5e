/** A key that an object of a JSON text has for the second time: of two values one would be left out without a word. */
export interface RepeatedKey {
  readonly key: string;
  /** Of its second place, from 1, for people. */
  readonly line: number;
  readonly column: number;
}

/**
 * Finds the first key that is there twice in one object, in steps: a long text takes long. The text is JSON, or several values of it one after the other; of
 * anything else the answer means nothing. No recursion, so that depth costs nothing.
 */
export function* repeatedKey(text: string): Generator<undefined, RepeatedKey | undefined, undefined> {
  const scan = new Scan(text);
  for (let until = stepLength; ; until += stepLength) {
    const found = scan.to(until);
    if (found !== undefined) return { key: found.key, ...placeOf(text, found.at) };
    if (until >= text.length) return undefined;
    yield;
  }
}

/** So many characters are gone through between two rests. */
const stepLength = 64 * 1024;
/** Keys of an object of more are looked up in a set: most have few, but for those of somebody who wants to keep a node busy. */
const fewKeys = 32;

const quote = 0x22;
const comma = 0x2c;
const [listBegins, backslash, listEnds] = [0x5b, 0x5c, 0x5d];
const [objectBegins, objectEnds] = [0x7b, 0x7d];

class Scan {
  readonly #text: string;
  /** Keys of all objects that are open, the outermost one's first. */
  readonly #keys: string[] = [];
  /** Where those of the objects around begin among them (-1: a list), and theirs as a set. */
  readonly #around: { readonly base: number; readonly wide: Set<string> | undefined }[] = [];
  #base = -1;
  #wide: Set<string> | undefined;
  /** A key comes next. */
  #isKey = false;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  to(until: number): { readonly key: string; readonly at: number } | undefined {
    const text = this.#text;
    const end = Math.min(until, text.length);
    let at = this.#at;
    while (at < end) {
      const code = text.charCodeAt(at);
      if (code === quote) {
        const closes = endOfString(text, at);
        if (this.#isKey) {
          const written = text.slice(at + 1, closes);
          const key = written.includes("\\") ? (JSON.parse(text.slice(at, closes + 1)) as string) : written;
          if (this.#isThere(key)) return { key, at };
        }
        at = closes;
      } else if (code === comma) this.#isKey = this.#base >= 0;
      else if (code === objectBegins || code === listBegins) this.#open(code === objectBegins);
      else if (code === objectEnds || code === listEnds) this.#close();
      at += 1;
    }
    this.#at = at;
    return undefined;
  }

  #open(isObject: boolean): void {
    this.#around.push({ base: this.#base, wide: this.#wide });
    this.#base = isObject ? this.#keys.length : -1;
    this.#wide = undefined;
    this.#isKey = isObject;
  }

  #close(): void {
    if (this.#base >= 0) this.#keys.length = this.#base;
    const around = this.#around.pop();
    this.#base = around?.base ?? -1;
    this.#wide = around?.wide;
    this.#isKey = false;
  }

  /** The object that is open has the key already; it has it from now on. */
  #isThere(key: string): boolean {
    this.#isKey = false;
    const keys = this.#keys;
    if (this.#wide !== undefined) {
      if (this.#wide.has(key)) return true;
      this.#wide.add(key);
    } else for (let at = this.#base; at < keys.length; at++) if (keys[at] === key) return true;
    keys.push(key);
    if (this.#wide === undefined && keys.length - this.#base > fewKeys) this.#wide = new Set(keys.slice(this.#base));
    return false;
  }
}

/** The quote that ends the string which begins at `at`. */
function endOfString(text: string, at: number): number {
  let end = text.indexOf('"', at + 1);
  while (text.charCodeAt(end - 1) === backslash) {
    let before = end - 1;
    while (text.charCodeAt(before) === backslash) before -= 1;
    // An even number of them are characters of the string, and the quote is its end.
    if ((end - 1 - before) % 2 === 0) break;
    end = text.indexOf('"', end + 1);
  }
  return end === -1 ? text.length : end;
}

function placeOf(text: string, at: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
