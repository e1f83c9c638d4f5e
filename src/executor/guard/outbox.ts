import {
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { Fault } from "../../lib/fault.ts";
import { syncDirectory } from "../../lib/files.ts";
import { limits } from "../../lib/limits.ts";
import type { Report } from "../../state/types.ts";
import { attemptKey, nameOf } from "../names.ts";
import type { AttemptName } from "../types.ts";
import { encodeFrame, FrameDecoder } from "./frames.ts";

/** An attempt whose process was started, so that a later guard finds what is left of it. */
export interface Running extends AttemptName {
  readonly pid: number;
  /**
   * The earliest and the latest that its start time (see processStartTime) can be, by the clock before and after it was started; absent where that is unknown. To ask
   * the kernel for the time itself would wait until the new program is loaded.
   */
  readonly startTimes?: readonly [earliest: number, latest: number];
  /** Wall time, epoch ms. */
  readonly startedAt: number;
}

type Entry =
  | { readonly kind: "opened"; readonly version: 1; readonly boot: string }
  | { readonly kind: "running"; readonly running: Running }
  | { readonly kind: "finished"; readonly report: Report }
  | { readonly kind: "forgotten"; readonly names: readonly AttemptName[] }
  | { readonly kind: "closed" };

export interface Restored {
  /** Started by an earlier guard of the boot `boot`, which did not live to see their end. */
  readonly running: readonly Running[];
  readonly finished: readonly Report[];
  readonly boot: string;
  /** The file tells all: it is new, or the last guard closed it and could vouch for its past. */
  readonly exact: boolean;
}

/**
 * What must outlive the guard itself: which processes run, and which results the node has not acknowledged. One file
 * that is appended to. It is written before anybody is told, and not synced: it is there after any crash of processes, and
 * a crash of the machine ends the work anyway (the file is synced when it is closed, so that a planned reboot loses nothing).
 */
export class Outbox {
  readonly #path: string;
  readonly #onFault: (message: string) => void;
  readonly #running = new Map<string, Running>();
  readonly #finished = new Map<string, Report>();
  readonly restored: Restored;
  #boot: string;
  #file: number;
  #bytes = 0;

  /** Reads what an earlier guard left and goes on from there. `onFault` is told when the disk refuses a record. */
  constructor(path: string, boot: string, onFault: (message: string) => void) {
    this.#path = path;
    this.#onFault = onFault;
    this.restored = this.#restore();
    this.#boot = boot;
    this.#file = this.#rewrite();
  }

  /** Results that are not acknowledged. */
  get finished(): ReadonlyMap<string, Report> {
    return this.#finished;
  }

  addRunning(running: Running): void {
    this.#running.set(attemptKey(running), running);
    this.#append({ kind: "running", running });
  }

  addFinished(report: Report): void {
    const key = attemptKey(report);
    this.#running.delete(key);
    this.#finished.set(key, report);
    this.#append({ kind: "finished", report });
  }

  /** Acknowledged or dropped: unknown from now on. */
  forget(names: readonly AttemptName[]): void {
    const known = names.filter((name) => {
      const key = attemptKey(name);
      return this.#running.delete(key) || this.#finished.delete(key);
    });
    if (known.length > 0) this.#append({ kind: "forgotten", names: known.map(nameOf) });
  }

  /** `exact`: this guard vouches that whatever is not in the file has not run, or was acknowledged. */
  close(exact: boolean): void {
    if (exact) this.#append({ kind: "closed" });
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  #append(entry: Entry): void {
    const frame = encodeFrame(entry);
    try {
      if (this.#bytes + frame.length > limits.outboxBytes && this.#bytes > 2 * this.#liveBytes()) {
        const before = this.#file;
        this.#file = this.#rewrite(); // holds the entry already: the maps are changed first
        closeSync(before);
        return;
      }
      writeAll(this.#file, frame);
      this.#bytes += frame.length;
    } catch (error) {
      // What is known in memory still reaches the node; only a crash of this guard before that would lose it.
      this.#onFault(`cannot write ${this.#path}: ${error instanceof Error ? error.message : String(error)}`);
      this.#cutBack();
    }
  }

  /** A record written in part would hide those after it. */
  #cutBack(): void {
    try {
      ftruncateSync(this.#file, this.#bytes);
    } catch {
      // told already
    }
  }

  #liveBytes(): number {
    let bytes = 200 * this.#running.size;
    for (const report of this.#finished.values()) bytes += 300 + report.tail.length;
    return bytes;
  }

  /** A new file with what is live, put in place in one step. */
  #rewrite(): number {
    const isNew = !existsSync(this.#path);
    const draft = `${this.#path}.new`;
    const file = openSync(draft, "w", 0o600);
    const entries: Entry[] = [{ kind: "opened", version: 1, boot: this.#boot }];
    for (const running of this.#running.values()) entries.push({ kind: "running", running });
    for (const report of this.#finished.values()) entries.push({ kind: "finished", report });
    const bytes = Buffer.concat(entries.map((entry) => encodeFrame(entry)));
    writeAll(file, bytes);
    if (isNew) fsyncSync(file);
    renameSync(draft, this.#path);
    this.#bytes = bytes.length;
    if (isNew) syncDirectory(dirname(this.#path));
    return file;
  }

  #restore(): Restored {
    let boot = "";
    const { entries, damaged } = readEntries(this.#path);
    let exact = !damaged;
    for (const entry of entries) {
      exact = !damaged && entry.kind === "closed";
      if (entry.kind === "opened") boot = entry.boot;
      else if (entry.kind === "running") this.#running.set(attemptKey(entry.running), entry.running);
      else if (entry.kind === "finished") {
        this.#running.delete(attemptKey(entry.report));
        this.#finished.set(attemptKey(entry.report), entry.report);
      } else if (entry.kind === "forgotten") {
        for (const name of entry.names) {
          this.#running.delete(attemptKey(name));
          this.#finished.delete(attemptKey(name));
        }
      }
    }
    return { running: [...this.#running.values()], finished: [...this.#finished.values()], boot, exact };
  }
}

/** The whole records of the file; a last one that a crash cut short is as good as never written. */
function readEntries(path: string): { readonly entries: readonly Entry[]; readonly damaged: boolean } {
  if (!existsSync(path)) return { entries: [], damaged: false };
  const bytes = readFileSync(path);
  const decoder = new FrameDecoder();
  const entries: Entry[] = [];
  try {
    // In pieces, so that what lies before a damaged record is kept.
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      entries.push(...(decoder.push(bytes.subarray(at, at + pieceBytes)) as Entry[]));
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { entries, damaged: true };
  }
  return { entries, damaged: entries.length === 0 };
}

const pieceBytes = 4096;

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
}
