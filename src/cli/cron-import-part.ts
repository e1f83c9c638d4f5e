import { asFields, type Fields, type FoundDocument, type PathInFile } from "./cron-import-documents.ts";
import type { Gathering } from "./cron-import-types.ts";

/**
 * A map of a file that is being read, which remembers what was asked of it: whatever nobody has asked for is told in the end, so that nothing is left out
 * in silence. A value of the wrong kind is a problem at its place. null is as good as absent.
 */
export class Part {
  readonly #document: FoundDocument;
  readonly #path: PathInFile;
  readonly #found: Gathering;
  readonly #asked = new Set<string>();
  readonly fields: Fields;

  constructor(fields: Fields, document: FoundDocument, path: PathInFile, found: Gathering) {
    this.fields = fields;
    this.#document = document;
    this.#path = path;
    this.#found = found;
  }

  where(...path: PathInFile): string {
    return this.#document.where([...this.#path, ...path]);
  }

  problem(key: string, message: string): void {
    this.#found.problem(this.where(...(key === "" ? [] : [key])), message);
  }

  note(key: string, message: string): void {
    this.#found.note(this.where(...(key === "" ? [] : [key])), message);
  }

  /** undefined: it is absent. */
  value(key: string): unknown {
    this.#asked.add(key);
    return this.fields[key] ?? undefined;
  }

  text(key: string): string | undefined {
    return this.#kind(key, "must be text", (value) => typeof value === "string");
  }

  flag(key: string): boolean | undefined {
    return this.#kind(key, "must be true or false", (value) => typeof value === "boolean");
  }

  whole(key: string, low = 0): number | undefined {
    return this.#kind(
      key,
      `must be a whole number from ${low} on`,
      (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= low,
    );
  }

  /** A list of texts. */
  texts(key: string): readonly string[] | undefined {
    return this.#kind(
      key,
      "must be a list of texts",
      (value) => Array.isArray(value) && value.every((one) => typeof one === "string"),
    );
  }

  /** A map of texts. */
  textMap(key: string): Readonly<Record<string, string>> | undefined {
    return this.#kind(key, "must be a map of texts", (value) => {
      const fields = asFields(value);
      return fields !== undefined && Object.values(fields).every((one) => typeof one === "string");
    });
  }

  part(key: string): Part | undefined {
    const fields = this.#kind<Fields>(key, "must be a map", (value) => asFields(value) !== undefined);
    return fields === undefined ? undefined : new Part(fields, this.#document, [...this.#path, key], this.#found);
  }

  /** The maps of a list. */
  parts(key: string): readonly Part[] {
    const list = this.#kind<readonly Fields[]>(
      key,
      "must be a list of maps",
      (value) => Array.isArray(value) && value.every((one) => asFields(one) !== undefined),
    );
    return (list ?? []).map((fields, at) => new Part(fields, this.#document, [...this.#path, key, at], this.#found));
  }

  /** There is nothing in these that could be carried over, or that would be missed. */
  skip(...keys: readonly string[]): void {
    for (const key of keys) this.#asked.add(key);
  }

  /** Names of what has a value and was not asked for. */
  get left(): readonly string[] {
    return Object.keys(this.fields).filter((key) => !this.#asked.has(key) && !isEmpty(this.fields[key]));
  }

  noteLeft(message = "has no counterpart: left out"): void {
    for (const key of this.left) this.note(key, message);
  }

  problemLeft(message: string): void {
    for (const key of this.left) this.problem(key, message);
  }

  #kind<Value>(key: string, form: string, isFine: (value: unknown) => boolean): Value | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (isFine(value)) return value as Value;
    this.problem(key, form);
    return undefined;
  }
}

/** {} and [] say nothing, and so does what is not set. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
