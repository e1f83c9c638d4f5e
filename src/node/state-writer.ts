import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { Entry, SnapshotMeta } from "../raft/types.ts";
import type { AppliedBug } from "../state/apply.ts";
import type { StatePlace } from "../storage/state-db.ts";
import type { AppliedEvent } from "./api.ts";

/**
 * The main thread's side of state.db's one writer (state-worker.ts): entries go over as messages, outcomes and changes come
 * back as messages; no object is shared. Order is kept both ways.
 */

export interface OpenState {
  readonly kind: "open";
  readonly path: string;
  readonly self: NodeId;
  /** The newest level that this node understands (S2). */
  readonly level: number;
}
export interface ApplyState {
  readonly kind: "apply";
  readonly entries: readonly Entry[];
}
/** A verified copy of a state takes the place of state.db. */
export interface InstallState {
  readonly kind: "install";
  readonly from: string;
  /** What it was verified to be. */
  readonly snapshot: SnapshotMeta;
  /** Where the present file is kept; undefined: it goes. */
  readonly asideAs: string | undefined;
}
export type StateRequest = OpenState | ApplyState | InstallState | { readonly kind: "close" };

/** Outcomes of one batch that this node proposed. */
export interface BatchOutcome {
  readonly serial: number;
  readonly index: number;
  readonly outcomes: readonly Outcome<unknown>[];
}

/** What a cut came to, nothing in it but what JSON can say. */
export interface Told {
  readonly outcomes: readonly BatchOutcome[];
  readonly events: readonly AppliedEvent[];
}

export type StateReply =
  /** The thread lives and has begun to open, which takes as long as there is to be read and written back. */
  | { readonly kind: "alive" }
  | { readonly kind: "opened"; readonly place: StatePlace }
  | { readonly kind: "installed"; readonly place: StatePlace }
  /** Entries up to `applied` are synced in state.db. */
  | { readonly kind: "durable"; readonly applied: number }
  | {
      readonly kind: "applied";
      readonly applied: number;
      /** {@link Told} as JSON: a text goes over at a third of the cost of a thousand small objects. */
      readonly told: string;
      /** After each of the entries, two words each. */
      readonly hashes: Uint32Array;
      readonly bugs: readonly AppliedBug[];
    }
  /** There is no room for the next entries: they are rolled back, and tried again until there is (D4). Told at every failed attempt. */
  | { readonly kind: "full"; readonly message: string }
  | { readonly kind: "closed" }
  /** `unknown-command`: this binary is too old for the log (S2); `disk`: the process must end. */
  | { readonly kind: "fault"; readonly code: "disk" | "unknown-command" | "bug"; readonly message: string };

export interface StateWriterHooks {
  onApplied(
    applied: number,
    outcomes: readonly BatchOutcome[],
    events: readonly AppliedEvent[],
    hashes: Uint32Array,
  ): void;
  /** A command's apply threw (S4). */
  onBug(bug: AppliedBug): void;
  /** Entries up to `applied` are synced in state.db: the log before need not be kept for this node (D3). */
  onDurable(applied: number): void;
  /** Nothing can be applied for want of room; told again until it can. */
  onFull(message: string): void;
  onFault(code: "disk" | "unknown-command" | "bug", message: string): void;
}

/** Messages to and from the state worker. */
export class StateWriter {
  readonly #worker: Worker;
  readonly #hooks: StateWriterHooks;
  #alive: (() => void) | undefined;
  #opened: ((place: StatePlace) => void) | undefined;
  #installed: ((place: StatePlace) => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  #closed: (() => void) | undefined;
  #faulted = false;

  constructor(worker: Worker, hooks: StateWriterHooks) {
    this.#worker = worker;
    this.#hooks = hooks;
    worker.addEventListener("message", (event: MessageEvent<StateReply>) => this.#onReply(event.data));
    worker.addEventListener("close", () => {
      if (this.#failed !== undefined) this.#onFault("bug", "the state worker ended while it opened the state");
    });
    worker.addEventListener("error", (event) => this.#onFault("bug", `the state worker failed: ${event.message}`));
  }

  /** Opens or creates state.db and says where it stands. Throws Fault "disk" or "data". */
  open(path: string, self: NodeId, level: number): Promise<StatePlace> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(
            new Fault(
              "data",
              `the state worker did not start within ${limits.workerStartMs} ms: is this host overloaded?`,
              "never",
            ),
          ),
        limits.workerStartMs,
      );
      this.#alive = () => clearTimeout(timer);
      this.#opened = (place) => {
        clearTimeout(timer);
        resolve(place);
      };
      this.#failed = (error) => {
        clearTimeout(timer);
        reject(error);
      };
      this.#post({ kind: "open", path, self, level });
    });
  }

  /** Puts the state of a snapshot in the place of the present one, after everything that was handed over before. A fault is told by onFault. */
  install(from: string, snapshot: SnapshotMeta, asideAs?: string): Promise<StatePlace> {
    return new Promise((resolve) => {
      this.#installed = resolve;
      this.#post({ kind: "install", from, snapshot, asideAs });
    });
  }

  apply(entries: readonly Entry[]): void {
    this.#post({ kind: "apply", entries });
  }

  /** Lets the writer finish what it was given, checkpoints and ends the worker. After a fault there is nothing to wait for: the log replays it (D2). */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#closed = resolve;
    });
    this.#post({ kind: "close" });
    if (!this.#faulted) await closed;
    this.#worker.terminate();
  }

  #post(request: StateRequest): void {
    this.#worker.postMessage(request);
  }

  #onReply(reply: StateReply): void {
    switch (reply.kind) {
      case "alive":
        this.#alive?.();
        break;
      case "opened":
        this.#failed = undefined;
        this.#opened?.(reply.place);
        break;
      case "installed":
        this.#installed?.(reply.place);
        break;
      case "durable":
        this.#hooks.onDurable(reply.applied);
        break;
      case "applied": {
        for (const bug of reply.bugs) this.#hooks.onBug(bug);
        const { outcomes, events } = JSON.parse(reply.told) as Told;
        this.#hooks.onApplied(reply.applied, outcomes, events, reply.hashes);
        break;
      }
      case "full":
        this.#hooks.onFull(reply.message);
        break;
      case "closed":
        this.#closed?.();
        break;
      case "fault":
        this.#onFault(reply.code, reply.message);
        break;
    }
  }

  #onFault(code: "disk" | "unknown-command" | "bug", message: string): void {
    if (this.#failed === undefined) this.#hooks.onFault(code, message);
    else this.#failed(new Fault(code === "disk" ? "disk" : "data", message, "never"));
    this.#faulted = true;
    this.#closed?.();
  }
}
