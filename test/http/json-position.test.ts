import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { findJsonFault } from "../../src/http/json-position.ts";

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test("a fault is found exactly where JSON.parse finds one, for any damage to any JSON", () => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.nat(),
      fc.constantFrom("", ",", "}", "]", '"', "\\", "x", ":", "\n", "0", "-"),
      (json, where, put) => {
        const at = where % (json.length + 1);
        const text = json.slice(0, at) + put + json.slice(at + 1);
        expect([text, findJsonFault(text) === undefined]).toEqual([text, isJson(text)]);
      },
    ),
    { numRuns: 2000 },
  );
});

test("depth does not matter", () => {
  const deep = "[".repeat(200_000);
  expect(findJsonFault(deep)?.offset).toBe(200_000);
  expect(findJsonFault(deep + "]".repeat(200_000))).toBeUndefined();
});

test.each([
  ['{"a": tru}', 1, 7, "expected a value"],
  ['{"a" 1}', 1, 6, 'expected ":"'],
  ["[1,\n2,\n]", 3, 1, "expected a value"],
  ["{'a': 1}", 1, 2, "double quotes"],
  ['{"a": "b\n"}', 1, 7, "control character"],
  ["[1 2]", 1, 4, 'expected "," or "]"'],
  ["1 2", 1, 3, "expected the end"],
  ["[1", 1, 3, "the text ends here"],
])("%j: line %d, column %d", (text, line, column, message) => {
  const fault = findJsonFault(text)!;
  expect([fault.line, fault.column]).toEqual([line, column]);
  expect(fault.message).toContain(message);
});
