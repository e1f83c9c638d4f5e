import { Fault } from "../lib/fault.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { LogDatabase, type PackedAppend } from "./log-database.ts";
import type { StateBeside } from "./types.ts";
import { asFault } from "./sqlite-errors.ts";

/**
 * The thread that owns log.db's writing connection. It drains its whole inbox into one transaction: what arrives while a sync
 * runs goes into the next one. That is the group commit; there is no timer.
 */

export type ToLogWorker =
  | { readonly kind: "open"; readonly path: string; readonly state: StateBeside | undefined }
  | { readonly kind: "append"; readonly append: PackedAppend }
  | { readonly kind: "compact"; readonly base: SnapshotMeta }
  | { readonly kind: "close" };

export type FromLogWorker =
  /** `told`: what was found damaged, in words for people. */
  | { readonly kind: "opened"; readonly told: string | undefined }
  | { readonly kind: "durable"; readonly token: number }
  | { readonly kind: "fault"; readonly code: "data" | "disk" | "disk-full"; readonly message: string }
  | { readonly kind: "closed" };

declare const self: Worker;

/** How long a full disk is left alone before the same batch is tried again. */
const fullRetryMs = 500;

let path = "";
let database: LogDatabase | undefined;
let inbox: PackedAppend[] = [];
/** The newest base that is not written yet. Appends that came before it are written before it. */
let base: SnapshotMeta | undefined;
let scheduled = false;
let closing = false;
/** In a full-disk episode: it has been told once. */
let full = false;
/** A sync failed, so what the file holds is not known: nothing is written any more (D4). */
let broken = false;

self.onmessage = (event: MessageEvent<ToLogWorker>): void => {
  const message = event.data;
  switch (message.kind) {
    case "open":
      open(message.path, message.state);
      break;
    case "append":
      inbox.push(message.append);
      schedule();
      break;
    case "compact":
      base = message.base;
      schedule();
      break;
    case "close":
      closing = true;
      if (full) finish();
      else schedule();
      break;
  }
};

function open(file: string, state: StateBeside | undefined): void {
  path = file;
  try {
    database = new LogDatabase(file);
    post({ kind: "opened", told: state === undefined ? undefined : database.reconcile(state) });
  } catch (error) {
    broken = true;
    postFault(error);
  }
}

/** Messages already delivered to this thread are all handled before an immediate runs. */
function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(drain);
}

function drain(): void {
  scheduled = false;
  if (broken || database === undefined) {
    if (closing) finish();
    return;
  }
  const last = inbox.at(-1);
  if (last !== undefined) {
    try {
      database.write(inbox);
    } catch (error) {
      refused(error);
      return;
    }
    inbox = [];
    post({ kind: "durable", token: last.token });
  }
  // After the news, so that nobody waits for it.
  if (!tidied(database)) return;
  full = false;
  if (closing) finish();
  else if (database.trimIsDue && !full) schedule();
}

/** One step of what can wait: a new base, compacted rows, the WAL. */
function tidied(database: LogDatabase): boolean {
  try {
    if (base !== undefined) database.compact(base);
    else if (database.trimIsDue) database.trim();
    base = undefined;
  } catch (error) {
    refused(error);
    return false;
  }
  return checkpointed(database);
}

function checkpointed(database: LogDatabase): boolean {
  if (!database.checkpointIsDue()) return true;
  try {
    database.checkpoint();
    return true;
  } catch (error) {
    broken = true;
    postFault(error);
    return false;
  }
}

/** Rolled back for want of room: the same appends in the same order again, later. Anything else is the end. */
function refused(error: unknown): void {
  const fault = asFault(error, path);
  if (fault instanceof Fault && fault.code === "disk-full") {
    if (!full) postFault(fault);
    full = true;
    if (closing) finish();
    else {
      scheduled = true;
      setTimeout(drain, fullRetryMs);
    }
    return;
  }
  broken = true;
  postFault(error);
}

function finish(): void {
  try {
    database?.close();
  } catch (error) {
    postFault(error);
  }
  database = undefined;
  post({ kind: "closed" });
}

function postFault(error: unknown): void {
  const fault = asFault(error, path);
  const code = fault instanceof Fault && (fault.code === "data" || fault.code === "disk-full") ? fault.code : "disk";
  post({ kind: "fault", code, message: fault instanceof Error ? fault.message : String(fault) });
}

function post(message: FromLogWorker): void {
  self.postMessage(message);
}
