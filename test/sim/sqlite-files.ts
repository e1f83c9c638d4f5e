import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import type { Random } from "../../src/lib/prng.ts";

/** SQLite's files at a crash: what was synced is there, of the rest any beginning, with bits that may be wrong; the index of the WAL is gone. */

const headerBytes = 32;
const frameHeaderBytes = 24;

/** How far a WAL is synced: its present run, and where in it. */
export interface WalMark {
  readonly salts: string;
  readonly end: number;
}

/** Everything that is in the WAL now. What lay before `known` is not read again. */
export function walMark(path: string, known: WalMark): WalMark {
  const file = `${path}-wal`;
  if (!existsSync(file)) return { salts: "", end: 0 };
  const handle = openSync(file, "r");
  try {
    const read = (at: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(handle, bytes, 0, length, at));
    };
    return markOf(read, fstatSync(handle).size, known);
  } finally {
    closeSync(handle);
  }
}

/** Frames of an earlier run, which lie behind the last one of the present run, have other salts. */
function markOf(read: (at: number, length: number) => Buffer, size: number, known?: WalMark): WalMark {
  const header = read(0, headerBytes);
  if (header.length < headerBytes) return { salts: "", end: 0 };
  const frameBytes = frameHeaderBytes + header.readUInt32BE(8);
  const salts = header.subarray(16, 24);
  const name = salts.toString("hex");
  let end = known?.salts === name ? known.end : headerBytes;
  while (end + frameBytes <= size && read(end + 8, 8).equals(salts)) end += frameBytes;
  return { salts: name, end };
}

export interface FileCrash {
  /** Of the last sync. A run that began since has its header synced: SQLite sees to that before it writes frames. */
  readonly synced: WalMark;
  /** The machine goes on: its cache keeps everything. */
  readonly keepsAll: boolean;
  readonly random: Random;
}

/** Ends the connection as a crash does. `close` closes it in good order, which tidies up; the files are then put back as they were before. */
export function crashFile(
  path: string,
  close: () => void,
  { synced, keepsAll, random }: FileCrash,
): { readonly isCut: boolean } {
  const main = readFileSync(path);
  const wal = existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : Buffer.alloc(0);
  close();
  // Files of their own: whoever has the old ones open still has nothing to do with these.
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
  writeFileSync(path, main);
  const { salts, end } = markOf((at, length) => wal.subarray(at, at + length), wal.length);
  const from = Math.min(salts === synced.salts ? synced.end : headerBytes, end);
  if (keepsAll || end === from) {
    put(`${path}-wal`, wal);
    return { isCut: false };
  }
  const at = from + Math.floor(random() * (end - from));
  const kept = Buffer.from(wal.subarray(0, at));
  if (at > from && random() < 0.4) {
    const place = from + Math.floor(random() * (at - from));
    kept[place] = kept[place]! ^ (1 << Math.floor(random() * 8));
  }
  put(`${path}-wal`, kept);
  return { isCut: true };
}

function put(path: string, bytes: Buffer): void {
  if (bytes.length === 0) rmSync(path, { force: true });
  else writeFileSync(path, bytes);
}
