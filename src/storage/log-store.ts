import { assert } from "../lib/assert.ts";
import { Fault } from "../lib/fault.ts";
import type { Index } from "../lib/ids.ts";
import type { Append, Entry, Restored, SnapshotMeta } from "../raft/types.ts";
import type { PackedAppend } from "./log-database.ts";
import { limits } from "../lib/limits.ts";
import { kindNumber } from "./log-format.ts";
import { LogDatabaseReader } from "./log-reader.ts";
import type { FromLogWorker, ToLogWorker } from "./log-writer.ts";
import type { LogStore, LogStoreOptions, StateBeside } from "./types.ts";

const closeTimeoutMs = 10_000;

type Phase = "new" | "opening" | "open" | "closing" | "closed";

/** log.db: writes go to the worker in order, reads are synchronous on a connection of this thread. */
export class SqliteLogStore implements LogStore {
  readonly #options: LogStoreOptions;
  #phase: Phase = "new";
  #worker: Worker | undefined;
  #reader: LogDatabaseReader | undefined;
  #lastIndex = 0;
  #lastToken = 0;
  /** What is not durable yet, oldest first, from #head on. */
  #pending: { readonly token: number; readonly bytes: number }[] = [];
  #head = 0;
  #pendingBytes = 0;
  readonly #damaged = new Set<number>();
  /** Settles what open() or close() waits for. */
  #answered: ((message: FromLogWorker) => void) | undefined;
  /** How long that is waited for. */
  #patience: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LogStoreOptions) {
    this.#options = options;
  }

  async open(state?: StateBeside): Promise<Restored> {
    assert(this.#phase === "new", "a log store is opened once");
    this.#phase = "opening";
    const answer = await this.#ask({ kind: "open", path: this.#options.path, state }, limits.workerStartMs);
    if (answer.kind !== "opened") {
      this.#stop();
      if (answer.kind === "fault") throw new Fault(answer.code, answer.message, "never");
      throw new Fault(
        "disk",
        `the log's worker for ${this.#options.path} did not start within ${limits.workerStartMs} ms: is this host overloaded?`,
        "never",
      );
    }
    if (answer.told !== undefined) this.#options.onDamage?.(answer.told);
    try {
      this.#reader = new LogDatabaseReader(this.#options.path);
      const restored = this.#reader.restore();
      this.#lastIndex = restored.lastIndex;
      this.#phase = "open";
      return restored;
    } catch (error) {
      this.#stop();
      throw error;
    }
  }

  append(append: Append): void {
    assert(this.#phase === "open", "append to a log that is not open");
    assert(append.token > this.#lastToken, `append token ${append.token} after ${this.#lastToken}`);
    this.#lastToken = append.token;
    const packed = packAppend(append);
    if (append.snapshot !== undefined) this.#lastIndex = append.snapshot.index;
    if (packed.terms.length > 0) {
      assert(
        packed.first >= 1 && packed.first <= this.#lastIndex + 1,
        `append at ${packed.first} leaves a gap after ${this.#lastIndex}`,
      );
      this.#lastIndex = packed.first + packed.terms.length - 1;
      for (const at of this.#damaged) if (at >= packed.first) this.#damaged.delete(at);
    }
    const bytes = packed.data.length;
    this.#pending.push({ token: append.token, bytes });
    this.#pendingBytes += bytes;
    const message: ToLogWorker = { kind: "append", append: packed };
    this.#worker?.postMessage(message, bytes > 0 ? [packed.data.buffer as ArrayBuffer] : []);
  }

  compact(base: SnapshotMeta): void {
    assert(this.#phase === "open", "compaction of a log that is not open");
    const message: ToLogWorker = { kind: "compact", base };
    this.#worker?.postMessage(message);
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  entries(from: Index, to: Index, maxBytes: number): readonly Entry[] {
    assert(this.#reader !== undefined, "read of a log that is not open");
    const entries = this.#reader.entries(from, to, maxBytes);
    if (entries.length === 0 && from < to && !this.#damaged.has(from)) {
      this.#damaged.add(from);
      this.#options.onDamagedEntry?.(from);
    }
    return entries;
  }

  /** Waits until what was handed over is durable. On a full disk the rest is given up: it was never acknowledged. */
  async close(): Promise<void> {
    if (this.#phase === "open") {
      this.#phase = "closing";
      this.#closeReader();
      await this.#ask({ kind: "close" }, closeTimeoutMs);
    }
    this.#stop();
  }

  #ask(message: ToLogWorker, timeoutMs: number): Promise<FromLogWorker> {
    return new Promise((resolve) => {
      this.#patience = setTimeout(() => this.#answered?.({ kind: "closed" }), timeoutMs);
      this.#answered = (answer) => {
        clearTimeout(this.#patience);
        this.#answered = undefined;
        resolve(answer);
      };
      this.#worker ??= this.#start();
      this.#worker.postMessage(message);
    });
  }

  #start(): Worker {
    const worker = new Worker(new URL("./log-worker.ts", import.meta.url));
    worker.onmessage = (event: MessageEvent<FromLogWorker>) => this.#onMessage(event.data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#onMessage({ kind: "fault", code: "disk", message: `the log's worker failed: ${event.message}` });
    };
    worker.addEventListener("close", () => {
      if (this.#phase === "closed" || this.#worker !== worker) return;
      this.#onMessage({ kind: "fault", code: "disk", message: "the log's worker ended" });
    });
    return worker;
  }

  #onMessage(message: FromLogWorker): void {
    switch (message.kind) {
      case "alive":
        // It opens, or fails, or ends: all of that is told.
        clearTimeout(this.#patience);
        break;
      case "durable":
        this.#durable(message.token);
        break;
      case "fault":
        if (this.#phase === "opening" || (this.#phase === "closing" && message.code !== "disk-full"))
          this.#answered?.(message);
        // "data" cannot be told from a failing disk once the log was open: both end the process.
        if (this.#phase !== "opening") {
          this.#options.onFault(message.code === "disk-full" ? "disk-full" : "disk", message.message);
        }
        break;
      case "opened":
      case "closed":
        this.#answered?.(message);
        break;
    }
  }

  #durable(token: number): void {
    let next = this.#pending[this.#head];
    while (next !== undefined && next.token <= token) {
      this.#pendingBytes -= next.bytes;
      next = this.#pending[++this.#head];
    }
    if (this.#head === this.#pending.length || this.#head > 1024) {
      this.#pending = this.#pending.slice(this.#head);
      this.#head = 0;
    }
    this.#options.onDurable(token);
  }

  #stop(): void {
    this.#phase = "closed";
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#closeReader();
  }

  #closeReader(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }
}

/** An append as it travels to the worker. Entries of one append must follow each other: a gap is a bug of the machine, and must not reach the disk. */
export function packAppend(append: Append): PackedAppend {
  const first = append.entries[0]?.index ?? 0;
  const terms: number[] = [];
  const kinds: number[] = [];
  const lengths: number[] = [];
  let total = 0;
  for (const entry of append.entries) {
    assert(entry.index === first + terms.length, `entry ${entry.index} in an append from ${first} is out of order`);
    terms.push(entry.term);
    kinds.push(kindNumber(entry.kind));
    lengths.push(entry.data.length);
    total += entry.data.length;
  }
  const data = new Uint8Array(total);
  let at = 0;
  for (const entry of append.entries) {
    data.set(entry.data, at);
    at += entry.data.length;
  }
  const { token, hardState, snapshot } = append;
  return { token, hardState, snapshot, first, terms, kinds, lengths, data };
}
