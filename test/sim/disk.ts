import { randomInteger, type Random } from "../../src/lib/prng.ts";
import type { Append, Entry, Restored, SnapshotMeta } from "../../src/raft/types.ts";
import type { LogStore, StateBeside } from "../../src/storage/types.ts";
import type { LogFile } from "./stored-log.ts";
import type { Runner, VirtualTime } from "./virtual-time.ts";

/** How one host's disk behaves. */
export interface DiskProfile {
  /** µs of a sync: at least, and on average beyond that. */
  readonly syncMin: number;
  readonly syncMean: number;
}

export interface DiskPorts {
  onDurable(token: number): void;
  onFault(code: "disk" | "disk-full", message: string): void;
  /** As the production's store tells it: nothing can be read from there, the first time that it is asked for. */
  onDamagedEntry(at: number): void;
}

/** As in the log's worker. */
const fullRetryMicros = 500_000;
/** For a message between two threads. */
const messageMicros = 50;

/**
 * One host's log: what was handed over, what is being synced, and what is durable. Batches form as in storage/log-worker.ts: what arrives
 * while a sync runs goes into the next one.
 */
export class SimDisk {
  readonly file: LogFile;
  readonly profile: DiskProfile;
  readonly #time: VirtualTime;
  readonly #random: Random;
  /** Called when a transaction has become durable, whether its process lives to hear of it or not. */
  readonly #onStored: () => void;
  #runner: Runner | undefined;
  #ports: DiskPorts | undefined;
  #inbox: Append[] = [];
  #writing: readonly Append[] | undefined;
  #base: SnapshotMeta | undefined;
  #pendingBytes = 0;
  #told = false;
  stalledUntil = 0;
  fullUntil = 0;
  /** Called once, in the middle of the next write. */
  whileWriting: (() => void) | undefined;
  /** The next sync fails (EIO). */
  failing = false;
  /** Nothing was repaired by trying again (D4): set by a sync that failed, until the process has ended. */
  #broken = false;
  /** Starts that found the log and the state apart, and those with entries to be repaired. */
  reconciled = 0;
  repairs = 0;
  /** Transactions that were made durable, and how many appends they held. */
  syncs = 0;
  appends = 0;

  constructor(time: VirtualTime, random: Random, file: LogFile, profile: DiskProfile, onStored: () => void) {
    this.#time = time;
    this.#random = random;
    this.file = file;
    this.profile = profile;
    this.#onStored = onStored;
  }

  /** A process starts with this disk. Throws Fault "data". */
  open(runner: Runner, ports: DiskPorts, beside: StateBeside): { readonly store: LogStore; readonly found: Restored } {
    this.#runner = runner;
    this.#ports = ports;
    this.#broken = false;
    this.#told = false;
    this.file.open();
    if (this.file.reconcile(beside) !== undefined) this.reconciled += 1;
    if (this.file.repair !== undefined) this.repairs += 1;
    const found = this.file.restored();
    const damaged = new Set<number>();
    const isOurs = (): boolean => this.#runner === runner && runner.alive;
    const store: LogStore = {
      open: () => Promise.resolve(found),
      append: (append) => {
        if (isOurs()) this.#append(append);
      },
      compact: (base) => {
        if (!isOurs()) return;
        this.#base = base;
        this.#start();
      },
      pendingBytes: () => this.#pendingBytes,
      entries: (from, to, maxBytes): readonly Entry[] => {
        const entries = this.file.entries(from, to, maxBytes);
        if (entries.length === 0 && from < to && !damaged.has(from)) {
          damaged.add(from);
          ports.onDamagedEntry(from);
        }
        return entries;
      },
      close: () => Promise.resolve(),
    };
    return { store, found };
  }

  /** Appends that are not durable yet, oldest first. */
  get pending(): readonly Append[] {
    return [...(this.#writing ?? []), ...this.#inbox];
  }

  #append(append: Append): void {
    this.#inbox.push(append);
    for (const entry of append.entries) this.#pendingBytes += entry.data.length;
    this.#start();
  }

  #start(): void {
    if (this.#writing !== undefined || this.#broken || (this.#inbox.length === 0 && this.#base === undefined)) return;
    this.#writing = this.#inbox;
    this.#inbox = [];
    const { syncMin, syncMean } = this.profile;
    const takes = syncMin - Math.log(1 - this.#random()) * syncMean;
    const stalled = Math.max(0, this.stalledUntil - this.#time.now);
    const runner = this.#runner;
    this.#time.after(stalled + takes, undefined, () => this.#finish(runner));
    const crash = this.whileWriting;
    if (crash === undefined || this.#writing.length === 0) return;
    this.whileWriting = undefined;
    this.#time.after(this.#random() * takes, undefined, crash);
  }

  #finish(runner: Runner | undefined): void {
    const ports = this.#ports;
    if (runner === undefined || runner !== this.#runner || !runner.alive || ports === undefined) return;
    const batch = this.#writing!;
    const stalled = this.stalledUntil - this.#time.now;
    if (stalled > 0) {
      this.#time.after(stalled, undefined, () => this.#finish(runner));
      return;
    }
    if (this.failing && batch.length > 0) {
      this.failing = false;
      this.#broken = true;
      this.#time.after(messageMicros, runner, () => ports.onFault("disk", "input/output error"));
      return;
    }
    if (this.fullUntil > this.#time.now) {
      if (!this.#told) this.#time.after(messageMicros, runner, () => ports.onFault("disk-full", "the disk is full"));
      this.#told = true;
      this.#time.after(fullRetryMicros, undefined, () => this.#finish(runner));
      return;
    }
    this.#told = false;
    this.#writing = undefined;
    const last = batch.at(-1);
    if (last !== undefined) {
      this.#store(batch);
      this.#time.after(messageMicros, runner, () => ports.onDurable(last.token));
    }
    if (this.#base !== undefined) {
      const base = this.#base;
      this.#base = undefined;
      // The worker writes appends first: a base is never ahead of what the file holds.
      this.file.compact(base);
    }
    this.#start();
  }

  #store(batch: readonly Append[]): void {
    this.syncs += 1;
    this.appends += batch.length;
    for (const append of batch) for (const entry of append.entries) this.#pendingBytes -= entry.data.length;
    this.file.write(batch);
    this.#onStored();
  }

  /**
   * The process ends without a word. What was being written is there whole or not at all; what was not begun is gone. `keep`: how likely the
   * transaction under way had reached the disk.
   */
  crash(keep: number): void {
    const batch = this.#writing;
    this.#runner = undefined;
    this.#ports = undefined;
    const isThere = this.#random() < keep;
    this.file.crash(batch === undefined || batch.length === 0 ? undefined : batch, isThere);
    this.#writing = undefined;
    this.#inbox = [];
    this.#base = undefined;
    this.#pendingBytes = 0;
  }

  /** An index of an entry that is stored, for a bit flip; undefined when there is none. */
  anyEntry(random: Random): number | undefined {
    const { base, lastIndex } = this.file;
    return lastIndex > base.index ? randomInteger(random, base.index + 1, lastIndex) : undefined;
  }
}
