import { unreachable } from "../lib/assert.ts";
import { decode, encode } from "../lib/codec.ts";
import { decodeConfiguration, encodeConfiguration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index, nodeId, term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Entry, EntryKind, Message } from "../raft/types.ts";

/**
 * Raft messages on the wire: a frame is a list of messages, a message a positional list that begins with its kind's number.
 * Everything that arrives is checked here; what does not fit is a Fault "protocol" and closes its socket.
 */

const kinds = {
  "pre-vote-request": 1,
  "pre-vote-response": 2,
  "vote-request": 3,
  "vote-response": 4,
  "append-request": 5,
  "append-response": 6,
  "append-rejection": 7,
  "heartbeat-request": 8,
  "heartbeat-response": 9,
  "timeout-now": 10,
  "snapshot-request": 11,
} as const satisfies { readonly [Kind in Message["kind"]]: number };

const kindOf: ReadonlyMap<number, Message["kind"]> = new Map(
  Object.entries(kinds).map(([kind, number]) => [number, kind as Message["kind"]]),
);
const entryKinds: readonly EntryKind[] = ["noop", "command", "configuration"];

/** The bytes of one frame. */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  return encode(
    messages.map((message) => [kinds[message.kind], message.from, message.to, message.term, ...fields(message)]),
  );
}

function fields(message: Message): unknown[] {
  switch (message.kind) {
    case "pre-vote-request":
      return [message.lastIndex, message.lastTerm];
    case "vote-request":
      return [message.lastIndex, message.lastTerm, message.transfer];
    case "pre-vote-response":
    case "vote-response":
      return [message.granted];
    case "append-request":
      return [message.previousIndex, message.previousTerm, message.commit, encodeEntries(message.entries)];
    case "append-response":
      return [message.match];
    case "append-rejection":
      return [message.rejected, message.hintIndex, message.hintTerm, message.repairing];
    case "heartbeat-request":
      return [message.commit, message.round];
    case "heartbeat-response":
      return [message.round, message.slowDisk];
    case "timeout-now":
      return [];
    case "snapshot-request":
      return [message.snapshot.index, message.snapshot.term, encodeConfiguration(message.snapshot.configuration)];
    default:
      return unreachable(message, "message to send");
  }
}

/**
 * The same bytes of one append of one long entry, in two parts of which the second is the entry's own data: sixteen megabytes are not copied four times for a
 * frame of them. Undefined: it is no such message.
 */
export function partsOfLong(message: Message): readonly [head: Uint8Array, data: Uint8Array] | undefined {
  if (message.kind !== "append-request" || message.entries.length !== 1) return undefined;
  const [entry] = message.entries;
  if (entry === undefined || entry.data.length <= limits.pieceBytes) return undefined;
  const { from, to, previousIndex, previousTerm, commit } = message;
  const data = beforeLast([[entry.index, entry.term, entryKinds.indexOf(entry.kind), noBytes]], entry.data.length);
  const fieldsBefore = [kinds[message.kind], from, to, message.term, previousIndex, previousTerm, commit];
  const block = beforeLast([[...fieldsBefore, noBytes]], data.length + entry.data.length);
  return [Buffer.concat([block, data]), entry.data];
}

const noBytes = new Uint8Array(0);

/** How the value is encoded whose last bytes are so many, and not none: without them. */
function beforeLast(value: unknown, length: number): Uint8Array {
  const short = encode(value);
  const bytes = new Uint8Array(short.length - 2 + 5);
  bytes.set(short.subarray(0, -2)); // what is left out: c4 00
  bytes[bytes.length - 5] = 0xc6;
  new DataView(bytes.buffer).setUint32(bytes.length - 4, length);
  return bytes;
}

/** By identity of the list: the leader hands the same one to all followers that are at the same place. */
const blocks = new WeakMap<readonly Entry[], Uint8Array>();

/** Entries as one block, encoded once for all who get them. */
export function encodeEntries(entries: readonly Entry[]): Uint8Array {
  const known = blocks.get(entries);
  if (known !== undefined) return known;
  const block = encode(entries.map((entry) => [entry.index, entry.term, entryKinds.indexOf(entry.kind), entry.data]));
  blocks.set(entries, block);
  return block;
}

/** Data of the entries are views of the frame. Throws Fault "protocol". */
export function decodeMessages(frame: Uint8Array): Message[] {
  return list(decodeFrame(frame), "frame").map(decodeMessage);
}

function decodeMessage(value: unknown): Message {
  const [number, from, to, messageTerm, ...rest] = list(value, "message");
  const kind = kindOf.get(number as number);
  if (kind === undefined) throw malformed("kind of message");
  const envelope = { from: nodeId(whole(from)), to: nodeId(whole(to)), term: term(whole(messageTerm)) };
  switch (kind) {
    case "pre-vote-request":
      return { kind, ...envelope, lastIndex: index(whole(rest[0])), lastTerm: term(whole(rest[1])) };
    case "vote-request":
      return {
        kind,
        ...envelope,
        lastIndex: index(whole(rest[0])),
        lastTerm: term(whole(rest[1])),
        transfer: flag(rest[2]),
      };
    case "pre-vote-response":
    case "vote-response":
      return { kind, ...envelope, granted: flag(rest[0]) };
    case "append-request": {
      const previousIndex = index(whole(rest[0]));
      return {
        kind,
        ...envelope,
        previousIndex,
        previousTerm: term(whole(rest[1])),
        commit: index(whole(rest[2])),
        entries: decodeEntries(rest[3], previousIndex + 1),
      };
    }
    case "append-response":
      return { kind, ...envelope, match: index(whole(rest[0])) };
    case "append-rejection":
      return {
        kind,
        ...envelope,
        rejected: index(whole(rest[0])),
        hintIndex: index(whole(rest[1])),
        hintTerm: term(whole(rest[2])),
        repairing: rest[3] === true,
      };
    case "heartbeat-request":
      return { kind, ...envelope, commit: index(whole(rest[0])), round: whole(rest[1]) };
    case "heartbeat-response":
      return { kind, ...envelope, round: whole(rest[0]), slowDisk: rest[1] === true };
    case "timeout-now":
      return { kind, ...envelope };
    case "snapshot-request": {
      const configuration = decodeConfiguration(binary(rest[2]));
      if (configuration === undefined) throw malformed("configuration");
      return {
        kind,
        ...envelope,
        snapshot: { index: index(whole(rest[0])), term: term(whole(rest[1])), configuration },
      };
    }
    default:
      return unreachable(kind, "kind of message");
  }
}

/** They must follow each other from `first` on: a gap would be a hole in the log. */
export function decodeEntries(block: unknown, first: number): Entry[] {
  return list(decodeFrame(binary(block)), "entries").map((value, offset) => {
    const [entryIndex, entryTerm, kindNumber, data] = list(value, "entry");
    const kind = entryKinds[kindNumber as number];
    if (kind === undefined) throw malformed("kind of entry");
    if (entryIndex !== first + offset) throw malformed("order of entries");
    return { index: index(first + offset), term: term(whole(entryTerm)), kind, data: binary(data) };
  });
}

/** Decodes MessagePack of a peer. Throws Fault "protocol". */
export function decodeFrame(bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch (error) {
    throw malformed("MessagePack", error);
  }
}

/** The value as a list, or Fault "protocol". */
export function list(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw malformed(what);
  return value;
}

/** The value as a whole number from 0 on that a double holds exactly, or Fault "protocol". */
export function whole(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw malformed("number");
  return value as number;
}

/** The value as bytes, or Fault "protocol". */
export function binary(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed("bytes");
  return value;
}

/** The value as text, or Fault "protocol". */
export function text(value: unknown): string {
  if (typeof value !== "string") throw malformed("text");
  return value;
}

function flag(value: unknown): boolean {
  if (typeof value !== "boolean") throw malformed("flag");
  return value;
}

/** What a peer sent makes no sense: its socket is closed. */
export function malformed(what: string, cause?: unknown): Fault {
  return new Fault("protocol", `a frame with a wrong ${what}`, "unknown", cause);
}
