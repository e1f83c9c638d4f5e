import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { logPath, readRecordHeader, type RecordHeader, recordHeaderBytes } from "./log-record.ts";
import type { LogStream } from "./pack-record.ts";
import type { AttemptName, LogChunk } from "./types.ts";

export interface LogFileRequest extends AttemptName {
  /** undefined: both, in order of arrival. */
  readonly stream?: LogStream | undefined;
  /** Bytes of output (of the chosen streams) to skip; negative: the last -offset bytes. */
  readonly offset: number;
  readonly maxBytes: number;
}

export interface LogFilePage {
  readonly chunks: readonly LogChunk[];
  /** Offset to ask for next. */
  readonly next: number;
  /** All that was in the file when it was read has been given; more may be written while the attempt runs. */
  readonly atEnd: boolean;
}

/**
 * Reads a piece of an attempt's log, also while it is written. A log that does not exist (yet) is an empty one. Throws
 * what the file system throws.
 */
export async function readLogFile(dataDir: string, request: LogFileRequest): Promise<LogFilePage> {
  const path = logPath(dataDir, request);
  const file = await openIfThere(path);
  if (file === undefined) return { chunks: [], next: Math.max(0, request.offset), atEnd: true };
  try {
    const records = new Records(file, request.stream);
    const offset = request.offset < 0 ? Math.max(0, (await records.total()) + request.offset) : request.offset;
    const key = `${path} ${request.stream ?? ""}`;
    await records.rewind(cursors.get(key), offset);
    const page = await collect(records, offset, Math.max(1, request.maxBytes));
    cursors.set(key, records.cursor);
    return page;
  } finally {
    await file.close();
  }
}

/** Deletes the files that this node has of a job. */
export async function removeLogs(dataDir: string, job: number): Promise<void> {
  await rm(join(dataDir, "logs", String(job)), { recursive: true, force: true });
}

async function collect(records: Records, offset: number, maxBytes: number): Promise<LogFilePage> {
  const chunks: LogChunk[] = [];
  let next = offset;
  let room = maxBytes;
  while (room > 0) {
    const record = await records.peek();
    if (record === undefined) return { chunks, next, atEnd: true };
    const skip = Math.max(0, next - records.cursor.output);
    if (skip < record.length) {
      const bytes = await records.payload(skip, Math.min(record.length - skip, room));
      chunks.push({ stream: record.stream, at: record.at, bytes });
      next += bytes.length;
      room -= bytes.length;
      if (skip + bytes.length < record.length) break; // the rest of this record is the next page's
    }
    records.advance(record);
  }
  return { chunks, next, atEnd: (await records.peek()) === undefined };
}

/** Where a record starts in the file, and how much output of the chosen streams lies before it. */
interface Cursor {
  readonly position: number;
  readonly output: number;
}

/** Walks over the records of the chosen stream, a window of the file in memory at a time. */
class Records {
  readonly #file: FileHandle;
  readonly #stream: LogStream | undefined;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;
  cursor: Cursor = { position: 0, output: 0 };

  constructor(file: FileHandle, stream: LogStream | undefined) {
    this.#file = file;
    this.#stream = stream;
  }

  /** Starts from a known record that is not past `offset`, else from the first. */
  async rewind(known: Cursor | undefined, offset: number): Promise<void> {
    this.cursor = known !== undefined && known.output <= offset ? known : { position: 0, output: 0 };
    while (true) {
      const record = await this.peek();
      if (record === undefined || this.cursor.output + record.length > offset) return;
      this.advance(record);
    }
  }

  /** The next whole record of the chosen stream; records of the other one are passed over. */
  async peek(): Promise<RecordHeader | undefined> {
    while (true) {
      const { position, output } = this.cursor;
      const at = await this.#hold(position, recordHeaderBytes);
      if (at === undefined) return undefined;
      const record = readRecordHeader(this.#window, at);
      if (record === undefined) return undefined;
      const end = position + recordHeaderBytes + record.length;
      if (end > this.#windowAt + this.#window.length && end > (await this.#file.stat()).size) return undefined;
      if (this.#stream === undefined || record.stream === this.#stream) return record;
      this.cursor = { position: end, output };
    }
  }

  advance(record: RecordHeader): void {
    const { position, output } = this.cursor;
    this.cursor = { position: position + recordHeaderBytes + record.length, output: output + record.length };
  }

  async payload(skip: number, length: number): Promise<Uint8Array> {
    const position = this.cursor.position + recordHeaderBytes + skip;
    const bytes = new Uint8Array(length);
    const held = position - this.#windowAt;
    if (held >= 0 && held + length <= this.#window.length) {
      bytes.set(this.#window.subarray(held, held + length));
      return bytes;
    }
    const { bytesRead } = await this.#file.read(bytes, 0, length, position);
    return bytes.subarray(0, bytesRead);
  }

  /** How much output of the chosen streams there is now. */
  async total(): Promise<number> {
    await this.rewind(undefined, Number.MAX_SAFE_INTEGER);
    return this.cursor.output;
  }

  /** Makes `length` bytes at `position` part of the window; gives their place in it, or undefined at the end of the file. */
  async #hold(position: number, length: number): Promise<number | undefined> {
    const at = position - this.#windowAt;
    if (at >= 0 && at + length <= this.#window.length) return at;
    const buffer = Buffer.allocUnsafe(windowBytes);
    const { bytesRead } = await this.#file.read(buffer, 0, windowBytes, position);
    this.#window = buffer.subarray(0, bytesRead);
    this.#windowAt = position;
    return bytesRead < length ? undefined : 0;
  }
}

const windowBytes = 64 * 1024;

/** Where readers left off, so that following a log does not walk it from the start each time. Only a hint. */
class Cursors {
  readonly #known = new Map<string, Cursor>();

  get(key: string): Cursor | undefined {
    return this.#known.get(key);
  }

  set(key: string, cursor: Cursor): void {
    this.#known.delete(key);
    this.#known.set(key, cursor);
    if (this.#known.size > cursorsMax) this.#known.delete(this.#known.keys().next().value!);
  }
}

const cursorsMax = 1024;
const cursors = new Cursors();

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
