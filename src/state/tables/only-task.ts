import { nodeId } from "../../lib/ids.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { TaskState } from "../types.ts";
import { heldJob } from "./held-jobs.ts";
import type { StoredJob } from "./job.ts";
import { insertRunningTask, type Ended, type StoredTask } from "./task.ts";

/**
 * Most jobs have one task, and most tasks one attempt: that attempt is kept in the job's own row, which is read and written anyhow. What it came to is
 * one column, {@link writeEnd}. A second attempt moves it to a task's row of its own, with its history, and from then on the job is like any other.
 *
 *   only_node is null  =  the job's tasks have rows, or were never assigned
 */
export function hasOnlyTask(job: StoredJob): job is StoredJob & { readonly only_node: number } {
  return job.only_node !== null;
}

/** The only task as a row of its own would be. */
export function onlyTask(job: StoredJob & { readonly only_node: number }): StoredTask {
  const [finishedAt, exitCode, signal, reason, logBytes, logSha256, tailDropped] = readEnd(job.only_end);
  return {
    job: job.id,
    task: 0,
    state: stateOf(job),
    attempt: 1,
    node: nodeId(job.only_node),
    pin: null,
    target: null,
    fence: job.only_fence ?? 0,
    tries: 0,
    losses: 0,
    not_before: 0,
    started_at: job.only_started_at,
    finished_at: finishedAt,
    exit_code: exitCode,
    signal,
    reason,
    log_bytes: logBytes,
    log_sha256: logSha256,
    tail_dropped: tailDropped,
    tail_size: job.tail_bytes,
  };
}

/** [finishedAt, exitCode, signal, reason, logBytes, logSha256, tailDropped] */
type End = readonly [number | null, number | null, string | null, string | null, number | null, string | null, 0 | 1];

const notEnded: End = [null, null, null, null, null, null, 0];

/** How the only task ended, as it stands in its column. */
export function writeEnd(ended: Ended, tailDropped: boolean): string {
  const { finishedAt, exitCode, signal, reason, logBytes, logSha256 } = ended;
  return JSON.stringify([finishedAt, exitCode, signal, reason, logBytes, logSha256, tailDropped ? 1 : 0] satisfies End);
}

function readEnd(text: string | null): End {
  return text === null ? notEnded : (JSON.parse(text) as End);
}

/** The counts of a job of one task say how it stands. */
function stateOf(job: StoredJob): TaskState {
  if (job.running > 0) return "running";
  if (job.succeeded > 0) return "succeeded";
  if (job.failed > 0) return "failed";
  if (job.timeout > 0) return "timeout";
  if (job.lost > 0) return "lost";
  return job.cancelled > 0 ? "cancelled" : "skipped";
}

const clear = change(
  "job.clear-only",
  "update job set only_node = null, only_fence = null, only_started_at = null where id = ?",
);

/** There will be a second attempt: the first one, which has just ended, gets a row of its own. */
export function moveToRow(tx: Tx, job: StoredJob & { readonly only_node: number }): void {
  insertRunningTask(tx, job.id, 0, nodeId(job.only_node), job.only_fence ?? 0);
  tx.run(clear, job.id);
  Object.assign(job, { only_node: null, only_fence: null, only_started_at: null });
}

const start = change("job.start-only", "update job set only_started_at = ? where id = ?");

/** The only attempt began to run at `at`, by its executor's clock, epoch ms. */
export function startOnlyTask(tx: Tx, job: number, at: number): void {
  tx.run(start, at, job);
  const held = heldJob(tx, job);
  if (held !== undefined) held.only_started_at = at;
}

const selectTail = sql("select only_tail as tail from job where id = ?");

/** The last output of a job's only task. */
export function tailOfOnlyTask(tx: ReadTx, job: number): Uint8Array | null {
  return tx.get<{ tail: Uint8Array | null }>(selectTail, job)?.tail ?? null;
}
