import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { errorCode } from "./files.ts";

/**
 * What SQLite cannot tell apart: a WAL whose last transaction was torn by a crash, and one that was damaged in its middle. Both end for it at
 * the first frame whose checksum is wrong, and in the second case everything after it, acknowledged and voted, would be gone unnoticed (D3).
 *
 * With synchronous=FULL a transaction is synced before the first frame of the next one is written, and each frame's checksum continues that
 * of the frame before it. So a frame of the present run that continues a commit frame at or after the break proves that the broken transaction
 * had been synced: no crash leaves such a thing, a disk that loses bytes does. The reverse does not hold: damage in the last transaction looks
 * like a torn one. Frames of earlier runs, which lie behind the present one's, have other salts and prove nothing.
 *
 * Format: https://sqlite.org/fileformat2.html#walformat. Taken for granted: a sector of 512 bytes is written whole or not at all, as SQLite
 * itself does where it does not pad transactions to whole sectors ("powersafe overwrite", the default of all our platforms).
 */
export interface WalDamage {
  /** The frame that SQLite would end at, from 1 on; 0: the header. */
  readonly frame: number;
  /** Where it begins in the file. */
  readonly at: number;
}

/** The bytes of a WAL. */
export interface WalSource {
  readonly bytes: number;
  /** Fewer than asked for at the end. */
  read(at: number, length: number): Uint8Array;
}

const headerBytes = 32;
const frameHeaderBytes = 24;
const sectorBytes = 512;
/** With bit 0, checksums read words with the most significant byte first: written where processors do so, and on none of ours. */
const magic = 0x377f0682;

interface Sum {
  readonly first: number;
  readonly second: number;
}

/** What the checksum of the next frame may continue, and whether the frame that it belongs to ends a transaction for certain. */
interface Predecessor {
  readonly sum: Sum;
  readonly isCommit: boolean;
}

/** Damage that a crash cannot have left; undefined: none can be proven. `pageBytes` counts where the WAL's own header does not. */
export function walDamage(wal: WalSource, pageBytes: number): WalDamage | undefined {
  const header = viewOf(wal.read(0, headerBytes));
  if (header.byteLength < headerBytes) return undefined;
  const stored = storedSum(header, 24);
  const computed = (isLittle: boolean): Sum => sumOf(header, 0, 24, isLittle, { first: 0, second: 0 });
  const isBig = header.getUint32(0) === magic + 1 && isSame(computed(false), stored);
  const isHeaderIntact = isBig || (header.getUint32(0) === magic && isSame(computed(true), stored));
  const isLittle = !isBig;
  const frameBytes = frameHeaderBytes + (isHeaderIntact ? header.getUint32(8) : pageBytes);
  let salts = header.getBigUint64(16);
  let broken = isHeaderIntact ? undefined : 0;
  let before: readonly Predecessor[] = [stored, computed(isLittle)].map((sum) => ({ sum, isCommit: false }));
  for (let number = 1, at = headerBytes; at + frameBytes <= wal.bytes; number++, at += frameBytes) {
    const frame = viewOf(wal.read(at, frameBytes));
    if (frame.byteLength < frameBytes) return undefined;
    if (!isHeaderIntact && number === 1) salts = frame.getBigUint64(8);
    const own = storedSum(frame, 16);
    const isOfRun = frame.getBigUint64(8) === salts;
    if (broken !== undefined && !isOfRun) {
      before = [{ sum: own, isCommit: false }];
      continue;
    }
    const follows = before.find(({ sum }) => isSame(continued(frame, isLittle, sum), own));
    const ends = frame.getUint32(4) !== 0;
    if (broken === undefined) {
      if (follows === undefined || !isOfRun) broken = number;
    } else if (follows !== undefined && (follows.isCommit || (broken === 0 && ends))) {
      // A whole transaction after a broken header is proof by itself: the header is synced before any frame is written.
      return { frame: broken, at: broken === 0 ? 0 : headerBytes + (broken - 1) * frameBytes };
    }
    // A frame that follows is what was written, but for its salts, which no checksum covers.
    if (follows !== undefined) before = [{ sum: own, isCommit: ends }];
    else {
      const isCommit = isOfRun && (ends ? !isSplit(at) : hidesCommit(frame, isLittle, before, own));
      // Whoever continues the second sum proves the frame, all but its checksum and its salts.
      const others = before.slice(0, 2).map(({ sum }) => ({ sum: continued(frame, isLittle, sum), isCommit: ends }));
      before = [{ sum: own, isCommit }, ...others];
    }
  }
  return undefined;
}

/** The first words of the frame's header may be older than the rest of it: they lie in the sector before. */
function isSplit(at: number): boolean {
  return at % sectorBytes === sectorBytes - 8;
}

/** The mark of the commit is what is damaged: with one bit of it turned back the checksum is right. */
function hidesCommit(frame: DataView, isLittle: boolean, before: readonly Predecessor[], own: Sum): boolean {
  const turned = viewOf(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength).slice());
  for (let bit = 0; bit < 32; bit++) {
    turned.setUint32(4, 2 ** bit);
    if (before.some(({ sum }) => isSame(continued(turned, isLittle, sum), own))) return true;
  }
  return false;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function storedSum(view: DataView, at: number): Sum {
  return { first: view.getUint32(at), second: view.getUint32(at + 4) };
}

function isSame(a: Sum, b: Sum): boolean {
  return a.first === b.first && a.second === b.second;
}

/** Over the frame's page number, its commit mark and its page. */
function continued(frame: DataView, isLittle: boolean, from: Sum): Sum {
  return sumOf(frame, frameHeaderBytes, frame.byteLength, isLittle, sumOf(frame, 0, 8, isLittle, from));
}

function sumOf(view: DataView, from: number, to: number, isLittle: boolean, { first, second }: Sum): Sum {
  for (let at = from; at < to; at += 8) {
    first = (first + view.getUint32(at, isLittle) + second) >>> 0;
    second = (second + view.getUint32(at + 4, isLittle) + first) >>> 0;
  }
  return { first, second };
}

/** The WAL of a database that nobody has open. Reads it once; throws what the file system throws. */
export function walDamageOf(path: string): WalDamage | undefined {
  const pageBytes = withFile(path, (file) => pageBytesOf(file.read(16, 2))) ?? defaultPageBytes;
  return withFile(`${path}-wal`, (wal) => walDamage(wal, pageBytes));
}

const defaultPageBytes = 4096;

function pageBytesOf(bytes: Uint8Array): number {
  const size = bytes.length < 2 ? 0 : bytes[0]! * 256 + bytes[1]!;
  if (size === 1) return 65_536;
  return size >= 512 && (size & (size - 1)) === 0 ? size : defaultPageBytes;
}

function withFile<Value>(path: string, use: (file: WalSource) => Value): Value | undefined {
  let handle: number;
  try {
    handle = openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return use({
      bytes: fstatSync(handle).size,
      read(at, length) {
        const bytes = new Uint8Array(length);
        return bytes.subarray(0, readSync(handle, bytes, 0, length, at));
      },
    });
  } finally {
    closeSync(handle);
  }
}
