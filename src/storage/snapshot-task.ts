import { Fault } from "../lib/fault.ts";
import type { SnapshotResult, SnapshotTask } from "./snapshot-worker.ts";

/** A state file that was read whole. */
export type JudgedState = Extract<SnapshotResult, { kind: "done" }>;

/** Copies or judges a state file in a thread of its own. Throws Fault "data", "disk" or "disk-full". */
export async function runSnapshotTask(task: SnapshotTask): Promise<JudgedState> {
  const worker = new Worker(new URL("./snapshot-worker.ts", import.meta.url));
  try {
    const result = await new Promise<SnapshotResult>((resolve) => {
      worker.onmessage = (event: MessageEvent<SnapshotResult>) => resolve(event.data);
      worker.onerror = (event) => {
        event.preventDefault();
        resolve({ kind: "fault", code: "disk", message: `the snapshot's worker failed: ${event.message}` });
      };
      worker.postMessage(task);
    });
    if (result.kind === "fault") throw new Fault(result.code, result.message, "safe");
    return result;
  } finally {
    worker.terminate();
  }
}
