import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { limits } from "../lib/limits.ts";

/**
 * What was applied, for those who watch and were away: one line per transaction of the state, in files of about limits.eventSegmentBytes that are
 * named by the entry that they go on after. A line is written before its transaction is committed, so a process that is killed at any moment leaves every
 * event of its state behind; it is not synced, so a power cut may take some, and then the journal begins anew. Each line says from which applied index to which
 * it goes and begins where the one before it ended: what is missing shows.
 *
 * It is no part of the state. Nothing depends on it but that a reader of events resumes here; where it cannot be written, it is left.
 */
export class EventJournal {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #keptBytes: number;
  /** Oldest first; the last one is written. */
  #segments: Segment[] = [];
  #handle: number | undefined;
  /** The applied index after the last line. */
  #through: number;
  /** The last line, which is written again when its transaction came to nothing. */
  #last: { readonly from: number; readonly at: number } | undefined;

  /** Opens what is there, as far as the state has come: `applied`. A journal that does not reach so far, or is no whole one, begins anew. */
  constructor(path: string, applied: number, keep: Partial<JournalSizes> = {}) {
    this.#directory = journalBeside(path);
    this.#segmentBytes = keep.segmentBytes ?? limits.eventSegmentBytes;
    this.#keptBytes = keep.keptBytes ?? limits.eventsKeptBytes;
    this.#through = applied;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      if (!this.#resume(applied)) this.restart(applied);
    } catch {
      this.#leave();
    }
  }

  /** Notes what the transaction that leads from `from` to `to` changes; `text` is JSON. Before it is committed; again if it was not. */
  append(from: number, to: number, text: string): void {
    try {
      if (from === this.#last?.from) this.#takeBack(this.#last.at);
      else if (from !== this.#through) this.restart(from);
      let segment = this.#segments.at(-1);
      if (segment === undefined || segment.bytes >= this.#segmentBytes) segment = this.#begin(from);
      const line = Buffer.from(`${from} ${to} ${text}\n`);
      this.#last = { from, at: segment.bytes };
      writeAll(this.#handle!, line);
      segment.bytes += line.length;
      this.#through = to;
    } catch {
      // A disk without room: the state needs it more. Whoever was away asks another node.
      this.#leave();
    }
  }

  /** Forgets everything: the state is another one, at `applied`. */
  restart(applied: number): void {
    this.#leave();
    this.#through = applied;
  }

  /** Ends writing. */
  close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  /** Takes up what is there and cuts off what is after `applied`; false when it does not reach so far. */
  #resume(applied: number): boolean {
    const starts = segmentStarts(this.#directory);
    while ((starts.at(-1) ?? -1) > applied) rmSync(join(this.#directory, segmentName(starts.pop()!)));
    const start = starts.at(-1);
    if (start === undefined) return false;
    const path = join(this.#directory, segmentName(start));
    const bytes = readFileSync(path);
    let at = 0;
    let through = start;
    for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, at)) {
      const line = headOf(bytes.toString("latin1", at, Math.min(end, at + headLength)));
      if (line === undefined || line.from !== through || line.to > applied) break;
      through = line.to;
      at = end + 1;
    }
    if (through !== applied) return false;
    truncateSync(path, at);
    this.#segments = starts.map((from) => ({ from, bytes: from === start ? at : sizeOf(this.#directory, from) }));
    this.#handle = openSync(path, "a", 0o600);
    return true;
  }

  /** A line whose transaction was rolled back. */
  #takeBack(at: number): void {
    ftruncateSync(this.#handle!, at);
    this.#segments.at(-1)!.bytes = at;
  }

  #begin(from: number): Segment {
    this.close();
    const segment = { from, bytes: 0 };
    this.#handle = openSync(join(this.#directory, segmentName(from)), "ax", 0o600);
    this.#segments.push(segment);
    let kept = this.#segments.reduce((sum, one) => sum + one.bytes, 0);
    while (kept > this.#keptBytes && this.#segments.length > 1) {
      const oldest = this.#segments.shift()!;
      kept -= oldest.bytes;
      rmSync(join(this.#directory, segmentName(oldest.from)), { force: true });
    }
    return segment;
  }

  #leave(): void {
    this.close();
    this.#segments = [];
    this.#last = undefined;
    // Nobody goes on after an entry that is not there.
    this.#through = -1;
    try {
      for (const from of segmentStarts(this.#directory)) rmSync(join(this.#directory, segmentName(from)));
    } catch {
      // Tried again at the next line.
    }
  }
}

/** How much of it is kept. */
export interface JournalSizes {
  readonly segmentBytes: number;
  readonly keptBytes: number;
}

interface Segment {
  readonly from: number;
  bytes: number;
}

/** One line: what the transaction from `from` to `to` changed, as JSON. */
export interface JournalLine {
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

/** The other side of the journal, in another thread: it only reads, and only what is committed. */
export class EventJournalReader {
  readonly #directory: string;

  /** Of the state of that path. */
  constructor(path: string) {
    this.#directory = journalBeside(path);
  }

  /** The applied index that it goes on after; undefined: there is none. */
  oldest(): number | undefined {
    try {
      return segmentStarts(this.#directory)[0];
    } catch {
      return undefined;
    }
  }

  /**
   * Lines that hold something after `after`, in order, up to `through` at most. Ends early where something is missing: it was dropped meanwhile, or a crash took it. Whoever
   * has come less far than it needs finds nothing more here.
   */
  async *read(after: number, through: number): AsyncGenerator<JournalLine, void, undefined> {
    let at = after;
    while (at < through) {
      const start = this.#startFor(at);
      if (start === undefined) return;
      const before = at;
      for await (const line of linesOf(join(this.#directory, segmentName(start)), start)) {
        if (line.to > through) return;
        if (line.to <= at) continue;
        yield line;
        at = line.to;
      }
      if (at === before) return;
    }
  }

  /** The segment that has what comes after the entry `at`. */
  #startFor(at: number): number | undefined {
    try {
      return segmentStarts(this.#directory).findLast((from) => from <= at);
    } catch {
      return undefined;
    }
  }
}

/** Whole lines of one segment, each of which begins where the one before it ended. */
async function* linesOf(path: string, start: number): AsyncGenerator<JournalLine, void, undefined> {
  let through = start;
  let rest: Buffer = Buffer.alloc(0);
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, "r");
  } catch {
    return; // dropped meanwhile
  }
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(readBytes), 0, readBytes);
      if (bytesRead === 0) return;
      const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      let at = 0;
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, at)) {
        const text = bytes.toString("utf8", at, end);
        const head = headOf(text.slice(0, headLength));
        if (head === undefined || head.from !== through) return;
        through = head.to;
        at = end + 1;
        yield { from: head.from, to: head.to, text: text.slice(head.length) };
      }
      rest = bytes.subarray(at);
    }
  } finally {
    await file.close();
  }
}

/** Read at once, so that a long past does not stop the thread. */
const readBytes = 128 * 1024;
/** Two indexes and two spaces take less. */
const headLength = 40;

function headOf(text: string): { readonly from: number; readonly to: number; readonly length: number } | undefined {
  const match = /^(\d{1,16}) (\d{1,16}) /.exec(text);
  if (match === null) return undefined;
  return { from: Number(match[1]), to: Number(match[2]), length: match[0].length };
}

/** Where the journal of the state of that path is. */
function journalBeside(path: string): string {
  return join(dirname(path), "events");
}

function segmentName(from: number): string {
  return `${String(from).padStart(16, "0")}.events`;
}

/** The entries after which the segments go on, oldest first. */
function segmentStarts(directory: string): number[] {
  return readdirSync(directory)
    .filter((name) => /^\d{16}\.events$/.test(name))
    .map((name) => Number(name.slice(0, 16)))
    .toSorted((a, b) => a - b);
}

function sizeOf(directory: string, from: number): number {
  return statSync(join(directory, segmentName(from))).size;
}

function writeAll(handle: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(handle, bytes, at);
}
