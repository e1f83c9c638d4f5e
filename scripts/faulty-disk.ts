/**
 * A disk that fails on command, for one node of a mesh: faulty-disk.c is built where it is needed and loaded into the binary and its guard. It
 * hangs, is full, fails a sync, lies about syncs, or loses its power: then what was not synced is taken back, all of it or any part of
 * it, cut at sectors, names of files too. It also sets the wall clock off.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { type Random, randomInteger } from "../src/lib/prng.ts";
import { whyMissing } from "./needed.ts";
import { hashFiles, root, run } from "./steps.ts";

/** Files of a data directory as bits; several are added. Same as in faulty-disk.c. */
export const files = { log: 1, state: 2, outbox: 4, other: 8, all: 31 } as const;

/** The control page's numbers, in order; the last ones are counters of the library. Same as in faulty-disk.c. */
const cells = [
  "journal",
  "stall",
  "full",
  "lie",
  "failSync",
  "failAfter",
  "clockOffMs",
  "writes",
  "syncs",
  "stalled",
  "refused",
  "failed",
  "lied",
] as const;
type Cell = (typeof cells)[number];

let built: Promise<{ readonly library: string } | { readonly missing: string }> | undefined;

/** The library, built into dist where it is not there yet; or why it cannot be had, for people. */
export function faultyDiskLibrary(): Promise<{ readonly library: string } | { readonly missing: string }> {
  built ??= build();
  return built;
}

async function build(): Promise<{ readonly library: string } | { readonly missing: string }> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { missing: `the faulty disk is for Linux on x64, this is ${process.platform} on ${process.arch}` };
  }
  const hasCompiler = (): boolean => spawnSync("cc", ["--version"]).status === 0;
  const missing = whyMissing("a C compiler (cc)", ["gcc", "libc6-dev"], hasCompiler);
  if (missing !== undefined) return { missing };
  const source = path.join(root, "scripts", "faulty-disk.c");
  const library = path.join(root, "dist", `.faulty-disk-${hashFiles(["scripts/faulty-disk.c"]).slice(0, 16)}.so`);
  if (existsSync(library)) return { library };
  mkdirSync(path.dirname(library), { recursive: true });
  const fresh = `${library}.${process.pid}`;
  const words = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", fresh, source, "-ldl", "-lpthread"];
  const compiled = await run("cc", words, { timeoutMs: 60_000 });
  if (compiled.code !== 0) throw new Error(`faulty-disk.c does not compile:\n${compiled.output}`);
  renameSync(fresh, library);
  return { library };
}

/** How much of what was not synced a power cut takes: all of it, nothing of it (as after a mere crash), or any part. */
type Loss = "all" | "some" | "none";

/** What a power cut did. */
export interface PowerLoss {
  readonly loss: Loss;
  /** Changes of files and names that were not synced. */
  readonly unsynced: number;
  readonly undone: number;
  /** Of those undone, writes of which some sectors are there. */
  readonly torn: number;
  /** Names of files whose making, renaming or removal was undone. */
  readonly names: readonly string[];
}

/** Kinds of records of the journal, as in faulty-disk.c. */
const kinds = { write: 1, resize: 2, sync: 3, create: 4, rename: 5, unlink: 6, syncDirectory: 7 } as const;
const headBytes = 64;
const magic = 0x6b736964;
const sectorBytes = 512;

interface Change {
  readonly kind: number;
  readonly order: bigint;
  readonly inode: bigint;
  readonly offset: bigint;
  /** Of the file before. */
  readonly size: bigint;
  /** A path; a second path or the bytes before; the bytes written. */
  readonly parts: readonly [Buffer, Buffer, Buffer];
}

/** The disk of one node. `directory` holds its control page and journals, on the same file system as the data. */
export class FaultyDisk {
  readonly #directory: string;
  readonly #data: string;
  readonly #library: string;
  readonly #page: number;

  constructor(library: string, directory: string, data: string) {
    this.#library = library;
    this.#directory = directory;
    this.#data = data;
    mkdirSync(path.join(directory, "kept"), { recursive: true });
    const control = path.join(directory, "control");
    writeFileSync(control, Buffer.alloc(4096));
    this.#page = openSync(control, "r+");
  }

  /** For the process that is to have this disk. */
  get environment(): Record<string, string> {
    return { LD_PRELOAD: this.#library, FAULTY_DISK: this.#directory, FAULTY_DISK_DATA: this.#data };
  }

  /** A number of the control page; the library sees it at once. */
  set(cell: Cell, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    writeSync(this.#page, bytes, 0, 8, 8 * cells.indexOf(cell));
  }

  get(cell: Cell): number {
    const bytes = Buffer.alloc(8);
    readSync(this.#page, bytes, 0, 8, 8 * cells.indexOf(cell));
    return Number(bytes.readBigInt64LE());
  }

  /** Writes are noted from now on, so that a power cut can take them back. */
  journal(): void {
    this.set("journal", 1);
  }

  /** Every fault ends; the journal goes on. */
  heal(): void {
    for (const cell of ["stall", "full", "lie", "failSync", "clockOffMs"] as const) this.set(cell, 0);
  }

  /** The `count`-th sync from now on of these files fails with EIO, and all that follow. */
  failSyncs(mask: number, count = 1): void {
    this.set("failAfter", count);
    this.set("failSync", mask);
  }

  close(): void {
    closeSync(this.#page);
  }

  /** What was noted of writes is no more: the data is another disk's. No process may use it. */
  forget(): void {
    for (const name of readdirSync(this.#directory)) {
      if (name.startsWith("journal.")) rmSync(path.join(this.#directory, name));
    }
    rmSync(path.join(this.#directory, "kept"), { recursive: true });
    mkdirSync(path.join(this.#directory, "kept"));
  }

  /** What would be on this disk after its power went. No process may use it. The journal begins anew. */
  powerLoss(
    random: Random,
    loss: Loss = (["all", "some", "some", "none"] as const)[randomInteger(random, 0, 3)]!,
  ): PowerLoss {
    const changes = this.#read();
    const synced = new Map<bigint, bigint>();
    for (const { kind, inode, offset } of changes) {
      const isSync = kind === kinds.sync || kind === kinds.syncDirectory;
      if (isSync && offset > (synced.get(inode) ?? 0n)) synced.set(inode, offset);
    }
    const lost = { unsynced: 0, undone: 0, torn: 0 };
    const isLost = ({ inode, order }: Change): boolean => order >= (synced.get(inode) ?? 0n);
    const content = changes.filter(({ kind }) => kind === kinds.write || kind === kinds.resize).filter(isLost);
    // Of what is not synced anything may be there; how much so, is drawn for each power cut.
    const keepChance = loss === "all" ? 0 : loss === "none" ? 1 : random();
    const places = this.#places();
    for (const [inode, ofFile] of byInode(content)) {
      const place = places.get(inode);
      lost.unsynced += ofFile.length;
      if (place === undefined || place.endsWith("-shm")) continue;
      const handle = openSync(place, "r+");
      try {
        for (const change of ofFile.toReversed()) undo(handle, change);
        for (const change of ofFile) redo(handle, change, keepChance, random, lost);
      } finally {
        closeSync(handle);
      }
    }
    const names = this.#undoNames(changes, synced, loss, random, lost);
    for (const name of readdirSync(this.#data)) {
      if (name.endsWith("-shm") || name.endsWith(".sock")) rmSync(path.join(this.#data, name), { force: true });
    }
    this.forget();
    return { loss, ...lost, names };
  }

  /** Of what happened to names and is not synced, the later part is lost: file systems keep their own order. */
  #undoNames(
    changes: readonly Change[],
    synced: ReadonlyMap<bigint, bigint>,
    loss: Loss,
    random: Random,
    lost: { unsynced: number; undone: number },
  ): string[] {
    const directories = new Map<string, bigint>();
    const inodeOf = (directory: string): bigint => {
      let inode = directories.get(directory);
      if (inode === undefined) {
        inode = existsSync(directory) ? statSync(directory, { bigint: true }).ino : 0n;
        directories.set(directory, inode);
      }
      return inode;
    };
    const isLost = ({ order, parts }: Change, at: 0 | 1): boolean =>
      parts[at].length > 0 && order >= (synced.get(inodeOf(path.dirname(parts[at].toString()))) ?? 0n);
    const open = changes.filter(
      (change) =>
        (change.kind === kinds.create || change.kind === kinds.unlink || change.kind === kinds.rename) &&
        (isLost(change, 0) || (change.kind === kinds.rename && isLost(change, 1))),
    );
    lost.unsynced += open.length;
    const from = loss === "all" ? 0 : loss === "none" ? open.length : randomInteger(random, 0, open.length);
    const undone = open.slice(from).reverse();
    for (const { kind, inode, offset, parts } of undone) {
      const [one, two] = [parts[0].toString(), parts[1].toString()];
      const kept = (which: bigint): string => path.join(this.#directory, "kept", String(which));
      if (kind === kinds.create) rmSync(one, { force: true });
      else if (kind === kinds.unlink) {
        if (existsSync(kept(inode)) && !existsSync(one)) linkSync(kept(inode), one);
      } else {
        if (existsSync(two)) renameSync(two, one);
        if (offset !== 0n && existsSync(kept(offset))) linkSync(kept(offset), two);
      }
    }
    lost.undone += undone.length;
    return undone.map(({ parts }) => path.relative(this.#data, parts[0].toString()));
  }

  /** Where each inode is now; those whose name is gone are in `kept`. */
  #places(): Map<bigint, string> {
    const places = new Map<bigint, string>();
    const visit = (directory: string): void => {
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        const place = path.join(directory, entry.name);
        if (entry.isDirectory()) visit(place);
        else if (entry.isFile()) places.set(statSync(place, { bigint: true }).ino, place);
      }
    };
    visit(path.join(this.#directory, "kept"));
    visit(this.#data);
    return places;
  }

  /** All records of all processes in their order. The last one of a file may be cut short: its process was killed, and the change not made. */
  #read(): Change[] {
    const changes: Change[] = [];
    for (const name of readdirSync(this.#directory)) {
      if (!name.startsWith("journal.")) continue;
      const bytes = readFileSync(path.join(this.#directory, name));
      for (let at = 0; at + headBytes <= bytes.length;) {
        if (bytes.readUInt32LE(at) !== magic) throw new Error(`${name} is damaged at byte ${at}`);
        const number = (field: number): bigint => bytes.readBigUInt64LE(at + 8 + 8 * field);
        const lengths = [Number(number(4)), Number(number(5)), Number(number(6))] as const;
        const [first, second, third] = [
          at + headBytes,
          at + headBytes + lengths[0],
          at + headBytes + lengths[0] + lengths[1],
        ];
        const end = third + lengths[2];
        if (end > bytes.length) break;
        changes.push({
          kind: bytes.readUInt32LE(at + 4),
          order: number(0),
          inode: number(1),
          offset: number(2),
          size: number(3),
          parts: [bytes.subarray(first, second), bytes.subarray(second, third), bytes.subarray(third, end)],
        });
        at = end;
      }
    }
    return changes.sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  }
}

/** Map.groupBy, which Node 20 lacks. */
function byInode(changes: readonly Change[]): Map<bigint, Change[]> {
  const groups = new Map<bigint, Change[]>();
  for (const change of changes) {
    const group = groups.get(change.inode);
    if (group === undefined) groups.set(change.inode, [change]);
    else group.push(change);
  }
  return groups;
}

function undo(handle: number, { offset, size, parts }: Change): void {
  if (parts[1].length > 0) writeSync(handle, parts[1], 0, parts[1].length, Number(offset));
  ftruncateSync(handle, Number(size));
}

/** The change is there again, or not, or in part. */
function redo(
  handle: number,
  { kind, offset, parts }: Change,
  keepChance: number,
  random: Random,
  lost: { undone: number; torn: number },
): void {
  const isTorn = keepChance > 0 && keepChance < 1 && kind === kinds.write && random() < 0.3;
  if (!isTorn) {
    if (random() >= keepChance) lost.undone++;
    else if (kind === kinds.write) writeSync(handle, parts[2], 0, parts[2].length, Number(offset));
    else ftruncateSync(handle, Number(offset));
    return;
  }
  lost.torn++;
  lost.undone++;
  const begin = Number(offset);
  const end = begin + parts[2].length;
  for (let at = begin; at < end;) {
    const next = Math.min(end, (Math.floor(at / sectorBytes) + 1) * sectorBytes);
    if (random() < 0.5) writeSync(handle, parts[2], at - begin, next - at, at);
    at = next;
  }
}
