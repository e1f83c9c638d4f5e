/**
 * Remembers what `read` made of the newest texts, at most `entries` of them and none longer than `textLength`: a fleet's jobs are alike, and reading the
 * same text again would give the same. Whoever gets a value shares it with others, and may not change it.
 */
export function memoOfTexts<Value extends object | boolean | string>(
  read: (text: string) => Value,
  { entries = 256, textLength = 2048 } = {},
): (text: string) => Value {
  // The older half goes at once: to look for the single oldest one of a map, out of which as many were taken, costs more than reading a text.
  let young = new Map<string, Value>();
  let old: ReadonlyMap<string, Value> = new Map();
  return (text) => {
    const before = young.get(text) ?? old.get(text);
    if (before !== undefined) return before;
    const value = read(text);
    if (text.length > textLength) return value;
    if (young.size >= entries / 2) {
      old = young;
      young = new Map();
    }
    young.set(text, value);
    return value;
  };
}
