import { expect, test } from "bun:test";
import { zonesText } from "../../src/cli/zones-note.ts";

test("nodes whose zones' data are alike need no word, and who has not said anything is not counted", () => {
  const nodes = [
    { name: "a", zones: "2026a 1" },
    { name: "b", zones: "2026a 1" },
    { name: "old", zones: null },
  ];
  expect(zonesText(nodes)).toBeUndefined();
});

test("nodes whose zones' data differ are named, by what they have", () => {
  const nodes = [
    { name: "a", zones: "2026a 1" },
    { name: "b", zones: "2026b 2" },
    { name: "c", zones: "2026a 1" },
  ];
  expect(zonesText(nodes)).toContain("2026a 1 (a, c) | 2026b 2 (b)");
});
