import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../../scripts/steps.ts";

/** docs/jobs.md answers 24 complaints about other systems, each with tests by their names. */
const text = readFileSync(path.join(root, "docs/jobs.md"), "utf8");
const rows = text
  .slice(text.indexOf("## What users of others suffer from"))
  .split("\n")
  .map((line) => line.split(" | "))
  .flatMap(([number, , answer, tests]) => {
    const at = Number(/^\| (\d+)$/.exec(number ?? "")?.[1]);
    return Number.isNaN(at) || answer === undefined || tests === undefined ? [] : [{ at, answer, tests }];
  });

test("each complaint has its answer, once", () => {
  expect(rows.map(({ at }) => at)).toEqual(Array.from({ length: 24 }, (_, at) => at + 1));
});

test.each(rows)("the tests that hold the answer to $at are there", ({ tests }) => {
  const named = [...tests.matchAll(/((?:"[^"]+"(?: and )?)+) in `([^`]+)`/g)];
  expect(named.length).toBeGreaterThan(0);
  for (const [, names, file] of named) {
    const source = readFileSync(path.join(root, file!), "utf8");
    for (const [, name] of names!.matchAll(/"([^"]+)"/g))
      expect([file, name, source.includes(name!)]).toEqual([file, name, true]);
  }
});
