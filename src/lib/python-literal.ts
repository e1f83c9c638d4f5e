/**
 * Values of variables as Ansible's INI inventories write them: Python's literals, as `ast.literal_eval` takes them, and text where it takes nothing. What JSON has no
 * word for becomes what comes next to it: a tuple or set a list, a number that JSON would change the text that was written.
 */
export function pythonValue(text: string): unknown {
  const reader = new LiteralReader(text.replace(/^[ \t]+/, ""));
  try {
    const value = reader.value();
    return reader.isAtEnd() ? value : text;
  } catch (error) {
    if (error instanceof NoLiteral) return text;
    throw error;
  }
}

class NoLiteral extends Error {}

/** Deeper than anybody writes, and than Python's own parser goes. */
const deepest = 90;

class LiteralReader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    this.#skip();
    return this.#at === this.#text.length;
  }

  value(): unknown {
    const first = this.#one();
    if (!this.#takes(",")) return first;
    // "1, 2" is a tuple without its parentheses.
    const list = [first];
    while (!this.isAtEnd()) {
      list.push(this.#one());
      if (!this.#takes(",")) break;
    }
    return list;
  }

  #one(): unknown {
    if (++this.#depth > deepest) throw new NoLiteral();
    this.#skip();
    const start = this.#text[this.#at] ?? "";
    let value: unknown;
    if (start === "[") value = this.#list("]");
    else if (start === "(") value = this.#parentheses();
    else if (start === "{") value = this.#braces();
    else if (/^[rRuUbB]{0,2}["']/.test(this.#text.slice(this.#at, this.#at + 3))) value = this.#strings();
    else value = this.#word();
    this.#depth -= 1;
    return value;
  }

  #list(end: string): unknown[] {
    this.#at += 1;
    const list: unknown[] = [];
    while (!this.#takes(end)) {
      list.push(this.#one());
      if (this.#takes(",")) continue;
      if (!this.#takes(end)) throw new NoLiteral();
      break;
    }
    return list;
  }

  #parentheses(): unknown {
    const from = this.#at;
    const list = this.#list(")");
    const isOne = list.length === 1 && !/,\s*\)$/.test(this.#text.slice(from, this.#at));
    return isOne ? list[0] : list;
  }

  #braces(): unknown {
    this.#at += 1;
    if (this.#takes("}")) return {};
    const first = this.#one();
    if (!this.#takes(":")) {
      const list = [first];
      while (this.#takes(",")) {
        this.#skip();
        if (this.#text[this.#at] === "}") break;
        list.push(this.#one());
      }
      if (!this.#takes("}")) throw new NoLiteral();
      return list;
    }
    const map = new Map<string, unknown>([[keyOf(first), this.#one()]]);
    while (this.#takes(",")) {
      this.#skip();
      if (this.#text[this.#at] === "}") break;
      const key = keyOf(this.#one());
      if (!this.#takes(":")) throw new NoLiteral();
      map.set(key, this.#one());
    }
    if (!this.#takes("}")) throw new NoLiteral();
    return Object.fromEntries(map);
  }

  /** Several one after the other are one text. */
  #strings(): string {
    let whole = "";
    for (;;) {
      this.#skip();
      const prefix = /^(?:[rR][bB]?|[bB][rR]?|[uU])?(?="""|'''|"|')/.exec(
        this.#text.slice(this.#at, this.#at + 5),
      )?.[0];
      if (prefix === undefined) return whole;
      this.#at += prefix.length;
      whole += this.#string(/[rR]/.test(prefix));
    }
  }

  #string(isRaw: boolean): string {
    const triple = this.#text.slice(this.#at, this.#at + 3);
    const quote = triple === '"""' || triple === "'''" ? triple : this.#text[this.#at]!;
    this.#at += quote.length;
    let out = "";
    while (!this.#text.startsWith(quote, this.#at)) {
      const character = this.#text[this.#at];
      if (character === undefined) throw new NoLiteral();
      this.#at += 1;
      if (character !== "\\") out += character;
      else if (isRaw) out += character + (this.#text[this.#at++] ?? "");
      else out += this.#escape();
    }
    this.#at += quote.length;
    return out;
  }

  #escape(): string {
    const rest = this.#text.slice(this.#at, this.#at + 9);
    const number = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest);
    const octal = /^[0-7]{1,3}/.exec(rest);
    if (number !== null) {
      this.#at += number[0].length;
      const code = Number.parseInt((number[1] ?? number[2] ?? number[3])!, 16);
      if (code > 0x10ffff) throw new NoLiteral();
      return String.fromCodePoint(code);
    }
    if (octal !== null) {
      this.#at += octal[0].length;
      return String.fromCodePoint(Number.parseInt(octal[0], 8));
    }
    const character = rest[0] ?? "";
    if (/[xuUN]/.test(character) || character === "") throw new NoLiteral();
    this.#at += 1;
    return escapes[character] ?? `\\${character}`;
  }

  #word(): unknown {
    const word = /^[-+]?[\w.]+(?:(?<=\d[eE])[-+]\d+)?/.exec(this.#text.slice(this.#at))?.[0];
    if (word === undefined) throw new NoLiteral();
    this.#at += word.length;
    if (word === "True") return true;
    if (word === "False") return false;
    if (word === "None") return null;
    return numberOf(word);
  }

  #takes(character: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  /** Spaces and a comment. */
  #skip(): void {
    while (/[ \t\f]/.test(this.#text[this.#at] ?? "")) this.#at += 1;
    if (this.#text[this.#at] === "#") this.#at = this.#text.length;
  }
}

const escapes: Readonly<Record<string, string>> = {
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": "",
};

function keyOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

const wholeForm = /^[-+]?(?:0(?:_?0)*|[1-9](?:_?\d)*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+)$/;
const floatForm = /^[-+]?(?:(?:\d(?:_?\d)*)?\.\d(?:_?\d)*|\d(?:_?\d)*\.|\d(?:_?\d)*(?=[eE]))(?:[eE][-+]?\d(?:_?\d)*)?$/;

function numberOf(word: string): number {
  const isWhole = wholeForm.test(word);
  if (!isWhole && !floatForm.test(word)) throw new NoLiteral();
  const [sign, digits] = /^[-+]/.test(word) ? [word[0] === "-" ? -1 : 1, word.slice(1)] : [1, word];
  const value = sign * Number(digits.replaceAll("_", ""));
  if (!Number.isFinite(value) || (isWhole && !Number.isSafeInteger(value))) throw new NoLiteral();
  return value === 0 ? 0 : value;
}
