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
    await makeSnapshot({ ...ports, vouch: () => Promise.reject(objection) }).catch((error: unknown) => {
      expect(error).toBe(objection);
    });
    expect(existsSync(made.path)).toBe(false);
    copyIn(directory);
    const own = makeSnapshot({ ...ports, isRight: () => false });
    expect(own).rejects.toThrow("not one for others");
    await own.catch(() => {});
    expect(existsSync(made.path)).toBe(false);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
