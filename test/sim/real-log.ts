import { Database } from "bun:sqlite";
import type { Random } from "../../src/lib/prng.ts";
import type { Append, Configuration, Entry, HardState, Restored, SnapshotMeta } from "../../src/raft/types.ts";
import { LogDatabase } from "../../src/storage/log-database.ts";
import { LogDatabaseReader } from "../../src/storage/log-reader.ts";
import { packAppend } from "../../src/storage/log-store.ts";
import type { StateBeside } from "../../src/storage/types.ts";
import { crashFile, walMark, type WalMark } from "./sqlite-files.ts";
import { type LogFile, StoredLog } from "./stored-log.ts";

/** What belongs to one row is found at another one. */
const astray =
  "update entry set (term, kind, crc, data) = (select term, kind, crc, data from entry where idx = ?) where idx = ?";

/** A log.db of the production's code in a real file, beside the model of it: after each crash the two must agree. */
export class RealLog implements LogFile {
  readonly #path: string;
  readonly #random: Random;
  readonly #fail: (problem: string) => void;
  #model = new StoredLog();
  #database: LogDatabase | undefined;
  #reader: LogDatabaseReader | undefined;
  #synced: WalMark = { salts: "", end: 0 };
  /** What was being written at the last crash: there whole, or not at all. */
  #inFlight: readonly Append[] | undefined;
  crashes = 0;
  cuts = 0;

  constructor(path: string, random: Random, fail: (problem: string) => void) {
    this.#path = path;
    this.#random = random;
    this.#fail = fail;
  }

  get hardState(): HardState {
    return this.#model.hardState;
  }

  get base(): SnapshotMeta {
    return this.#model.base;
  }

  get lastIndex(): number {
    return this.#model.lastIndex;
  }

  get repair(): Restored["repair"] {
    return this.#model.repair;
  }

  get overwrites(): number {
    return this.#model.overwrites;
  }

  termAt(at: number): number | undefined {
    return this.#model.termAt(at);
  }

  configurations(): Configuration[] {
    return this.#model.configurations();
  }

  /** As the log's worker does it at a start. */
  open(): void {
    this.#database = new LogDatabase(this.#path, () => 0.5);
    this.#reader = new LogDatabaseReader(this.#path);
    this.#settle(this.#reader);
    this.#compare("after a crash");
    this.#synced = walMark(this.#path, this.#synced);
  }

  /** Whether what was under way at the crash is there is for the file to say. */
  #settle(reader: LogDatabaseReader): void {
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    if (inFlight === undefined || this.#model.isDamaged) return;
    const found = reader.restore();
    const after = this.#model.clone();
    after.write(inFlight);
    if (isSame(found, after) && !isSame(found, this.#model)) this.#model = after;
  }

  reconcile(state: StateBeside): string | undefined {
    const told = this.#database!.reconcile(state);
    this.#model.reconcile(state);
    this.#compare("beside its state");
    this.#synced = walMark(this.#path, this.#synced);
    return told;
  }

  #compare(when: string): void {
    if (this.#model.isDamaged) return; // told apart by reconcile()
    const found = this.#reader!.restore();
    if (!isSame(found, this.#model))
      this.#fail(
        `log.db ${when} is not what the model says: ${describe(found)}, expected ${describe(this.#model.restored())}`,
      );
  }

  write(appends: readonly Append[]): void {
    this.#database!.write(appends.map(packAppend));
    this.#model.write(appends);
    this.#synced = walMark(this.#path, this.#synced);
  }

  compact(base: SnapshotMeta): void {
    const database = this.#database!;
    database.compact(base);
    this.#model.compact(base);
    while (database.trimIsDue) database.trim();
    if (this.#random() < 0.2) database.checkpoint();
    this.#synced = walMark(this.#path, this.#synced);
  }

  restored(): Restored {
    return this.#reader!.restore();
  }

  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    return this.#reader!.entries(from as Entry["index"], to as Entry["index"], maxBytes);
  }

  /** While nobody has it open: bits of the entry's data, or of its checksum, are not what they were; or all of it is that of another row. */
  damage(at: number, instead?: number): void {
    const database = new LogDatabase(this.#path, () => 0.5);
    const reader = new LogDatabaseReader(this.#path);
    this.#settle(reader);
    reader.close();
    database.close();
    if (at <= this.base.index || at > this.lastIndex) return;
    this.#model.damage(at);
    this.#flip(at, instead);
  }

  #flip(at: number, instead: number | undefined): void {
    const database = new Database(this.#path, { readwrite: true });
    try {
      if (instead === undefined) database.run("update entry set crc = crc + 1 where idx = ?", [at]);
      else database.run(astray, [instead, at]);
    } finally {
      database.close();
    }
  }

  /** The process ends; `inFlight` was being written, and `kept` says that it had reached the disk. */
  crash(inFlight: readonly Append[] | undefined, kept: boolean): void {
    const database = this.#database;
    if (database === undefined) return;
    this.crashes += 1;
    if (inFlight !== undefined) database.write(inFlight.map(packAppend));
    this.#inFlight = inFlight;
    const close = (): void => {
      this.#reader?.close();
      database.close();
    };
    const { isCut } = crashFile(this.#path, close, {
      synced: this.#synced,
      keepsAll: kept,
      random: this.#random,
    });
    if (isCut) this.cuts += 1;
    this.#database = undefined;
    this.#reader = undefined;
  }

  close(): void {
    this.#reader?.close();
    this.#database?.close();
    this.#database = undefined;
    this.#reader = undefined;
  }
}

function isSame(found: Restored, model: StoredLog): boolean {
  const expected = model.restored();
  return (
    describe(found) === describe(expected) &&
    found.configurations.length === expected.configurations.length &&
    found.window.every((entry) => model.termAt(entry.index) === entry.term)
  );
}

function describe({ hardState, baseIndex, baseTerm, lastIndex, termRuns, repair }: Restored): string {
  const { term, vote } = hardState;
  const runs = termRuns.map((run) => `${run.first}:${run.term}`).join(" ");
  return `term ${term} vote ${vote} base ${baseIndex}:${baseTerm} last ${lastIndex} runs ${runs} repair ${repair?.until ?? "none"}`;
}
