/**
 * `{{name}}` in texts, and what comes into its place: parameters of a template when it is run (state/template.ts), and what a task is when driver http asks
 * (executor/drivers/http.ts). Pure.
 *
 *   A text that is one placeholder and nothing else becomes the value, with its type: `"{{n}}"` is a number. In a list a value that is a list puts its items
 *   there. A name without a value leaves the key, or the item, out.
 *   Within a longer text values are written as text, lists with commas, and a name without one is empty.
 *   `\{{name}}` is the text {{name}}. What is no name, as {{.Names}}, is left as it is.
 */
type Single = string | number | boolean;
export type Filling = Single | readonly Single[];

const placeholder = /(\\?)\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;
const whole = /^\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}$/;

/** Where a placeholder stands. `path` is that of the list for an item that may become several, or none. */
export interface Place {
  readonly path: readonly (string | number)[];
  readonly name: string;
  /** It stands in a key, where there is no room for one. */
  readonly isKey: boolean;
}

/** Every placeholder of a spec. */
export function* placesIn(node: unknown, path: readonly (string | number)[] = []): Generator<Place, void, undefined> {
  if (typeof node === "string") {
    for (const [, escape, name] of node.matchAll(placeholder))
      if (escape === "") yield { path, name: name!, isKey: false };
  } else if (Array.isArray(node)) {
    for (const [at, item] of node.entries()) yield* placesIn(item, isWhole(item) ? path : [...path, at]);
  } else if (typeof node === "object" && node !== null) {
    for (const [key, value] of Object.entries(node)) {
      for (const { name } of placesIn(key)) yield { path: [...path, key], name, isKey: true };
      yield* placesIn(value, [...path, key]);
    }
  }
}

function isWhole(node: unknown): boolean {
  return typeof node === "string" && whole.test(node);
}

/** What every task has by itself, under such a name: nothing of a template's. */
export function isOfTask(name: string): boolean {
  return name.startsWith("SKEIN_");
}

export interface FillOptions {
  /** So much may come in, in characters. */
  readonly most?: number;
  /** Of names that are left as they stand, for somebody who fills them in later. */
  readonly isLeft?: (name: string) => boolean;
}

/** The same with values in their places; undefined: more than `most` would come in. */
export function fillIn(
  node: unknown,
  values: ReadonlyMap<string, Filling>,
  { most = Infinity, isLeft = () => false }: FillOptions = {},
): unknown {
  let room = most;
  const textOf = (value: Filling | undefined): string => {
    const text = value === undefined ? "" : Array.isArray(value) ? value.join(",") : String(value);
    room -= text.length;
    return room < 0 ? "" : text;
  };
  const fill = (one: unknown): unknown => {
    if (typeof one === "string") {
      const name = whole.exec(one)?.[1];
      if (name !== undefined && !isLeft(name)) {
        const value = values.get(name);
        if (value !== undefined) textOf(value);
        return value;
      }
      return one.replaceAll(placeholder, (text, escape: string, inner: string) => {
        if (isLeft(inner)) return text;
        return escape === "" ? textOf(values.get(inner)) : text.slice(1);
      });
    }
    if (Array.isArray(one)) {
      return one.flatMap((item: unknown) => {
        const filled = fill(item);
        if (filled === undefined) return [];
        return isWhole(item) && Array.isArray(filled) ? (filled as unknown[]) : [filled];
      });
    }
    if (typeof one !== "object" || one === null) return one;
    const filled: [string, unknown][] = [];
    for (const [key, value] of Object.entries(one)) {
      const inner = fill(value);
      if (inner !== undefined) filled.push([key, inner]);
    }
    return Object.fromEntries(filled);
  };
  const filled = fill(node);
  return room < 0 ? undefined : filled;
}

/** A text with values in their places: it stays one, also where it is a placeholder and nothing else. */
export function fillText(text: string, values: ReadonlyMap<string, Single>): string {
  return text.replaceAll(placeholder, (written, escape: string, name: string) =>
    escape === "" ? String(values.get(name) ?? "") : written.slice(1),
  );
}
