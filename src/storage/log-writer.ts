import { Fault } from "../lib/fault.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { LogDatabase, type PackedAppend } from "./log-database.ts";
import { asFault } from "./sqlite-errors.ts";
import type { StateBeside } from "./types.ts";

/** What the log's thread is told. */
export type ToLogWorker =
  | { readonly kind: "open"; readonly path: string; readonly state: StateBeside | undefined }
  | { readonly kind: "append"; readonly append: PackedAppend }
  | { readonly kind: "compact"; readonly base: SnapshotMeta }
  | { readonly kind: "close" };

export type FromLogWorker =
  /** The thread lives and has begun to open, which takes as long as there is to be read. */
  | { readonly kind: "alive" }
  /** `told`: what was found damaged, in words for people. */
  | { readonly kind: "opened"; readonly told: string | undefined }
  | { readonly kind: "durable"; readonly token: number }
  | { readonly kind: "fault"; readonly code: "data" | "disk" | "disk-full"; readonly message: string }
  | { readonly kind: "closed" };

/** How long a full disk is left alone before the same batch is tried again. */
const fullRetryMs = 500;

export interface LogWriterPorts {
  post(message: FromLogWorker): void;
  /** Once what has arrived is heard (0 ms), or after that time. */
  after(ms: number, run: () => void): void;
}

/**
 * Owns log.db's writing connection. It drains its whole inbox into one transaction: what arrives while a sync runs goes into the next one. That
 * is the group commit; there is no timer. Production runs it in a thread of its own (log-worker.ts), a simulation under its own time.
 */
export class LogWriter {
  readonly #ports: LogWriterPorts;
  #path = "";
  #database: LogDatabase | undefined;
  #inbox: PackedAppend[] = [];
  /** The newest base that is not written yet. Appends that came before it are written before it. */
  #base: SnapshotMeta | undefined;
  #scheduled = false;
  #closing = false;
  /** In a full-disk episode: it has been told once. */
  #full = false;
  /** A sync failed, so what the file holds is not known: nothing is written any more (D4). */
  #broken = false;

  constructor(ports: LogWriterPorts) {
    this.#ports = ports;
  }

  tell(message: ToLogWorker): void {
    switch (message.kind) {
      case "open":
        this.#open(message.path, message.state);
        break;
      case "append":
        this.#inbox.push(message.append);
        this.#schedule();
        break;
      case "compact":
        this.#base = message.base;
        this.#schedule();
        break;
      case "close":
        this.#closing = true;
        if (this.#full) this.#finish();
        else this.#schedule();
        break;
    }
  }

  #open(path: string, state: StateBeside | undefined): void {
    this.#path = path;
    try {
      this.#database = new LogDatabase(path);
      this.#ports.post({ kind: "opened", told: state === undefined ? undefined : this.#database.reconcile(state) });
    } catch (error) {
      this.#broken = true;
      this.#postFault(error);
    }
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#ports.after(0, () => this.#drain());
  }

  #drain(): void {
    this.#scheduled = false;
    const database = this.#database;
    if (this.#broken || database === undefined) {
      if (this.#closing) this.#finish();
      return;
    }
    const last = this.#inbox.at(-1);
    if (last !== undefined) {
      try {
        database.write(this.#inbox);
      } catch (error) {
        this.#refused(error);
        return;
      }
      this.#inbox = [];
      this.#ports.post({ kind: "durable", token: last.token });
    }
    // After the news, so that nobody waits for it.
    if (!this.#tidied(database)) return;
    this.#full = false;
    if (this.#closing) this.#finish();
    else if (database.trimIsDue && !this.#full) this.#schedule();
  }

  /** One step of what can wait: a new base, compacted rows, the WAL. */
  #tidied(database: LogDatabase): boolean {
    try {
      if (this.#base !== undefined) database.compact(this.#base);
      else if (database.trimIsDue) database.trim();
      this.#base = undefined;
    } catch (error) {
      this.#refused(error);
      return false;
    }
    return this.#checkpointed(database);
  }

  #checkpointed(database: LogDatabase): boolean {
    if (!database.checkpointIsDue()) return true;
    try {
      database.checkpoint();
      return true;
    } catch (error) {
      this.#broken = true;
      this.#postFault(error);
      return false;
    }
  }

  /** Rolled back for want of room: the same appends in the same order again, later. Anything else is the end. */
  #refused(error: unknown): void {
    const fault = asFault(error, this.#path);
    if (fault instanceof Fault && fault.code === "disk-full") {
      if (!this.#full) this.#postFault(fault);
      this.#full = true;
      if (this.#closing) this.#finish();
      else {
        this.#scheduled = true;
        this.#ports.after(fullRetryMs, () => this.#drain());
      }
      return;
    }
    this.#broken = true;
    this.#postFault(error);
  }

  #finish(): void {
    try {
      this.#database?.close();
    } catch (error) {
      this.#postFault(error);
    }
    this.#database = undefined;
    this.#ports.post({ kind: "closed" });
  }

  #postFault(error: unknown): void {
    const fault = asFault(error, this.#path);
    const code = fault instanceof Fault && (fault.code === "data" || fault.code === "disk-full") ? fault.code : "disk";
    this.#ports.post({ kind: "fault", code, message: fault instanceof Error ? fault.message : String(fault) });
  }
}
