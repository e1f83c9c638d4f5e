import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { findBadUtf8, placeOfByte } from "../../src/lib/utf8.ts";

/** The longest beginning that decodes, or that more bytes could make decode. */
function naive(bytes: Uint8Array): number | undefined {
  const isText = (some: Uint8Array): boolean => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(some);
      return true;
    } catch {
      return false;
    }
  };
  if (isText(bytes)) return undefined;
  for (let length = bytes.length; length > 0; length--) if (isText(bytes.subarray(0, length))) return length;
  return 0;
}

test("the first byte that is no UTF-8 is found where a strict decoder stops", () => {
  const bytes = fc.oneof(
    fc.constantFrom("a", "é", "€", "😀", "\n").map((text) => [...Buffer.from(text)]),
    fc.constantFrom(
      [0xc0, 0x80],
      [0xe0, 0x80, 0x80],
      [0xed, 0xa0, 0x80],
      [0xf4, 0x90, 0x80, 0x80],
      [0x80],
      [0xe2, 0x82],
    ),
    fc.integer({ min: 0, max: 255 }).map((byte) => [byte]),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 12 }), (parts) => {
      const all = Uint8Array.from(parts.flat());
      expect(findBadUtf8(all)).toBe(naive(all));
    }),
    { numRuns: 3000 },
  );
  expect(placeOfByte(Buffer.from("ab\nc\nde"), 6)).toEqual({ line: 3, column: 2 });
});
