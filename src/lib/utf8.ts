/** Where bytes stop being UTF-8: the offset of the first byte of a character that is none (overlong, a surrogate, past the last one, or cut off); undefined: nowhere. */
export function findBadUtf8(bytes: Uint8Array): number | undefined {
  for (let at = 0; at < bytes.length;) {
    const length = characterAt(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return undefined;
}

/** How many bytes the character at `at` has; 0: it is none. */
function characterAt(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  // Of some first bytes not all second ones are allowed.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let more = 2; more < length; more++) if (((bytes[at + more] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/** Line and column, from 1, of an offset in bytes; columns count bytes of the line. */
export function placeOfByte(bytes: Uint8Array, offset: number): { readonly line: number; readonly column: number } {
  let line = 1;
  let begins = 0;
  for (let at = bytes.indexOf(10); at !== -1 && at < offset; at = bytes.indexOf(10, at + 1)) {
    line += 1;
    begins = at + 1;
  }
  return { line, column: offset - begins + 1 };
}
