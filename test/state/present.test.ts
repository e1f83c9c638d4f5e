import { expect, test } from "bun:test";
import { assert, constantFrom, dictionary, property } from "fast-check";
import { z } from "zod";
import { parsePresent } from "../../src/state/commands/present.ts";
import { specFields } from "../../src/state/commands/spec-schema.ts";

const values: readonly unknown[] = [
  undefined,
  null,
  true,
  0,
  3,
  -1,
  1.5,
  "",
  "noop",
  "shell",
  "ssh",
  "5s",
  "64MiB",
  "zone=eu",
  "10%",
  ["make", "-j4"],
  [],
  { max: 3 },
  { max: -1, jiter: 1 },
  { MODE: "release" },
];
const names = [...Object.keys(specFields.shape), "colour", "constructor", "toString"];

test("what is there is judged as the whole schema judges it, and told in the same words", () => {
  const spec = dictionary(constantFrom(...names), constantFrom(...values), {
    maxKeys: 4,
    noNullPrototype: true,
  });
  assert(
    property(spec, (raw) => {
      const [quick, whole] = [parsePresent(specFields, raw), specFields.safeParse(raw)];
      expect(quick.success).toBe(whole.success);
      expect(quick.data).toEqual(whole.data);
      expect(quick.error?.issues).toEqual(whole.error?.issues);
    }),
    { numRuns: 3000 },
  );
});

test("what is no object, or names what objects have by themselves, is refused", () => {
  for (const raw of [null, undefined, 1, "x", [], JSON.parse('{"__proto__": {"run": "true"}}')])
    expect(parsePresent(specFields, raw).success).toBe(specFields.safeParse(raw).success);
  expect(parsePresent(z.strictObject({ a: z.number().exactOptional() }), { a: undefined }).success).toBe(false);
});
