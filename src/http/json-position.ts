/** Where a text stops being JSON, and what is wrong there. */
export interface JsonFault {
  /** In UTF-16 units from 0. */
  readonly offset: number;
  /** From 1, for people. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

const space = /[ \t\n\r]*/y;
// oxlint-disable-next-line no-control-regex -- exactly these are forbidden in a JSON string
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/**
 * Finds the first fault of a text that JSON.parse refused: the engine does not say where. No recursion, so that depth costs
 * nothing. undefined: it is JSON after all (nested deeper than the engine goes).
 */
export function findJsonFault(text: string): JsonFault | undefined {
  const open: ("{" | "[")[] = [];
  let at = 0;
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found !== null) at += found[0].length;
    return found !== null;
  };
  const skip = (): string => {
    take(space);
    return text[at] ?? "";
  };
  const fault = (message: string): JsonFault => {
    const before = text.slice(0, at).split("\n");
    const found = at >= text.length ? "the text ends here" : `found ${JSON.stringify(text.slice(at, at + 10))}`;
    return { offset: at, line: before.length, column: before.at(-1)!.length + 1, message: `${message}, ${found}` };
  };

  for (;;) {
    // A value begins here.
    const first = skip();
    if (first === "{" || first === "[") {
      at += 1;
      open.push(first);
      const next = skip();
      if (next === (first === "{" ? "}" : "]")) {
        at += 1;
        open.pop();
      } else if (first === "[") {
        continue;
      } else {
        if (!take(string)) return fault('expected a key in double quotes or "}"');
        if (skip() !== ":") return fault('expected ":" after the key');
        at += 1;
        continue;
      }
    } else if (first === '"') {
      if (!take(string)) return fault("this string is not closed or has a bad escape or a raw control character");
    } else if (!take(scalar)) {
      return fault("expected a value");
    }
    // A value has ended here: close what ends with it, or go on to the next one.
    for (;;) {
      const next = skip();
      const inside = open.at(-1);
      if (inside === undefined) return next === "" ? undefined : fault("expected the end of the text after the value");
      if (next === (inside === "{" ? "}" : "]")) {
        at += 1;
        open.pop();
        continue;
      }
      if (next !== ",") return fault(`expected "," or "${inside === "{" ? "}" : "]"}"`);
      at += 1;
      if (inside === "[") break;
      skip();
      if (!take(string)) return fault("expected a key in double quotes");
      if (skip() !== ":") return fault('expected ":" after the key');
      at += 1;
      break;
    }
  }
}
