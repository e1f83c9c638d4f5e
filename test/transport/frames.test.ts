import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { encode } from "../../src/lib/codec.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import type { Entry, Message } from "../../src/raft/types.ts";
import { decodeMessages, encodeEntries, encodeMessages } from "../../src/transport/frames.ts";

const anIndex = fc.maxSafeNat().map(index);
const aTerm = fc.maxSafeNat().map(term);
const envelope = { from: fc.maxSafeNat().map(nodeId), to: fc.maxSafeNat().map(nodeId), term: aTerm };
const kind = <const Kind extends string>(name: Kind) => fc.constant(name);

const appendRequest = fc
  .record({
    kind: kind("append-request"),
    ...envelope,
    previousIndex: fc.nat().map(index),
    previousTerm: aTerm,
    commit: anIndex,
    entries: fc.array(
      fc.record({
        term: aTerm,
        kind: fc.constantFrom("noop" as const, "command" as const, "configuration" as const),
        data: fc.uint8Array({ maxLength: 300 }),
      }),
      { maxLength: 8 },
    ),
  })
  .map((message) => ({
    ...message,
    entries: message.entries.map((one, offset): Entry => ({
      ...one,
      index: index(message.previousIndex + 1 + offset),
    })),
  }));

const anyMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ kind: kind("pre-vote-request"), ...envelope, lastIndex: anIndex, lastTerm: aTerm }),
  fc.record({ kind: kind("pre-vote-response"), ...envelope, granted: fc.boolean() }),
  fc.record({ kind: kind("vote-request"), ...envelope, lastIndex: anIndex, lastTerm: aTerm, transfer: fc.boolean() }),
  fc.record({ kind: kind("vote-response"), ...envelope, granted: fc.boolean() }),
  appendRequest,
  fc.record({ kind: kind("append-response"), ...envelope, match: anIndex }),
  fc.record({
    kind: kind("append-rejection"),
    ...envelope,
    rejected: anIndex,
    hintIndex: anIndex,
    hintTerm: aTerm,
    repairing: fc.boolean(),
  }),
  fc.record({ kind: kind("heartbeat-request"), ...envelope, commit: anIndex, round: fc.maxSafeNat() }),
  fc.record({ kind: kind("heartbeat-response"), ...envelope, round: fc.maxSafeNat(), slowDisk: fc.boolean() }),
  fc.record({ kind: kind("timeout-now"), ...envelope }),
);

/** Views are compared by their bytes, whatever buffer they belong to. */
function plain(messages: readonly Message[]): unknown {
  return messages.map((message) =>
    message.kind === "append-request"
      ? { ...message, entries: message.entries.map((one) => ({ ...one, data: Array.from(one.data) })) }
      : message,
  );
}

test("any messages come out of a frame as they went in", () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 10 }), (messages) => {
      expect(plain(decodeMessages(encodeMessages(messages)))).toEqual(plain(messages));
    }),
    { numRuns: 300 },
  );
});

test("any bytes are messages or a protocol fault, never another error", () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), (messages, at, byte) => {
      const frame = new Uint8Array(encodeMessages(messages));
      frame[at % frame.length] = byte;
      try {
        decodeMessages(frame);
      } catch (error) {
        expect(error).toBeInstanceOf(Fault);
        expect((error as Fault).code).toBe("protocol");
      }
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["no list", encode({ a: 1 })],
  ["an unknown kind", encode([[99, 1, 2, 3]])],
  ["a negative term", encode([[10, 1, 2, -1]])],
  ["a missing field", encode([[6, 1, 2, 3]])],
  ["a fraction", encode([[6, 1, 2, 3, 1.5]])],
  ["entries with a gap", encode([[5, 1, 2, 3, 10, 3, 9, encode([[12, 3, 1, new Uint8Array(1)]])]])],
])("a frame with %s is a protocol fault", (_what, frame) => {
  expect(() => decodeMessages(frame)).toThrow(Fault);
});

test("entries that go to several followers are encoded once", () => {
  const entries: Entry[] = [{ index: index(1), term: term(1), kind: "command", data: new Uint8Array([1, 2]) }];
  expect(encodeEntries(entries)).toBe(encodeEntries(entries));
  expect(encodeEntries([...entries])).not.toBe(encodeEntries(entries));
});
