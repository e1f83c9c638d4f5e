/** The newest values by their names, at most `entries` of them. */
export class Recent<Value> {
  readonly #half: number;
  // The older half goes at once: to look for the single oldest one of a map, out of which as many were taken, costs more than most values are worth.
  #young = new Map<string, Value>();
  #old: ReadonlyMap<string, Value> = new Map();

  constructor(entries: number) {
    this.#half = entries / 2;
  }

  get(name: string): Value | undefined {
    return this.#young.get(name) ?? this.#old.get(name);
  }

  set(name: string, value: Value): void {
    if (this.#young.size >= this.#half) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(name, value);
  }
}

/**
 * Remembers what `read` made of the newest texts, at most `entries` of them and none longer than `textLength`: a fleet's jobs are alike, and reading the
 * same text again would give the same. Whoever gets a value shares it with others, and may not change it.
 */
export function memoOfTexts<Value extends object | boolean | string>(
  read: (text: string) => Value,
  { entries = 256, textLength = 2048 } = {},
): (text: string) => Value {
  const recent = new Recent<Value>(entries);
  return (text) => {
    const before = recent.get(text);
    if (before !== undefined) return before;
    const value = read(text);
    if (text.length <= textLength) recent.set(text, value);
    return value;
  };
}
