import { sha256Form } from "./digest.ts";
import { Fault } from "./fault.ts";
import { limits } from "./limits.ts";

/**
 * Files of a push as they travel to a node: one after the other, each with a head of 52 bytes before its own.
 *
 *   32 bytes  SHA-256 of the file
 *    8 bytes  its size
 *    8 bytes  where these bytes stand in it
 *    4 bytes  how many they are
 *
 * A small file is one such piece, many of which make a request; a large one has a request for each piece. Numbers are unsigned, the highest byte first.
 */
export interface UploadPiece {
  readonly sha256: string;
  readonly size: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What a request with files is sent as. */
export const uploadType = "application/vnd.skein.files";

/** The bytes of a head. */
export const uploadHeadBytes = 52;

/** The head of a piece. */
export function uploadHead({ sha256, size, offset, bytes }: UploadPiece): Uint8Array {
  const head = new Uint8Array(uploadHeadBytes);
  for (let at = 0; at < 32; at++) head[at] = Number.parseInt(sha256.slice(2 * at, 2 * at + 2), 16);
  const view = new DataView(head.buffer);
  view.setBigUint64(32, BigInt(size));
  view.setBigUint64(40, BigInt(offset));
  view.setUint32(48, bytes.length);
  return head;
}

/** The pieces of a request. Throws Fault "protocol" with what is wrong. */
export function uploadPieces(body: Uint8Array): UploadPiece[] {
  const pieces: UploadPiece[] = [];
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let at = 0; at < body.length;) {
    if (at + uploadHeadBytes > body.length) throw wrong("it ends within the head of a file");
    const sha256 = Array.from(body.subarray(at, at + 32), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const [size, offset] = [Number(view.getBigUint64(at + 32)), Number(view.getBigUint64(at + 40))];
    const length = view.getUint32(at + 48);
    const start = at + uploadHeadBytes;
    if (!sha256Form.test(sha256) || size > limits.bundleFileBytes || offset + length > size)
      throw wrong(`the head at byte ${at} makes no sense`);
    if (start + length > body.length) throw wrong("it ends within a file");
    if (size <= limits.blobPieceBytes && length !== size) throw wrong("a small file is not all there");
    pieces.push({ sha256, size, offset, bytes: body.subarray(start, start + length) });
    at = start + length;
  }
  return pieces;
}

function wrong(why: string): Fault {
  return new Fault("protocol", `these are no files of a bundle: ${why}`, "never");
}
