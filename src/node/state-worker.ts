import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { unreachable } from "../lib/assert.ts";
import type { Entry } from "../raft/types.ts";
import { applyEntries, UnknownCommand } from "../state/apply.ts";
import { schema } from "../state/schema.ts";
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
let node: NodeId = nobody;
let level = 0;
let sinceCheckpoint = 0;
let failed = false;

self.onmessage = (event) => {
  if (failed) return; // after a fault nothing is applied any more: the process is about to end
  try {
    handle(event.data);
  } catch (error) {
    failed = true;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof UnknownCommand ? "unknown-command" : error instanceof Fault ? "disk" : "bug";
    self.postMessage({ kind: "fault", code, message });
  }
};

function handle(request: StateRequest): void {
  switch (request.kind) {
    case "open":
      database = new StateDatabase({ path: request.path, schema });
      node = request.self;
      level = request.level;
      self.postMessage({ kind: "opened", applied: database.applied });
      return;
    case "apply":
      apply(request.entries);
      return;
    case "close":
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
    if (sinceCheckpoint >= checkpointCuts) {
      sinceCheckpoint = 0;
      database.checkpoint();
    }
  }
}
