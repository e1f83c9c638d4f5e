import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { repeatedKey } from "../../src/lib/json-keys.ts";
import { atOnce } from "../../src/lib/turns.ts";

const found = (text: string): unknown => atOnce(repeatedKey(text));

test("what a value is written as has no key twice, and one that is put in again is found, wherever it is", () => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }),
      fc.boolean(),
      (json, map, isSpaced) => {
        const write = (value: unknown): string => JSON.stringify(value, null, isSpaced ? 1 : 0);
        const inner = write(map);
        expect(found(`[${json},${inner}]`)).toBeUndefined();
        const [key] = Object.keys(map);
        const twice = `${inner.slice(0, -1)},${JSON.stringify(key)}:{}}`;
        expect(found(`[${json},${twice},${json}]`)).toMatchObject({ key });
      },
    ),
    { numRuns: 2000 },
  );
});

test("a key's escapes do not hide it, objects within have keys of their own, and many keys are many", () => {
  expect(found('{"a":1,\n "\\u0061":2}')).toEqual({ key: "a", line: 2, column: 2 });
  expect(found('{"a":{"a":{"b":1},"b":[{"a":1},{"a":2}]},"b":"\\\\"}')).toBeUndefined();
  const many = Array.from({ length: 500_000 }, (_, at) => `"k${at}":{"k":0}`).join(",");
  expect(found(`{${many}}`)).toBeUndefined();
  expect(found(`{${many},"k7":1}`)).toMatchObject({ key: "k7" });
  expect(found("[".repeat(200_000) + "]".repeat(200_000))).toBeUndefined();
});
