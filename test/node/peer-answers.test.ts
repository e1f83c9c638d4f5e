import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { decode, encode } from "../../src/lib/codec.ts";
import { Fault } from "../../src/lib/fault.ts";
import * as answers from "../../src/node/peer-answers.ts";

const good: Readonly<Record<keyof typeof answers, readonly unknown[]>> = {
  forwardReply: [
    { ok: true },
    { ok: false, why: "not-leader" },
    { ok: false, why: "busy" },
    {
      ok: false,
      why: "turned-away",
      away: [{ at: 3, why: { code: "busy", message: "full", retryAfterMs: 1000, limit: "jobs" } }],
    },
  ],
  readIndex: [7, 0],
  knownLeader: [0, 3],
  leaseGrant: [
    { kind: "lost" },
    { kind: "granted", index: 7, clock: { own: -1.5, off: [[2, 6000.25]] } },
    { kind: "granted", index: 7, clock: { own: null, off: [] } },
  ],
  silentNodes: [[], [2, 3]],
  hashAnswer: ["0123456789abcdef", ""],
  undecidedAnswer: [{ index: 7, groups: [[1, 2], [3]] }],
  snapshotChunk: [{ data: new Uint8Array([1, 2]), crc: 7 }],
  logPage: [
    { attempt: 1, chunks: [{ stream: "stderr", at: 1.5, bytes: new Uint8Array([1]) }], next: 1, end: true },
    { attempt: 2, chunks: [], next: 0, end: false },
  ],
  copyPage: [{ attempt: 2, chunks: [], next: 0, end: true, whole: 9 }],
  packHeld: [{ end: 0 }, { end: 67_108_864 }],
  sourceLooked: [{ kind: "pinned" }, { kind: "failed", why: "there is no such ref" }],
  manifestText: ["{}"],
  blobAnswers: [[new Uint8Array([1]), null], []],
  blobPiece: [new Uint8Array([1, 2]), null],
  blobsHad: [[true, false], []],
  bundleTaken: [{ held: true }],
};

test.each(Object.entries(answers))(
  "%s: good ones come through as they were sent, all others are a fault",
  (name, read) => {
    for (const answer of good[name as keyof typeof answers])
      expect(read(decode(encode(answer))) as unknown).toEqual(answer);
    const parts = good[name as keyof typeof answers].flatMap((one) =>
      typeof one === "object" && one !== null
        ? Object.keys(one).map((key) => fc.anything().map((part): unknown => ({ ...one, [key]: part })))
        : [],
    );
    fc.assert(
      fc.property(fc.oneof(fc.anything(), ...parts), (answer) => {
        try {
          read(answer);
        } catch (error) {
          expect(error).toBeInstanceOf(Fault);
          expect((error as Fault).code).toBe("protocol");
        }
      }),
      { numRuns: 1000 },
    );
  },
);

test.each([
  ["forwardReply", null],
  ["forwardReply", { ok: false, why: "tired" }],
  ["readIndex", -1],
  ["knownLeader", "1"],
  ["leaseGrant", { kind: "granted", index: Number.NaN }],
  ["leaseGrant", { kind: "granted", index: 1, clock: { own: 1, off: 7 } }],
  ["leaseGrant", "granted"],
  ["silentNodes", [2, "3"]],
  ["hashAnswer", {}],
  ["undecidedAnswer", { index: 1, groups: [7] }],
  ["sourceLooked", { kind: "failed" }],
  ["snapshotChunk", { data: "text", crc: 1 }],
  ["logPage", { attempt: 1, chunks: [null], next: 0, end: true }],
] as const)("%s: a wrong one is as good as none: %#", (name, answer) => {
  const read = new Map<string, (body: unknown) => unknown>(Object.entries(answers)).get(name)!;
  expect(() => read(answer)).toThrow(Fault);
});
