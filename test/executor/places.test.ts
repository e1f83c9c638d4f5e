import { expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { placesOf, readGuardFile, writeGuardFile } from "../../src/executor/guard/places.ts";

test("a copied data directory does not lead to the guard of the first one", () => {
  const parent = mkdtempSync(join(tmpdir(), "skein-places-"));
  try {
    const first = placesOf(mkdtempSync(join(parent, "a")));
    writeGuardFile(first, { version: 1, marker: first.marker, pid: 1, socket: join(first.dataDir, "guard.sock") });
    expect(readGuardFile(first)?.pid).toBe(1);
    const copy = join(parent, "copy");
    cpSync(first.dataDir, copy, { recursive: true });
    expect(readGuardFile(placesOf(copy))).toBeUndefined();
  } finally {
    rmSync(parent, { recursive: true });
  }
});
