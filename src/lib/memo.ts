/**
 * Remembers what `read` made of the newest texts, at most `entries` of them and none longer than `textLength`: a fleet's jobs are alike, and reading the
 * same text again would give the same. Whoever gets a value shares it with others, and may not change it.
 */
export function memoOfTexts<Value extends object | boolean>(
  read: (text: string) => Value,
  { entries = 256, textLength = 2048 } = {},
): (text: string) => Value {
  const known = new Map<string, Value>();
  return (text) => {
    const before = known.get(text);
    if (before !== undefined) return before;
    const value = read(text);
    if (text.length > textLength) return value;
    if (known.size >= entries) for (const [oldest] of known) if (known.delete(oldest)) break;
    known.set(text, value);
    return value;
  };
}
