import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { makeSnapshot } from "../../src/node/snapshot-make.ts";
import type { MadeSnapshot } from "../../src/node/snapshot-send.ts";

function copyIn(directory: string): MadeSnapshot {
  const file = path.join(directory, "made-1.db");
  writeFileSync(file, "a state");
  const configuration = { voters: [nodeId(1)], outgoing: [], learners: [], learnersNext: [] };
  return { path: file, snapshot: { index: index(7), term: term(1), configuration }, bytes: 7, sha256: "", hash: "h" };
}

test("a copy that others must not have leaves no file behind, whoever objects", async () => {
  const directory = mkdtempSync(path.join(tmpdir(), "skein-make-"));
  try {
    const made = copyIn(directory);
    const ports = { copy: () => Promise.resolve(made), isRight: () => true, vouch: () => Promise.resolve() };
    expect(await makeSnapshot(ports)).toBe(made);
    expect(existsSync(made.path)).toBe(true);
    const objection = new Fault("data", "another voter has another state", "safe");
    let isRight = true;
    for (const [objecting, words] of [
      [{ vouch: () => Promise.reject(objection) }, "another voter has another state"],
      [{ isRight: () => false }, "not one for others"],
      // The node goes into quarantine while the others are asked.
      [{ isRight: () => isRight, vouch: async () => void (isRight = false) }, "not one for others"],
    ] as const) {
      copyIn(directory);
      const said = await makeSnapshot({ ...ports, ...objecting }).catch((error: unknown) => String(error));
      expect(said).toContain(words);
      expect(existsSync(made.path)).toBe(false);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
