import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { unreachable } from "../lib/assert.ts";
import type { Entry } from "../raft/types.ts";
import { applyEntries, type ApplyResult, UnknownCommand } from "../state/apply.ts";
import { schema } from "../state/schema.ts";
import { limits } from "../lib/limits.ts";
import { EventJournal } from "../storage/event-journal.ts";
import { installState } from "../storage/snapshot-file.ts";
import { StateDatabase } from "../storage/state-db.ts";
import type { StateReply, StateRequest } from "./state-writer.ts";

/**
 * Step 7 of the walk, in a Worker of its own: the one writer of state.db. Entries arrive in log order; each cut of them is one
 * transaction that also moves the applied index and the rolling hash (D2). Checkpoints happen here, between cuts.
 */
declare const self: {
  onmessage: ((event: MessageEvent<StateRequest>) => void) | null;
  postMessage(reply: StateReply): void;
};

/**
 * After this many transactions the WAL is written back. Each writes the pages that it touched, some tens of KiB under load, so this bounds
 * the WAL to some tens of MiB; its pages are used again afterwards.
 */
const checkpointCuts = 256;

let database: StateDatabase | undefined;
let journal: EventJournal | undefined;
/** Events of the cut that is applied, as JSON: made once, for the journal and the main thread. */
let eventsText = "";
const beforeCommit = (from: number, { applied, events }: ApplyResult): void => {
  eventsText = JSON.stringify(events);
  journal?.append(from, applied, eventsText);
};
let path = "";
let node: NodeId = nobody;
let level = 0;
let sinceCheckpoint = 0;
/** Set while something is applied that no checkpoint has synced. */
let timer: ReturnType<typeof setTimeout> | undefined;
let failed = false;
/** What is worked at and what waits behind it, in order; for long only when the disk has no room. */
const waiting: StateRequest[] = [];
/** How many entries of the first one of these are applied. */
let taken = 0;
/** How long a full disk is left alone before the same is tried again. */
const fullRetryMs = 500;
let retry: ReturnType<typeof setTimeout> | undefined;

self.onmessage = (event) =>
  attempt(() => {
    if (event.data.kind === "close") return close();
    waiting.push(event.data);
    if (retry === undefined) work();
  });

/** A cut that finds no room is rolled back, and tried again with all that follows it: nothing is lost, the state only stands still (D4). */
function work(): void {
  retry = undefined;
  for (let request = waiting[0]; request !== undefined; request = waiting[0]) {
    try {
      handle(request);
    } catch (error) {
      // Without room for the very file, or for the state of a snapshot, a start is better than a node that does nothing.
      const isFull = error instanceof Fault && error.code === "disk-full" && request.kind === "apply";
      if (!isFull) throw error;
      retry = setTimeout(() => attempt(work), fullRetryMs);
      self.postMessage({ kind: "full", message: error.message });
      return;
    }
    waiting.shift();
  }
}

function attempt(action: () => void): void {
  if (failed) return; // after a fault nothing is applied any more: the process is about to end
  try {
    action();
  } catch (error) {
    failed = true;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof UnknownCommand ? "unknown-command" : error instanceof Fault ? "disk" : "bug";
    self.postMessage({ kind: "fault", code, message });
  }
}

function handle(request: StateRequest): void {
  switch (request.kind) {
    case "open":
      self.postMessage({ kind: "alive" });
      path = request.path;
      database = new StateDatabase({ path, schema });
      // Before the log is cut to fit it: what a killed process left in the cache alone, a power cut would take (D3).
      database.checkpoint();
      journal = new EventJournal(path, database.applied);
      node = request.self;
      level = request.level;
      self.postMessage({ kind: "opened", place: database.place });
      return;
    case "install":
      database?.close();
      installState(request.from, path, request.snapshot, request.asideAs);
      database = new StateDatabase({ path, schema });
      database.checkpoint();
      // What led to this state is not known here.
      journal?.restart(database.applied);
      sinceCheckpoint = 0;
      self.postMessage({ kind: "installed", place: database.place });
      return;
    case "apply":
      apply(request.entries);
      return;
    case "close":
      close();
      return;
    default:
      unreachable(request, "request to the state writer");
  }
}

/** What waits for room is not waited for: the log replays it (D2). */
function close(): void {
  clearTimeout(timer);
  clearTimeout(retry);
  journal?.close();
  database?.checkpoint();
  database?.close();
  self.postMessage({ kind: "closed" });
}

function apply(entries: readonly Entry[]): void {
  if (database === undefined) throw new Error("entries before open");
  while (taken < entries.length) {
    const result = applyEntries(database, taken === 0 ? entries : entries.slice(taken), {
      self: node,
      level,
      beforeCommit,
    });
    taken += result.count;
    sinceCheckpoint += 1;
    const { applied, outcomes, hashes, bugs } = result;
    // Told, as JSON.
    const told = `{"outcomes":${JSON.stringify(outcomes)},"events":${eventsText}}`;
    self.postMessage({ kind: "applied", applied, told, hashes, bugs });
    if (sinceCheckpoint >= checkpointCuts) checkpoint();
  }
  taken = 0;
  // All nodes apply the same: not all at the same moment, whoever waits for one of them may be answered by another one.
  if (sinceCheckpoint > 0)
    timer ??= setTimeout(() => attempt(checkpoint), limits.checkpointEveryMs * (0.5 + Math.random() / 2));
}

/**
 * Syncs what was applied so far, in the WAL if not in the file: the log up to there is not needed here any more (D3). What a reader or a full disk
 * keeps from the file is brought there later.
 */
function checkpoint(): void {
  clearTimeout(timer);
  timer = undefined;
  if (database === undefined || sinceCheckpoint === 0) return;
  const { applied } = database;
  const { isHome } = database.checkpoint();
  sinceCheckpoint = isHome ? 0 : 1;
  if (!isHome) timer = setTimeout(() => attempt(checkpoint), limits.checkpointEveryMs);
  self.postMessage({ kind: "durable", applied });
}
