import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { referencePage } from "../../src/http/reference.ts";

test("docs/reference.md is what the code says (npm run fix writes it)", () => {
  const page = readFileSync(new URL("../../docs/reference.md", import.meta.url), "utf8");
  expect(page).toBe(referencePage());
  expect(page).toContain("job.submit");
});
