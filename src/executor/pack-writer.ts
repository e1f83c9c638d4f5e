import { randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { monotonicMs, wallMs } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import {
  type LogStream,
  packChunkBytes,
  packHeaderBytes,
  packOpening,
  type PackRecord,
  sealedRecord,
  writePackRecord,
} from "./pack-record.ts";
import type { AttemptName } from "./types.ts";

/** Who writes: the guard, or the node itself (driver noop). Two processes never share a pack. */
export type PackMaker = "g" | "n";

/** How large packs become, and when: {@link limits}, or what a test wants. */
export interface PackSizes {
  readonly packBytes: number;
  readonly ownAfterBytes: number;
  readonly idleMs: number;
}

const usual: PackSizes = {
  packBytes: limits.packBytes,
  ownAfterBytes: limits.packOwnAfterBytes,
  idleMs: limits.packIdleMs,
};

/**
 * Writes the packs of one process (see pack-record.ts). Records of one turn of the loop, of all attempts, make one write; whatever an attempt has printed is in
 * the file when its log is closed, before anybody is told of its end. Memory stays flat: past a buffer's worth the write comes
 * first, and a producer that is faster than the disk waits in its pipe.
 */
export class PackWriter {
  readonly #directory: string;
  readonly #maker: PackMaker;
  readonly #sizes: PackSizes;
  readonly #staging = Buffer.allocUnsafeSlow(stagingBytes);
  /** Records in the buffer, all for #stagedFor. */
  #staged: Staged[] = [];
  #stagedBytes = 0;
  #stagedFor: PackFile | undefined;
  #scheduled = false;
  #stamp = 0;
  #shared: PackFile | undefined;

  constructor(dataDir: string, maker: PackMaker, sizes: PackSizes = usual) {
    this.#directory = join(dataDir, "logs", "packs");
    this.#maker = maker;
    this.#sizes = sizes;
  }

  /** The log of one attempt. `keepBytes`: output past it is counted and thrown away. No file is made before the first byte. */
  open(name: AttemptName, keepBytes: number): AttemptLog {
    return new AttemptLog(this, name, keepBytes);
  }

  /** For {@link AttemptLog}: at most packChunkBytes of output. */
  append(log: AttemptLog, stream: LogStream, at: number, bytes: Uint8Array): void {
    const need = packHeaderBytes + bytes.length;
    let file: PackFile;
    try {
      file = this.#fileFor(log, need);
    } catch (error) {
      log.lost(bytes.length, error);
      return;
    }
    if (this.#stagedFor !== file || this.#stagedBytes + need > stagingBytes) this.flush();
    if (log.fault !== undefined || file.broken) {
      log.lost(bytes.length, log.fault ?? "the pack could not be written");
      return;
    }
    this.#stagedFor = file;
    this.#staging.set(bytes, this.#stagedBytes + packHeaderBytes);
    writePackRecord(this.#staging, this.#stagedBytes, log.next(stream, at, bytes.length));
    this.#staged.push({ log, from: this.#stagedBytes + packHeaderBytes, length: bytes.length });
    this.#stagedBytes += need;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** What was appended so far is in the files when this returns, or its logs know why not. */
  flush(): void {
    const file = this.#stagedFor;
    if (file === undefined) return;
    const staged = this.#staged;
    const bytes = this.#staging.subarray(0, this.#stagedBytes);
    this.#stagedFor = undefined;
    this.#staged = [];
    this.#stagedBytes = 0;
    try {
      file.write(bytes);
      for (const { log, from, length } of staged) log.kept(this.#staging.subarray(from, from + length));
    } catch (error) {
      // The tasks go on without a log: their results count for more. Others may find room again, in a new pack.
      if (file === this.#shared) this.#shared = undefined;
      for (const { log, length } of staged) log.lost(length, error);
    }
  }

  /** Nothing is written after this. */
  close(): void {
    this.flush();
    this.#shared?.seal();
    this.#shared = undefined;
  }

  /** For {@link AttemptLog}: its own pack, if it has one, is whole. */
  ended(log: AttemptLog): void {
    if (log.hasStaged) this.flush();
    log.own?.seal();
  }

  /** The pack that takes `need` bytes more of that log. Throws what the file system throws. */
  #fileFor(log: AttemptLog, need: number): PackFile {
    const { packBytes, ownAfterBytes, idleMs } = this.#sizes;
    if (log.own !== undefined || log.printed + need > ownAfterBytes) {
      if (log.own === undefined || log.own.size + this.#stagedOf(log.own) + need > packBytes || log.own.broken) {
        const own = this.#open();
        this.#seal(log.own);
        log.own = own;
      }
      return log.own;
    }
    const shared = this.#shared;
    if (shared === undefined) return (this.#shared = this.#open());
    const isFull = shared.size + this.#stagedOf(shared) + need > packBytes;
    if (isFull || shared.broken || monotonicMs() - shared.writtenAt > idleMs) {
      const next = this.#open();
      this.#seal(shared);
      this.#shared = next;
    }
    return this.#shared!;
  }

  #stagedOf(file: PackFile): number {
    return this.#stagedFor === file ? this.#stagedBytes : 0;
  }

  #seal(file: PackFile | undefined): void {
    if (file === undefined) return;
    if (this.#stagedFor === file) this.flush();
    file.seal();
  }

  #open(): PackFile {
    this.#stamp = Math.max(wallMs(), this.#stamp + 1); // their names tell their order
    const name = `${this.#maker}${this.#stamp.toString(36)}-${randomBytes(4).toString("hex")}.pack`;
    const path = join(this.#directory, name);
    try {
      return new PackFile(openSync(path, "wx", 0o600));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      return new PackFile(openSync(path, "wx", 0o600));
    }
  }
}

/** Larger than a record, and what one write is at most. */
const stagingBytes = 256 * 1024;

interface Staged {
  readonly log: AttemptLog;
  readonly from: number;
  readonly length: number;
}

/** One pack that is being written. */
class PackFile {
  readonly #handle: number;
  size = 0;
  writtenAt = monotonicMs();
  /** Sealed, or it ends with what could not be taken back. */
  broken = false;

  constructor(handle: number) {
    this.#handle = handle;
  }

  /** All of it, or nothing and the error is thrown. */
  write(bytes: Uint8Array): void {
    try {
      if (this.broken) throw new Error("the pack could not be written");
      const whole = this.size === 0 ? Buffer.concat([packOpening, bytes]) : bytes;
      for (let at = 0; at < whole.length;) {
        at += writeSync(this.#handle, whole, at, whole.length - at, this.size + at);
      }
      this.size += whole.length;
      this.writtenAt = monotonicMs();
    } catch (error) {
      this.#cutBack();
      throw error;
    }
  }

  /** The last record says that nothing follows. */
  seal(): void {
    if (this.broken) return;
    try {
      this.write(sealedRecord(wallMs()));
    } catch {
      return; // closed already; it counts as whole when it has been idle for long
    }
    this.broken = true;
    closeSync(this.#handle);
  }

  /** A record written in part would hide those after it: this pack takes no more. */
  #cutBack(): void {
    if (this.broken) return;
    this.broken = true;
    try {
      ftruncateSync(this.#handle, this.size);
    } catch {
      // its checksum tells
    }
    closeSync(this.#handle);
  }
}

/** What one attempt prints: its place in the packs, its size and its hash. */
export class AttemptLog {
  readonly #writer: PackWriter;
  readonly #name: AttemptName;
  readonly #keepBytes: number;
  readonly #hash = new Bun.CryptoHasher("sha256");
  /** The pack that it has to itself, past a size. */
  own: PackFile | undefined;
  #bytes = 0;
  #printed = 0;
  #printedStdout = 0;
  #dropped = 0;
  #fault: string | undefined;

  constructor(writer: PackWriter, name: AttemptName, keepBytes: number) {
    this.#writer = writer;
    this.#name = { job: name.job, task: name.task, attempt: name.attempt };
    this.#keepBytes = keepBytes;
  }

  /** Bytes of output that are not kept. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Why the rest was not written (a full disk); undefined when only the limit stands in the way. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Bytes that are in a pack, or on their way there. */
  get printed(): number {
    return this.#printed;
  }

  get hasStaged(): boolean {
    return this.#printed > this.#bytes;
  }

  write(stream: LogStream, at: number, bytes: Uint8Array): void {
    const room = this.#fault === undefined ? Math.max(0, this.#keepBytes - this.#printed) : 0;
    const kept = bytes.length > room ? bytes.subarray(0, room) : bytes;
    this.#dropped += bytes.length - kept.length;
    for (let from = 0; from < kept.length; from += packChunkBytes) {
      this.#writer.append(this, stream, at, kept.subarray(from, from + packChunkBytes));
    }
  }

  /** Size and hash of what is kept; undefined when there was no output. */
  close(): { readonly bytes: number; readonly sha256: string } | undefined {
    this.#writer.ended(this);
    return this.#bytes === 0 ? undefined : { bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** For {@link PackWriter}: the record of the next `length` bytes. */
  next(stream: LogStream, at: number, length: number): PackRecord {
    const record = {
      ...this.#name,
      kind: stream,
      length,
      at,
      before: this.#printed,
      stdoutBefore: this.#printedStdout,
    };
    this.#printed += length;
    if (stream === "stdout") this.#printedStdout += length;
    return record;
  }

  /** For {@link PackWriter}: these are in the file. */
  kept(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  /** For {@link PackWriter}: so many bytes are not, and nothing that follows them will be. */
  lost(length: number, why: unknown): void {
    this.#fault ??= why instanceof Error ? why.message : String(why);
    this.#dropped += length;
  }
}
