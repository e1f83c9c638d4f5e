import { closeSync, openSync, readSync } from "node:fs";
import { Fault } from "../lib/fault.ts";
import { guardCopy } from "./copy-guard.ts";
import { checkState, copyState, sizeOf } from "./snapshot-file.ts";
import type { StatePlace } from "./state-db.ts";

/** A thread that copies or judges one state file and ends: both read every page, which would hold up the loop for seconds. */

export type SnapshotTask =
  | { readonly kind: "copy"; readonly from: string; readonly to: string; readonly blanks: readonly string[] }
  | { readonly kind: "check"; readonly path: string };

export type SnapshotResult =
  | { readonly kind: "done"; readonly place: StatePlace; readonly bytes: number; readonly sha256: string }
  | { readonly kind: "fault"; readonly code: "data" | "disk" | "disk-full"; readonly message: string };

declare const self: Worker;

self.onmessage = (event: MessageEvent<SnapshotTask>): void => {
  try {
    self.postMessage(carryOut(event.data));
  } catch (error) {
    const code = error instanceof Fault && (error.code === "data" || error.code === "disk-full") ? error.code : "disk";
    self.postMessage({ kind: "fault", code, message: error instanceof Error ? error.message : String(error) });
  }
};

function carryOut(task: SnapshotTask): SnapshotResult {
  const path = task.kind === "copy" ? task.to : task.path;
  const place = task.kind === "copy" ? copied(task) : checkState(path);
  return { kind: "done", place, bytes: sizeOf(path), sha256: digestOf(path) };
}

function copied({ from, to, blanks }: Extract<SnapshotTask, { kind: "copy" }>): StatePlace {
  return copyState(from, to, { blanks, guard: guardCopy({ from, to }) });
}

const pieceBytes = 1024 * 1024;

function digestOf(path: string): string {
  const hasher = new Bun.CryptoHasher("sha256");
  const piece = new Uint8Array(pieceBytes);
  const handle = openSync(path, "r");
  try {
    for (let read = readSync(handle, piece); read > 0; read = readSync(handle, piece))
      hasher.update(piece.subarray(0, read));
  } finally {
    closeSync(handle);
  }
  return hasher.digest("hex");
}
