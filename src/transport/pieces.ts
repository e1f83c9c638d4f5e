import { assert } from "../lib/assert.ts";
import { limits } from "../lib/limits.ts";
import { malformed } from "./frames.ts";

/**
 * Long frames in pieces, between which others go. A frame of 15 MB holds up whatever is behind it on its socket, a heartbeat among it, for as long as it
 * takes to be encrypted, to travel and to be read; and whoever sends it does nothing else meanwhile. So it is cut, and each piece that has come is
 * confirmed: no more than limits.piecesUnderWay are in the buffers of both hosts and on the way between them, and what is urgent waits behind no more than those.
 *
 *   first piece   0xc1 1 length(4)  bytes      the length is the whole frame's
 *   next ones     0xc1 2            bytes
 *   confirmation  0xc1 3                       of one piece, back on the same socket
 *
 * No MessagePack begins with 0xc1. Pieces of one frame follow each other, with whole frames in between; a socket that closes takes what is half there with it.
 */

const mark = 0xc1;
const first = 1;
const next = 2;
const confirmed = 3;
const firstHeader = 6;
const nextHeader = 2;

/** What the receiver of a piece says. */
export const confirmation: Uint8Array = new Uint8Array([mark, confirmed]);

/** A piece or a confirmation, and not a whole frame. */
export function isPiece(frame: Uint8Array): boolean {
  return frame[0] === mark;
}

/** Throws Fault "protocol" for what is no confirmation. */
export function expectConfirmation(frame: Uint8Array): void {
  if (frame.length !== confirmation.length || frame[1] !== confirmed) throw malformed("confirmation");
}

interface Waiting {
  /** One after the other they are the frame. */
  readonly parts: readonly Uint8Array[];
  readonly length: number;
  readonly settle: (isSent: boolean) => void;
  sent: number;
}

/** The long frames of one socket, in their order, and what must stay behind them. */
export class Lane {
  readonly #send: (piece: Uint8Array) => void;
  #queue: Waiting[] = [];
  #bytes = 0;
  #underWay = 0;

  constructor(send: (piece: Uint8Array) => void) {
    this.#send = send;
  }

  get isBusy(): boolean {
    return this.#queue.length > 0;
  }

  /** Of what has not left yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `settle` is told once: all of it has left, or the socket closed before. */
  push(parts: readonly Uint8Array[], settle: (isSent: boolean) => void): void {
    const length = lengthOf(parts);
    this.#queue.push({ parts, length, settle, sent: 0 });
    this.#bytes += length;
    this.#go();
  }

  /** The other side has a piece. Throws Fault "protocol" where none was under way. */
  confirmed(): void {
    if (this.#underWay === 0) throw malformed("confirmation");
    this.#underWay -= 1;
    this.#go();
  }

  /** The socket is closed. */
  closed(): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#bytes = 0;
    for (const { settle } of queue) settle(false);
  }

  #go(): void {
    while (this.#underWay < limits.piecesUnderWay) {
      const waiting = this.#queue[0];
      if (waiting === undefined) return;
      const { sent, length } = waiting;
      const end = Math.min(length, sent + limits.pieceBytes);
      this.#underWay += 1;
      this.#bytes -= end - sent;
      waiting.sent = end;
      if (end === length) this.#queue.shift();
      this.#send(pieceOf(waiting, sent, end));
      if (end === length) waiting.settle(true);
    }
  }
}

/** Of the frame that the parts are. */
export function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function pieceOf({ parts, length }: Waiting, from: number, to: number): Uint8Array {
  const header = from === 0 ? firstHeader : nextHeader;
  const piece = new Uint8Array(header + to - from);
  piece[0] = mark;
  piece[1] = from === 0 ? first : next;
  if (from === 0) new DataView(piece.buffer).setUint32(2, length);
  let before = 0;
  for (const part of parts) {
    const [first, last] = [Math.max(from, before), Math.min(to, before + part.length)];
    if (first < last) piece.set(part.subarray(first - before, last - before), header + first - from);
    before += part.length;
  }
  return piece;
}

/** Puts the pieces of one socket together: one frame at a time, of limits.frameBytes at most. */
export class Assembly {
  #frame: Uint8Array | undefined;
  #filled = 0;

  /** The frame, once it is whole. Throws Fault "protocol". */
  take(piece: Uint8Array): Uint8Array | undefined {
    const isFirst = piece[1] === first;
    if (!isFirst && piece[1] !== next) throw malformed("kind of piece");
    if (isFirst !== (this.#frame === undefined)) throw malformed("order of pieces");
    const bytes = piece.subarray(isFirst ? firstHeader : nextHeader);
    if (bytes.length === 0) throw malformed("length of a piece");
    if (isFirst) {
      const length = new DataView(piece.buffer, piece.byteOffset).getUint32(2);
      if (length > limits.frameBytes) throw malformed("length of a frame");
      this.#frame = new Uint8Array(length);
      this.#filled = 0;
    }
    const frame = this.#frame;
    assert(frame !== undefined, "a first piece has begun the frame");
    if (this.#filled + bytes.length > frame.length) throw malformed("length of a piece");
    frame.set(bytes, this.#filled);
    this.#filled += bytes.length;
    if (this.#filled < frame.length) return undefined;
    this.#frame = undefined;
    return frame;
  }
}
