import { createHash } from "node:crypto";
import { expect, test } from "bun:test";
import {
  backupHeadBytesMax,
  type BackupManifest,
  encodeBackupHead,
  parseBackupHead,
} from "../../src/lib/backup-file.ts";

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const manifest: BackupManifest = {
  format: 1,
  cluster: "c1",
  epoch: "0",
  index: 7,
  term: 2,
  level: 3,
  hash: "00ff",
  configuration: { voters: [1], outgoing: [], learners: [] },
  made_at: "2026-01-01T00:00:00.000Z",
  made_by: { node: 1, name: "n1", version: "0.1.0" },
  bytes: 4096,
  sha256: "ab".repeat(32),
};
const head = encodeBackupHead(manifest, digest);

function problemOf(bytes: Uint8Array): string {
  const parsed = parseBackupHead(bytes, digest);
  return "problem" in parsed ? parsed.problem : "none";
}

test("a head says what it is of, and where the state begins", () => {
  const file = Buffer.concat([head, new Uint8Array(4096)]);
  expect(parseBackupHead(file, digest)).toEqual({ manifest, stateFrom: head.length });
  expect(head.length).toBeLessThan(backupHeadBytesMax);
});

test("cut at any length it is none", () => {
  for (let length = 0; length < head.length; length++) {
    const problem = problemOf(head.subarray(0, length));
    expect([length, problem]).toEqual([length, expect.stringMatching(/cut short|no backup of skein/)]);
  }
});

test("with any bit of it flipped it is none", () => {
  for (let at = 0; at < head.length; at++) {
    for (const bit of [1, 0x10, 0x80]) {
      const flipped = Uint8Array.from(head);
      flipped[at]! ^= bit;
      expect([at, bit, problemOf(flipped)]).not.toEqual([at, bit, "none"]);
    }
  }
});

test.each([
  ["", "is no backup of skein"],
  ["SQLite format 3\0", "is no backup of skein"],
  [`skein-backup 2 10 ${"a".repeat(64)}\n`, "format 2"],
  [`skein-backup 1 99999999 ${"a".repeat(64)}\n`, "cannot be so long"],
  ["skein-backup 1\n", "first line is not whole"],
])("%j: %s", (text, problem) => {
  expect(problemOf(new TextEncoder().encode(text))).toContain(problem);
});

test.each(Object.keys(manifest).filter((key) => !["format", "configuration", "made_by"].includes(key)))(
  "a manifest without %s is of another version",
  (key) => {
    const { [key as keyof BackupManifest]: _, ...rest } = manifest;
    expect(problemOf(encodeBackupHead(rest as BackupManifest, digest))).toContain("another version");
  },
);
