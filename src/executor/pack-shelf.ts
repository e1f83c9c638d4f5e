import { existsSync, readdirSync, statSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../lib/limits.ts";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { readLogFile, type LogFilePage, type LogFileRequest } from "./log-file.ts";
import { type Growing, PackIndex, type PackRow, type Piece, type PlacedRecord } from "./pack-index.ts";
import { packHeaderBytes, packName, packOpening, readPackRecord, sealedRecord } from "./pack-record.ts";
import type { AttemptName, LogChunk } from "./types.ts";

/** A pack of this node or of another, as it is on the disk here. */
export interface ShelvedPack {
  readonly name: string;
  /** The end of its last whole record. */
  readonly whole: number;
  /** Nothing will be appended. */
  readonly isOver: boolean;
}

export interface ShelfPage extends LogFilePage {
  /** How much output of the attempt there is here from its beginning on, without a hole, both streams. */
  readonly whole: number;
}

/**
 * The packs on this node's disk, its own and the copies that it keeps for others, and what is in them (see pack-record.ts). Whoever reads looks first what was appended; one
 * look at a time, shared by all who wait for it.
 */
export class PackShelf {
  readonly #dataDir: string;
  readonly #self: number;
  #index: PackIndex | undefined;
  /** What the index says of the packs, by node and name. */
  readonly #packs = new Map<number, Map<string, Shelved>>();
  readonly #growing = new Map<number, Growing>();
  /** Sizes at which a pack ended with what is no record. */
  readonly #stuckAt = new Map<number, number>();
  readonly #looking = new Map<number, { readonly running: Promise<void>; next: Promise<void> | undefined }>();

  constructor(dataDir: string, self: number) {
    this.#dataDir = dataDir;
    this.#self = self;
  }

  /** Where the packs of that node are, or would be. */
  directoryOf(source: number): string {
    const logs = join(this.#dataDir, "logs");
    return source === this.#self ? join(logs, "packs") : join(logs, "copies", String(source));
  }

  /** Nodes of which there is something here. */
  sources(): number[] {
    const copies = listed(join(this.#dataDir, "logs", "copies")).map(Number);
    const others = copies.filter((source) => Number.isSafeInteger(source) && source > 0 && source !== this.#self);
    return existsSync(this.directoryOf(this.#self)) ? [this.#self, ...others] : others;
  }

  /** Looks what was appended to the packs of that node; what was there when it is called is known when it resolves. */
  async look(source: number): Promise<void> {
    const looking = this.#looking.get(source);
    if (looking === undefined) return this.#begin(source);
    // The one under way may have passed over what was written a moment ago; the next one serves all who ask meanwhile.
    looking.next ??= looking.running.catch(() => {}).then(() => this.#begin(source));
    return looking.next;
  }

  #begin(source: number): Promise<void> {
    const running = this.#look(source).finally(() => {
      if (this.#looking.get(source)?.running === running) this.#looking.delete(source);
    });
    this.#looking.set(source, { running, next: undefined });
    return running;
  }

  /** The packs of that node, the oldest first, as the last look found them. */
  packs(source: number): ShelvedPack[] {
    return [...(this.#packs.get(source)?.values() ?? [])]
      .sort(byAge)
      .map((pack) => ({ name: pack.name, whole: pack.scanned, isOver: this.#isOver(pack) }));
  }

  /**
   * Which of these packs hold the output of an attempt, and up to where, as the last look found it. All of them, where the index does not know of that much output without a hole.
   */
  packsOf(
    source: number,
    attempt: AttemptName,
    bytes: number,
  ): readonly { readonly name: string; readonly end: number }[] {
    const known = this.#index?.known(source, attempt, undefined);
    if (this.#index !== undefined && known !== undefined && known.whole >= bytes)
      return this.#index.packsOf(source, attempt);
    return this.packs(source).map(({ name, whole }) => ({ name, end: whole }));
  }

  /** Bytes of a pack, at most `length`. Throws what the file system throws. */
  async bytes(source: number, name: string, from: number, length: number): Promise<Uint8Array> {
    const file = await open(join(this.directoryOf(source), name), "r");
    try {
      return await readAt(file, from, length);
    } finally {
      await file.close();
    }
  }

  /**
   * A piece of the log of an attempt that ran on node `source`, also while it is written. A log that is not here is an empty one. Offsets as in
   * {@link LogFileRequest}. Throws what the file system throws.
   */
  async read(source: number, request: LogFileRequest): Promise<ShelfPage> {
    await this.look(source);
    const known = this.#index?.known(source, request, request.stream);
    if (known === undefined || known.total === 0) {
      const isLegacy = source === this.#self && (known === undefined || known.whole === 0);
      // Of a release before packs, or of a guard that has outlived it.
      const page = isLegacy
        ? await readLogFile(this.#dataDir, request)
        : { chunks: [], next: Math.max(0, request.offset), atEnd: true };
      const isWhole = page.atEnd && request.stream === undefined && request.offset >= 0;
      return { ...page, whole: isWhole ? page.next : (known?.whole ?? 0) };
    }
    const offset = request.offset < 0 ? Math.max(0, known.total + request.offset) : request.offset;
    const page = await this.#collect(source, { ...request, offset });
    return { ...page, whole: known.whole };
  }

  /** Waits until there is output past `request.offset` (then true), or until `waitMs` have passed (then false). */
  async watch(source: number, request: LogFileRequest, waitMs: number): Promise<boolean> {
    const deadline = monotonicMs() + waitMs;
    while (true) {
      if ((await this.read(source, { ...request, maxBytes: 1 })).chunks.length > 0) return true;
      if (monotonicMs() >= deadline) return false;
      await Bun.sleep(Math.min(watchEveryMs, Math.max(1, deadline - monotonicMs())));
    }
  }

  /** Jobs that there is output of, from `after` on, in order. */
  jobs(after: number, limit: number): number[] {
    return this.#index?.jobs(after, limit) ?? [];
  }

  /** The output of these jobs is wanted by nobody any more; its packs go with {@link clear}. */
  forget(jobs: readonly number[]): void {
    this.#index?.forget(jobs);
  }

  /**
   * Removes the packs with output of nobody, and the oldest ones where there are more than `keepBytes`; those that are written stay. Gives what was removed.
   */
  async clear(
    keepBytes: number,
  ): Promise<{ readonly source: number; readonly name: string; readonly wanted: boolean }[]> {
    const index = this.#index;
    if (index === undefined) return [];
    const removed: { source: number; name: string; wanted: boolean }[] = [];
    for (const { source, name } of index.empty()) {
      const pack = this.#packs.get(source)?.get(name);
      if (pack !== undefined && this.#isOver(pack)) removed.push({ ...(await this.#remove(pack)), wanted: false });
    }
    for (const isOwn of [true, false]) {
      const all = [...this.#packs].flatMap(([source, packs]) =>
        (source === this.#self) === isOwn ? [...packs.values()] : [],
      );
      const packs = all.toSorted(byAge);
      let bytes = packs.reduce((sum, { scanned }) => sum + scanned, 0);
      for (const pack of packs) {
        if (bytes <= keepBytes) break;
        if (!this.#isOver(pack)) continue;
        bytes -= pack.scanned;
        removed.push({ ...(await this.#remove(pack)), wanted: true });
      }
    }
    return removed;
  }

  /** Removes a pack, whatever is in it. */
  async discard(source: number, name: string): Promise<void> {
    const pack = this.#packs.get(source)?.get(name);
    if (pack !== undefined) await this.#remove(pack);
    else await rm(join(this.directoryOf(source), name), { force: true });
  }

  /** Every pack here has been looked through; for retention. */
  async lookAtAll(): Promise<void> {
    for (const source of this.sources()) await this.look(source);
  }

  close(): void {
    this.#index?.close();
    this.#index = undefined;
    this.#packs.clear();
  }

  async #remove(pack: PackRow): Promise<{ readonly source: number; readonly name: string }> {
    await rm(join(this.directoryOf(pack.source), pack.name), { force: true });
    this.#index?.removePack(pack.id);
    this.#packs.get(pack.source)?.delete(pack.name);
    this.#growing.delete(pack.id);
    this.#stuckAt.delete(pack.id);
    return { source: pack.source, name: pack.name };
  }

  #isOver(pack: PackRow): boolean {
    if (pack.sealed > 0) return true;
    try {
      return wallMs() - statSync(join(this.directoryOf(pack.source), pack.name)).mtimeMs > limits.packOverMs;
    } catch {
      return true;
    }
  }

  // ---------------------------------------------------------------------------------------------- looking

  async #look(source: number): Promise<void> {
    const directory = this.directoryOf(source);
    const names = listed(directory).filter((name) => packName.test(name));
    if (names.length === 0 && this.#index === undefined) return;
    const index = (this.#index ??= PackIndex.open(this.#dataDir));
    let packs = this.#packs.get(source);
    if (packs === undefined) {
      packs = new Map(index.packs(source).map((pack) => [pack.name, { ...pack }]));
      this.#packs.set(source, packs);
      // What a compaction that was cut short has left, and files that somebody removed by hand.
      for (const draft of listed(directory).filter((name) => name.endsWith(".pack.new")))
        await rm(join(directory, draft), { force: true });
      for (const pack of packs.values()) if (!existsSync(join(directory, pack.name))) await this.#remove(pack);
    }
    for (const name of names.sort((one, other) => (one.slice(1) < other.slice(1) ? -1 : 1))) {
      let pack = packs.get(name);
      if (pack === undefined) packs.set(name, (pack = { ...index.addPack(source, name) }));
      if (pack.sealed === 0) await this.#lookInto(pack, join(directory, name), index);
      if (pack.sealed === 1 && name.startsWith("c")) await this.#supersede(pack, index);
    }
  }

  /** What follows what is known of that pack. */
  async #lookInto(pack: Shelved, path: string, index: PackIndex): Promise<void> {
    let size: number;
    try {
      ({ size } = statSync(path));
    } catch {
      return; // removed meanwhile
    }
    if (size <= pack.scanned || this.#stuckAt.get(pack.id) === size) return;
    let growing = this.#growing.get(pack.id);
    if (growing === undefined) this.#growing.set(pack.id, (growing = new Map()));
    const file = await open(path, "r");
    try {
      while (pack.sealed === 0 && pack.scanned < size) {
        const window = Buffer.from((await readAt(file, pack.scanned, windowBytes)).buffer);
        const { records, end } = parse(window, pack.scanned);
        if (end === pack.scanned) break;
        index.add(pack, records, end, growing);
        pack.scanned = end;
        pack.sealed = records.at(-1)?.record.kind === "sealed" ? 1 : 0;
      }
      if (pack.sealed === 1) this.#growing.delete(pack.id);
      else if (pack.scanned < size) this.#stuckAt.set(pack.id, size);
    } finally {
      await file.close();
    }
  }

  /** Both places are right meanwhile. */
  async #supersede(pack: Shelved, index: PackIndex): Promise<void> {
    for (let done = 0; index.supersede(pack, done, supersededAtOnce); done += supersededAtOnce) await yielded();
    pack.sealed = 2;
  }

  // ------------------------------------------------------------------------------------------- compaction

  /**
   * Writes what is still wanted of this node's sparsest pack, if less than half of it is, into a new one; true when it did. The old pack is one that nobody needs then, and goes with
   * {@link clear}; the new one is copied as any other, and the records in it are the same, so that it takes the place of the old one wherever it is.
   */
  async compact(minBytes: number = limits.packCompactBytes): Promise<boolean> {
    const sparse = this.#index?.sparsest(this.#self, minBytes);
    if (this.#index === undefined || sparse === undefined) return false;
    const directory = this.directoryOf(this.#self);
    const name = `c${wallMs().toString(36)}-${randomBytes(4).toString("hex")}.pack`;
    const draft = join(directory, `${name}.new`);
    const from = await open(join(directory, sparse.name), "r");
    try {
      const to = await open(draft, "wx", 0o600);
      try {
        await this.#copyWanted(sparse, from, to, this.#index);
        await to.sync();
      } finally {
        await to.close();
      }
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    } finally {
      await from.close();
    }
    await rename(draft, join(directory, name));
    await this.look(this.#self);
    return true;
  }

  async #copyWanted(pack: PackRow, from: FileHandle, to: FileHandle, index: PackIndex): Promise<void> {
    await to.appendFile(packOpening);
    for (let position = 0; ;) {
      const window = Buffer.from((await readAt(from, position, windowBytes)).buffer);
      const { records, end } = parse(window, position);
      const wanted = records.filter(({ record }) => record.kind !== "sealed" && index.wants(pack, record));
      const kept = wanted.map(({ record, position: at }) =>
        window.subarray(at - position, at - position + packHeaderBytes + record.length),
      );
      if (kept.length > 0) await to.appendFile(Buffer.concat(kept));
      if (end === position || records.at(-1)?.record.kind === "sealed") break;
      position = end;
    }
    await to.appendFile(sealedRecord(wallMs()));
  }

  // ---------------------------------------------------------------------------------------------- reading

  async #collect(source: number, request: LogFileRequest): Promise<LogFilePage> {
    const chunks: LogChunk[] = [];
    const { stream } = request;
    let next = request.offset;
    let room = Math.max(1, request.maxBytes);
    while (true) {
      const pieces = this.#index!.pieces(source, request, stream, next);
      if (pieces.length === 0) return { chunks, next, atEnd: true };
      for (const piece of pieces) {
        if (endOf(piece, stream) <= next) continue; // in two packs, while one takes the other's place
        // A hole: what lies behind it is not what follows.
        if (startOf(piece, stream) > next) return { chunks, next, atEnd: true };
        const records = await this.#recordsOf(source, piece, request);
        const before = next;
        for (const { record, bytes } of records) {
          const at = placeOf(record, stream);
          const skip = next - at;
          if (skip < 0 || skip >= record.length) continue;
          const taken = bytes.subarray(skip, Math.min(record.length, skip + room));
          chunks.push({ stream: record.kind as LogChunk["stream"], at: record.at, bytes: taken });
          next += taken.length;
          room -= taken.length;
          if (room === 0)
            return { chunks, next, atEnd: this.#index!.pieces(source, request, stream, next).length === 0 };
        }
        if (next === before) return { chunks, next, atEnd: true }; // the file does not have what the index says
      }
    }
  }

  /** The records of the attempt (and stream) in that piece, as far as they check. */
  async #recordsOf(
    source: number,
    piece: Piece,
    { job, task, attempt, stream }: AttemptName & Pick<LogFileRequest, "stream">,
  ): Promise<{ readonly record: PlacedRecord["record"]; readonly bytes: Uint8Array }[]> {
    let window: Buffer;
    try {
      window = Buffer.from((await this.bytes(source, piece.name, piece.start, piece.length)).buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
    const found = [];
    for (let at = 0; at < window.length;) {
      const record = readPackRecord(window, at);
      if (typeof record === "string") break;
      const from = at + packHeaderBytes;
      at = from + record.length;
      if (record.job !== job || record.task !== task || record.attempt !== attempt) continue;
      if (stream !== undefined && record.kind !== stream) continue;
      found.push({ record, bytes: window.subarray(from, at) });
    }
    return found;
  }
}

type Shelved = { -readonly [Field in keyof PackRow]: PackRow[Field] };

const watchEveryMs = 50;
const supersededAtOnce = 1_000;
/** Holds several of the longest records. */
const windowBytes = 1024 * 1024;

/** The whole records of a window that begins at `position` of a pack, and where the last of them ends. */
function parse(window: Buffer, position: number): { readonly records: PlacedRecord[]; readonly end: number } {
  const records: PlacedRecord[] = [];
  let at = 0;
  if (position === 0) {
    if (window.length < packOpening.length || !window.subarray(0, packOpening.length).equals(packOpening))
      return { records, end: 0 };
    at = packOpening.length;
  }
  while (true) {
    const record = readPackRecord(window, at);
    if (typeof record === "string") return { records, end: position + at };
    records.push({ record, position: position + at });
    at += packHeaderBytes + record.length;
    if (record.kind === "sealed") return { records, end: position + at };
  }
}

function startOf(piece: Piece, stream: LogChunk["stream"] | undefined): number {
  if (stream === undefined) return piece.before;
  return stream === "stdout" ? piece.outBefore : piece.before - piece.outBefore;
}

function endOf(piece: Piece, stream: LogChunk["stream"] | undefined): number {
  const { bytes, outBytes } = piece;
  if (stream === undefined) return startOf(piece, stream) + bytes;
  return startOf(piece, stream) + (stream === "stdout" ? outBytes : bytes - outBytes);
}

function placeOf(record: PlacedRecord["record"], stream: LogChunk["stream"] | undefined): number {
  if (stream === undefined) return record.before;
  return stream === "stdout" ? record.stdoutBefore : record.before - record.stdoutBefore;
}

async function readAt(file: FileHandle, from: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let held = 0;
  while (held < length) {
    const { bytesRead } = await file.read(bytes, held, length - held, from + held);
    if (bytesRead === 0) break;
    held += bytesRead;
  }
  return held === length ? bytes : bytes.slice(0, held);
}

/** Others have their turn. */
function yielded(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function byAge(one: { readonly name: string }, other: { readonly name: string }): number {
  return one.name.slice(1) < other.name.slice(1) ? -1 : 1;
}

function listed(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
