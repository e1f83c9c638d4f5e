import { expect, test } from "bun:test";
import { isOldCopy } from "../../src/node/old-copy.ts";

const known = "7.0123456789ab";

test.each([
  ["6.0123456789ab", true],
  ["7.ba9876543210", true], // the same number twice: one of them is a copy
  [known, false],
  ["8.0123456789ab", false], // the node's own next start, or that of a copy of start 7: nothing tells the two apart
])("a node that says it is in start %s when the log knows of 7: an old copy %p", (said, is) => {
  expect(isOldCopy(known, said)).toBe(is);
});

test("what is no count of starts proves nothing", () => {
  for (const word of ["0123456789abcdef", "7", "", "6.0123", "6.0123456789ab.1"]) {
    expect(isOldCopy(known, word)).toBe(false);
    expect(isOldCopy(word, "6.0123456789ab")).toBe(false);
  }
  expect(isOldCopy(undefined, known)).toBe(false);
});
