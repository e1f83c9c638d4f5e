import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { firstEpoch } from "../../src/lib/epoch.ts";
import { readFence, writeFence } from "../../src/node/fence.ts";

/** What a node remembers of an epoch that it was told of, and is not part of. */

const second = { number: 2, id: "9f3a52c1" };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), "skein-fence-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("a node that was told of no newer epoch is not fenced", () => {
  expect(readFence(directory, firstEpoch)).toBeUndefined();
});

test("a newer epoch that it was told of fences a node at every start", () => {
  writeFence(directory, second);
  expect(readFence(directory, firstEpoch)).toEqual(second);
  expect(readFence(directory, { number: 1, id: "00000001" })).toEqual(second);
});

test("a node that has come to that epoch since, or to a later one, is free; so is one of another epoch of the same number, which is not newer", () => {
  writeFence(directory, second);
  expect(readFence(directory, second)).toBeUndefined();
  expect(readFence(directory, { number: 3, id: "00000003" })).toBeUndefined();
  expect(readFence(directory, { number: 2, id: "00000002" })).toBeUndefined();
});

test("the newest word stands", () => {
  writeFence(directory, { number: 1, id: "00000001" });
  writeFence(directory, second);
  expect(readFence(directory, firstEpoch)).toEqual(second);
});

test.each([
  ["is cut short", '{"number":2,"id":"9f3a'],
  ["says no epoch", '{"number":"2","id":"9f3a52c1"}'],
])("a file that %s fences nobody: it is written again at the next contact", (_what, text) => {
  writeFileSync(path.join(directory, "fenced.json"), text);
  expect(readFence(directory, firstEpoch)).toBeUndefined();
});
