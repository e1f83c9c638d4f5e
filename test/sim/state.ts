import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { assert } from "../../src/lib/assert.ts";
import { Fault } from "../../src/lib/fault.ts";
import type { NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Random } from "../../src/lib/prng.ts";
import type { StateWriterHooks } from "../../src/node/state-writer.ts";
import type { MadeSnapshot } from "../../src/node/snapshot-send.ts";
import type { Entry, SnapshotMeta } from "../../src/raft/types.ts";
import { applyEntries, UnknownCommand } from "../../src/state/apply.ts";
import { schema } from "../../src/state/schema.ts";
import type { ReadTx } from "../../src/state/tx.ts";
import { checkState, copyState, installState, metaOf } from "../../src/storage/snapshot-file.ts";
import type { JudgedState } from "../../src/storage/snapshot-task.ts";
import { StateDatabase, type StatePlace } from "../../src/storage/state-db.ts";
import { StateReader } from "../../src/storage/state-reader.ts";
import type { OddKind } from "./odd-kinds.ts";
import { editFile, editImage, FailingCommands, type Odd } from "./odd-state.ts";
import { crashFile, walMark, type WalMark } from "./sqlite-files.ts";
import type { Runner, VirtualTime } from "./virtual-time.ts";

/** As in the state's worker. */
const checkpointCuts = 256;
/** An image of the whole state is taken every so many entries; what is between two is applied once more where a power cut asks for it. */
const imageEntries = 256;
const fullRetryMicros = 500_000;

export interface StateProfile {
  /** µs that one cut takes, on average. */
  readonly applyMean: number;
  /** state.db is this file; undefined: it is in memory. */
  readonly path: string | undefined;
}

/** One host's state.db: the production database and apply, in memory, with what of it is durable. */
export class SimState {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #profile: StateProfile;
  readonly #level: () => number;
  /** Told the place after each cut. */
  readonly #onCut: (place: StatePlace, odd: Odd | undefined) => void;
  #database: StateDatabase | undefined;
  /** A snapshot has taken its place, and views are still of it. */
  #replaced: StateDatabase | undefined;
  /** Of the process before: its last turn may still read. */
  #last: StateDatabase | undefined;
  /** What is durable is this image and the entries of `#sinceImage` up to `durableApplied`; undefined: nothing yet. */
  #durable: Uint8Array | undefined;
  /** Applied after `#durable`, in order. */
  #sinceImage: Entry[] = [];
  /** Of them some were not applied as they would be now. */
  #isApart = false;
  /** The rolling hash at `durableApplied`. */
  #durableHash = "";
  /** `#last` is what a killed process left: the cache of its machine has all of it. */
  #isCached = false;
  durableApplied = 0;
  #runner: Runner | undefined;
  #self: NodeId | undefined;
  #hooks: StateWriterHooks | undefined;
  #queue: Entry[] = [];
  #busy = false;
  #sinceCheckpoint = 0;
  #checkpointing = false;
  #reader: StateReader | undefined;
  /** Applying waits until then. */
  slowUntil = 0;
  /** There is no room for what is applied until then. */
  fullUntil = 0;
  checkpoints = 0;
  #isWalSynced = false;
  #synced: WalMark = { salts: "", end: 0 };
  /** The file has less than what was synced. */
  lostAfterSync = false;
  /** Crashes that cut the file's WAL. */
  cuts = 0;
  /** Copies take so long at least: the disk is slow to read. */
  copySlowUntil = 0;
  #odd: Odd | undefined;
  #failing: FailingCommands | undefined;
  #wrongUntil = -Infinity;
  /** It was odd once. */
  wasOdd = false;

  constructor(
    time: VirtualTime,
    random: Random,
    profile: StateProfile,
    level: () => number,
    onCut: (place: StatePlace, odd: Odd | undefined) => void,
  ) {
    this.#time = time;
    this.#random = random;
    this.#profile = profile;
    this.#level = level;
    this.#onCut = onCut;
  }

  open(runner: Runner, self: NodeId, hooks: StateWriterHooks): StatePlace {
    this.#runner = runner;
    this.#self = self;
    this.#hooks = hooks;
    this.#queue = [];
    this.#busy = false;
    this.#sinceCheckpoint = 0;
    this.#checkpointing = false;
    const { path } = this.#profile;
    const isCached = this.#isCached;
    this.#database ??= path === undefined ? this.#openMemory() : this.#openFile(path);
    const { place } = this.#database;
    this.#failing = undefined;
    // What failed inside was not durable, and is applied again.
    if (this.#odd !== undefined && place.applied < this.#odd.since) this.#cure();
    if (place.applied > 0) this.#onCut(place, this.#odd);
    this.lostAfterSync = place.applied < this.durableApplied;
    // What a killed process left follows from what was durable; another image would say the same.
    if (isCached) this.#sync();
    else this.#syncWhole();
    return place;
  }

  get place(): StatePlace {
    return this.#database!.place;
  }

  /** What is wrong with this state; undefined: nothing is. */
  get odd(): Odd | undefined {
    return this.#odd;
  }

  /** A command will fail inside, here alone. */
  get isToFail(): boolean {
    return this.#failing !== undefined;
  }

  /** No more goes wrong here. */
  heal(): void {
    this.slowUntil = 0;
    this.fullUntil = 0;
    this.copySlowUntil = 0;
    this.#failing = undefined;
  }

  /** What rows were read from it until then (µs) may be wrong, and what was done by them. */
  get wrongUntil(): number {
    return this.#odd !== undefined && this.#odd.kind !== "hash" ? Infinity : this.#wrongUntil;
  }

  /**
   * Makes the state wrong behind its back, durably, whether a process has it open or not; "bug": a command will fail inside. False: there is nothing
   * of that kind to change.
   */
  spoil(kind: OddKind): boolean {
    if (kind === "bug") {
      if (this.#runner === undefined) return false;
      this.#failing = new FailingCommands();
      return true;
    }
    const { path } = this.#profile;
    const isOpen = this.#runner !== undefined;
    if (path === undefined) {
      const present = isOpen ? this.#database : this.#isCached ? this.#last : undefined;
      const image = present?.image() ?? this.#restored();
      const edited = image === undefined ? undefined : editImage(image, kind);
      if (edited === undefined) return false;
      const database = new StateDatabase({ path: ":memory:", schema, image: edited });
      this.#isCached = false;
      this.#takeDurable(edited, database.place);
      if (isOpen) this.#database!.close();
      if (isOpen) this.#database = database;
      else database.close();
      this.#spoiled(kind, this.durableApplied, database);
      return true;
    }
    if (!existsSync(path)) return false;
    if (isOpen) this.#database!.close();
    const isDone = editFile(path, kind);
    const database = this.#openFile(path);
    if (isDone) this.durableApplied = database.applied;
    if (isDone) this.#spoiled(kind, database.applied, database);
    if (isOpen) {
      this.#database = database;
      this.#sync();
    } else database.close();
    return isDone;
  }

  #spoiled(kind: OddKind, since: number, { place }: StateDatabase): void {
    this.#odd = { kind, since, isSeen: false };
    this.wasOdd = true;
    this.#onCut(place, this.#odd);
  }

  #cure(): void {
    if (this.#odd !== undefined && this.#odd.kind !== "hash") this.#wrongUntil = this.#time.now;
    this.#odd = undefined;
  }

  view<Value>(query: (tx: ReadTx) => Value): Value {
    const reader = this.#reader;
    if (reader !== undefined) return reader.snapshot(() => query(reader));
    return query(this.#replaced ?? this.#database ?? this.#last ?? nothing);
  }

  /** Views are of that file from now on, or of the state again. */
  viewState(path: string | undefined): void {
    this.#reader?.close();
    this.#reader = path === undefined ? undefined : new StateReader(path);
    this.#replaced?.close();
    this.#replaced = undefined;
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) this.#queue.push(entry);
    this.#work();
  }

  #work(): void {
    if (this.#busy || this.#queue.length === 0) return;
    this.#busy = true;
    const runner = this.#runner!;
    const takes = 20 - Math.log(1 - this.#random()) * this.#profile.applyMean;
    const slow = Math.max(0, this.slowUntil - this.#time.now);
    this.#time.after(slow + takes, undefined, () => {
      if (this.#runner !== runner || !runner.alive) return;
      this.#busy = false;
      if (this.fullUntil > this.#time.now) this.#full(runner);
      else this.#cut(runner);
      this.#work();
    });
  }

  #full(runner: Runner): void {
    const hooks = this.#hooks!;
    this.#busy = true;
    this.#time.after(30, runner, () => hooks.onFull("the disk is full"));
    this.#time.after(fullRetryMicros, undefined, () => {
      if (this.#runner !== runner || !runner.alive) return;
      this.#busy = false;
      this.#work();
    });
  }

  #cut(runner: Runner): void {
    const hooks = this.#hooks!;
    const database = this.#database!;
    try {
      const failing = this.#failing;
      const commands = failing === undefined ? {} : { commandByTag: failing.byTag };
      const result = applyEntries(database, this.#queue, { self: this.#self!, level: this.#level(), ...commands });
      const applied = this.#queue.splice(0, result.count);
      if (this.#profile.path === undefined) this.#sinceImage.push(...applied);
      if (failing?.entry !== undefined) {
        this.#failing = undefined;
        this.#isApart = true;
        this.#odd = { kind: "bug", since: failing.entry, isSeen: false };
        this.wasOdd = true;
      }
      this.#onCut(database.place, this.#odd);
      this.#time.after(30, runner, () => {
        for (const bug of result.bugs) hooks.onBug(bug);
        hooks.onApplied(result.applied, result.outcomes, result.events, result.hashes);
      });
    } catch (error) {
      const code = error instanceof UnknownCommand ? "unknown-command" : error instanceof Fault ? "disk" : "bug";
      const message = error instanceof Error ? error.message : String(error);
      this.#queue = [];
      this.#time.after(30, runner, () => hooks.onFault(code, message));
      return;
    }
    this.#sinceCheckpoint += 1;
    if (this.#sinceCheckpoint >= checkpointCuts) this.#checkpoint(runner);
    else if (!this.#checkpointing) {
      this.#checkpointing = true;
      this.#time.after(limits.checkpointEveryMs * 1000, undefined, () => {
        this.#checkpointing = false;
        if (this.#runner === runner && runner.alive) this.#checkpoint(runner);
      });
    }
  }

  /** A new process's connection: nothing of what the last one had in its own memory, and the pages as they were. */
  #openMemory(): StateDatabase {
    const left = this.#isCached ? this.#last?.handOver() : undefined;
    if (left !== undefined) this.#last = undefined;
    this.#isCached = false;
    return new StateDatabase({ path: ":memory:", schema, image: left ?? this.#restored() });
  }

  #openFile(path: string): StateDatabase {
    return new StateDatabase({ path, schema, sync: () => void (this.#isWalSynced = true) });
  }

  #checkpoint(runner: Runner): void {
    if (this.#sinceCheckpoint === 0) return;
    this.#sinceCheckpoint = 0;
    this.#sync();
    const { applied } = this.#database!;
    this.#time.after(200, runner, () => this.#hooks!.onDurable(applied));
  }

  #sync(): void {
    if (this.#profile.path === undefined && (this.#isApart || this.#sinceImage.length >= imageEntries)) {
      this.#syncWhole();
      return;
    }
    this.checkpoints += 1;
    if (this.#profile.path !== undefined) {
      // Nothing is taken for synced because the call came back: it is home, or the WAL was synced, or a crash takes it.
      this.#isWalSynced = false;
      if (!this.#database!.checkpoint().isHome && !this.#isWalSynced) return;
      this.#synced = walMark(this.#profile.path, this.#synced);
    }
    const { applied, hash } = this.#database!.place;
    this.durableApplied = applied;
    this.#durableHash = hash;
  }

  /** The same, where what is open does not follow from what was durable before. */
  #syncWhole(): void {
    if (this.#profile.path !== undefined) return this.#sync();
    this.checkpoints += 1;
    this.#takeDurable(this.#database!.image(), this.#database!.place);
    return undefined;
  }

  #takeDurable(image: Uint8Array, { applied, hash }: StatePlace): void {
    this.#durable = image;
    this.#sinceImage = [];
    this.#isApart = false;
    this.durableApplied = applied;
    this.#durableHash = hash;
  }

  /** What a power cut leaves: the last image, and what was applied from there to the last sync once more, which comes to the same wherever cuts fall (S1). */
  #restored(): Uint8Array | undefined {
    const entries = this.#sinceImage.filter(({ index }) => index <= this.durableApplied);
    if (this.#durable === undefined || entries.length === 0) return this.#durable;
    const database = new StateDatabase({ path: ":memory:", schema, image: this.#durable });
    try {
      while (entries.length > 0) {
        const { count } = applyEntries(database, entries, { self: this.#self!, level: this.#level() });
        entries.splice(0, count);
      }
      const { place } = database;
      assert(place.hash === this.#durableHash, "the same entries come to the same state (S1)");
      this.#takeDurable(database.image(), place);
    } finally {
      database.close();
    }
    return this.#durable;
  }

  /** A verified copy takes the state's place. */
  install(from: string, snapshot: SnapshotMeta, asideAs: string | undefined): Promise<StatePlace> {
    const runner = this.#runner!;
    return new Promise((resolve) => {
      const install = (): void => {
        if (this.#runner !== runner || !runner.alive) return;
        if (this.#busy) return void this.#time.after(1000, undefined, install);
        const { path } = this.#profile;
        if (path === undefined) {
          this.#replaced?.close();
          this.#replaced = this.#database;
          const image = readFileSync(from);
          rmSync(from, { force: true });
          this.#database = new StateDatabase({ path: ":memory:", schema, image });
        } else {
          // As in production: views stay on the old file through a connection of their own.
          this.#reader = new StateReader(path);
          this.#database!.close();
          installState(from, path, snapshot, asideAs);
          this.#database = this.#openFile(path);
        }
        this.#syncWhole();
        this.#cure();
        this.#onCut(this.#database.place, undefined);
        const { place } = this.#database;
        this.#time.after(50, runner, () => resolve(place));
        return undefined;
      };
      this.#time.after(500, undefined, install);
    });
  }

  /** A copy in a file, as it is when the copying ends. */
  copy(path: string): Promise<MadeSnapshot> {
    const runner = this.#runner!;
    return new Promise((resolve, reject) => {
      const slow = Math.max(0, this.copySlowUntil - this.#time.now);
      this.#time.after(slow + 2000 + this.#random() * 50_000, runner, () => {
        const file = this.#profile.path;
        if (file !== undefined) {
          const place = copyState(file, path);
          const bytes = readFileSync(path);
          resolve({ path, snapshot: metaOf(place)!, bytes: bytes.length, sha256: digestOf(bytes), hash: place.hash });
          return;
        }
        const image = this.#database!.image();
        const snapshot = metaOf(this.#database!.place);
        if (snapshot === undefined) {
          reject(new Fault("data", "the state does not say where in the log it stands", "safe"));
          return;
        }
        writeFileSync(path, image);
        resolve({ path, snapshot, bytes: image.length, sha256: digestOf(image), hash: this.#database!.place.hash });
      });
    });
  }

  /** Reads a state file whole and says what it is. */
  check(path: string): Promise<JudgedState> {
    const runner = this.#runner!;
    return new Promise((resolve, reject) => {
      this.#time.after(1000, runner, () => {
        try {
          const place = checkState(path);
          const bytes = readFileSync(path);
          resolve({ kind: "done", place, bytes: bytes.length, sha256: digestOf(bytes) });
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
  }

  /** The process ends. `keepsCache`: what was committed is there still (the machine went on); else the state is an earlier one (D2). */
  crash(keepsCache: boolean): void {
    this.#runner = undefined;
    this.#reader?.close();
    this.#reader = undefined;
    this.#replaced?.close();
    this.#replaced = undefined;
    const database = this.#database;
    if (database === undefined) return;
    const { path } = this.#profile;
    this.#database = undefined;
    if (path !== undefined) {
      const crash = { synced: this.#synced, keepsAll: keepsCache, random: this.#random };
      if (crashFile(path, () => database.close(), crash).isCut) this.cuts += 1;
      return;
    }
    // What the cache has alone is lost with the next power cut, unless the next process syncs it.
    this.#isCached = keepsCache;
    this.#last?.close();
    this.#last = database;
  }

  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
    this.#replaced?.close();
    this.#database?.close();
    this.#last?.close();
    this.#replaced = this.#database = this.#last = undefined;
  }
}

/** What a process that has ended reads after the end of the run. */
const nothing: ReadTx = { get: () => undefined, all: () => [] };

function digestOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
