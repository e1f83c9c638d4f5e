import { Database } from "bun:sqlite";
import { randomInteger, type Random } from "../../src/lib/prng.ts";
import type { Append, Entry, Restored, SnapshotMeta } from "../../src/raft/types.ts";
import { LogDatabaseReader } from "../../src/storage/log-reader.ts";
import { packAppend } from "../../src/storage/log-store.ts";
import { type FromLogWorker, LogWriter } from "../../src/storage/log-writer.ts";
import type { StateBeside } from "../../src/storage/types.ts";
import { ModelStore } from "./model-store.ts";
import { SqliteFiles } from "./sqlite-files.ts";
import { check } from "./violation.ts";

/** Where the power goes in a transaction of the log. */
const moments = ["begin", "before the commit", "after the commit"] as const;
type Moment = (typeof moments)[number];

/** The store whose writer is at work: it sees every statement that a connection is given as text. */
let atWork: SqliteStore | undefined;

function letWork(store: SqliteStore | undefined): void {
  atWork = store;
}
const { run } = Object.getOwnPropertyDescriptors(Database.prototype);
Database.prototype.run = function (this: Database, ...call: Parameters<Database["run"]>) {
  const go = (): ReturnType<Database["run"]> => run.value!.apply(this, call);
  return atWork === undefined ? go() : atWork.onStatement(this, call[0], go);
};

/**
 * The production log on real files: log-writer.ts writes, log-reader.ts reads, log-database.ts reconciles. The model that it extends is what was
 * acknowledged; after every crash the files must say the same, or that they are damaged.
 */
export class SqliteStore extends ModelStore {
  readonly #files: SqliteFiles;
  readonly #random: Random;
  #writer: LogWriter | undefined;
  #reader: LogDatabaseReader | undefined;
  #tasks: (() => void)[] = [];
  #told: Append[] = [];
  #acknowledged: number | undefined;
  #opened: FromLogWorker | undefined;
  /** A sync failed: what was to be synced is lost, and so is what comes after it, whatever later syncs say. */
  #isLost = false;
  #cutAt: Moment | undefined;
  /** The power is off: nothing that still runs matters. */
  #isOff = false;
  #failsNext = false;

  constructor(directory: string, random: Random) {
    super();
    this.#files = new SqliteFiles(directory, "log.db", random);
    this.#random = random;
  }

  /** A process starts. The model knows what it must find. */
  override open(beside: StateBeside): Restored {
    super.open(beside);
    this.#isOff = this.#isLost = this.failed = this.#failsNext = false;
    this.#tasks = [];
    const writer = new LogWriter({
      post: (message) => this.#heard(writer, message),
      after: (_ms, task) => void this.#tasks.push(task),
    });
    this.#writer = writer;
    this.#opened = undefined;
    this.#work(() => writer.tell({ kind: "open", path: this.#files.path, state: beside }));
    const opened = this.#opened as FromLogWorker | undefined;
    check("starts-again", opened?.kind === "opened", `the log does not open: ${JSON.stringify(opened)}`);
    this.#reader = new LogDatabaseReader(this.#files.path);
    const restored = this.#reader.restore();
    check("storage-model", textOf(restored) === textOf(this.restored()), difference(restored, this.restored()));
    return restored;
  }

  #heard(writer: LogWriter, message: FromLogWorker): void {
    if (this.#isOff || writer !== this.#writer) return;
    if (message.kind === "opened") this.#opened = message;
    else if (message.kind === "fault" && message.code !== "disk-full") {
      this.#opened = message;
      this.failed = true;
    } else if (message.kind === "durable") {
      this.#acknowledged = message.token;
      while (this.#told.length > 0 && this.#told[0]!.token <= message.token) super.write(this.#told.shift()!);
    }
  }

  /** What a connection of the writer is asked to do. */
  onStatement(database: Database, text: string, go: () => ReturnType<Database["run"]>): ReturnType<Database["run"]> {
    if (text.startsWith("begin")) this.#powerGoes("begin");
    if (text !== "commit") return go();
    this.#powerGoes("before the commit");
    if (this.#failsNext && !this.#isOff) {
      this.#failsNext = false;
      this.#isLost = true;
      throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_FSYNC" });
    }
    const result = go();
    // What SQLite itself syncs at a commit in WAL mode is a matter of this setting.
    const full = 2;
    const level = Object.values(database.query("pragma synchronous").get() as object)[0] as number;
    if (level >= full && !this.#isLost) this.#files.synced();
    this.#powerGoes("after the commit");
    return result;
  }

  #powerGoes(moment: Moment): void {
    if (this.#cutAt !== moment) return;
    this.#cutAt = undefined;
    this.#files.cut(this.#isLost);
    this.#isOff = true;
  }

  #work(action: () => void): void {
    letWork(this);
    try {
      action();
      for (let task = this.#tasks.shift(); task !== undefined; task = this.#isOff ? undefined : this.#tasks.shift())
        task();
    } finally {
      letWork(undefined);
    }
  }

  /** The worker hears of the oldest `count` appends and does what it has to do. */
  override sync(count = this.pending.length): number | undefined {
    this.#acknowledged = undefined;
    this.#hand(count);
    return this.#acknowledged;
  }

  #hand(count: number): void {
    const writer = this.#writer!;
    this.#work(() => {
      for (const append of this.pending.splice(0, count)) {
        this.#told.push(append);
        writer.tell({ kind: "append", append: packAppend(append) });
      }
    });
  }

  override failNextSync(will: boolean): void {
    this.#failsNext = will;
  }

  /** The power goes while `count` appends are being written, or while none is. Gives what was acknowledged right before. */
  override crash(count = 0): number | undefined {
    this.#acknowledged = undefined;
    this.#cutAt = moments[randomInteger(this.#random, 0, moments.length - 1)];
    if (count > 0) this.#hand(count);
    this.#cutAt = undefined;
    if (!this.#isOff) this.#files.cut(this.#isLost);
    this.#isOff = true;
    this.pending = [];
    this.#discard();
    this.#files.begin();
    this.#settleDoubt();
    return this.#acknowledged;
  }

  #discard(): void {
    this.#reader?.close();
    const writer = this.#writer;
    this.#writer = undefined;
    // It closes its connection, to files that are thrown away.
    writer?.tell({ kind: "close" });
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task();
  }

  /** What was being written and not acknowledged is there whole or not at all. */
  #settleDoubt(): void {
    const inDoubt = this.#told.splice(0);
    if (inDoubt.length === 0) return;
    const reader = new LogDatabaseReader(this.#files.path);
    const found = textOf(reader.restore());
    reader.close();
    if (found !== textOf(this.restored())) for (const append of inDoubt) super.write(append);
  }

  /** One bit of the entry's row. */
  override damage(at: number): void {
    super.damage(at);
    const database = new Database(this.#files.path, { readwrite: true });
    database.run("update entry set crc = crc + 1 where idx = ?", [at]);
    database.run("pragma wal_checkpoint(truncate)");
    database.close();
  }

  override compact(base: SnapshotMeta): void {
    this.#work(() => this.#writer!.tell({ kind: "compact", base }));
    if (!this.failed) super.compact(base);
  }

  override entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    const found = this.#reader!.entries(from as Entry["index"], to as Entry["index"], maxBytes);
    for (const entry of found)
      check("storage-model", this.termAt(entry.index) === entry.term, `entry ${entry.index} is not what was stored`);
    return found;
  }

  override close(): void {
    this.#isOff = true;
    this.#discard();
  }
}

/** What must be equal, as text. The commit index is a hint, and how much is kept in memory a matter of taste. */
function textOf({ hardState, baseIndex, baseTerm, lastIndex, termRuns, configurations, repair }: Restored): string {
  const { term, vote } = hardState;
  return JSON.stringify({ term, vote, baseIndex, baseTerm, lastIndex, termRuns, configurations, repair });
}

function difference(found: Restored, expected: Restored): string {
  return `the log says ${textOf(found)}, and was to say ${textOf(expected)}`;
}
