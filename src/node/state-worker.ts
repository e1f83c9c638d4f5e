import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { unreachable } from "../lib/assert.ts";
import type { Entry } from "../raft/types.ts";
import { applyEntries, UnknownCommand } from "../state/apply.ts";
import { schema } from "../state/schema.ts";
import { limits } from "../lib/limits.ts";
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
let path = "";
let node: NodeId = nobody;
let level = 0;
let sinceCheckpoint = 0;
/** Set while something is applied that no checkpoint has synced. */
let timer: ReturnType<typeof setTimeout> | undefined;
let failed = false;

self.onmessage = (event) => attempt(() => handle(event.data));

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
      path = request.path;
      database = new StateDatabase({ path, schema });
      node = request.self;
      level = request.level;
      self.postMessage({ kind: "opened", place: database.place });
      return;
    case "install":
      database?.close();
      installState(request.from, path, request.asideAs);
      database = new StateDatabase({ path, schema });
      self.postMessage({ kind: "installed", place: database.place });
      return;
    case "apply":
      apply(request.entries);
      return;
    case "close":
      clearTimeout(timer);
      database?.checkpoint();
      database?.close();
      self.postMessage({ kind: "closed" });
      return;
    default:
      unreachable(request, "request to the state writer");
  }
}

function apply(entries: readonly Entry[]): void {
  if (database === undefined) throw new Error("entries before open");
  let from = 0;
  while (from < entries.length) {
    const result = applyEntries(database, from === 0 ? entries : entries.slice(from), {
      self: node,
      level,
    });
    from += result.count;
    sinceCheckpoint += 1;
    self.postMessage({ kind: "applied", applied: result.applied, outcomes: result.outcomes, events: result.events });
    if (sinceCheckpoint >= checkpointCuts) checkpoint();
  }
  if (sinceCheckpoint > 0) timer ??= setTimeout(() => attempt(checkpoint), limits.checkpointEveryMs);
}

/** Syncs what was applied so far, in the WAL if not in the file: the log up to there is not needed here any more (D3). */
function checkpoint(): void {
  clearTimeout(timer);
  timer = undefined;
  if (database === undefined || sinceCheckpoint === 0) return;
  sinceCheckpoint = 0;
  const { applied } = database;
  database.checkpoint();
  self.postMessage({ kind: "durable", applied });
}
