import { setImmediate as nextTurn } from "node:timers/promises";
import { limits } from "../lib/limits.ts";
import type { Outcome, Refusal } from "../lib/outcome.ts";
import { isTerminal } from "../lib/states.ts";
import type { LogPage, NodeApi } from "../node/api.ts";
import { outputAhead } from "../state/output-ahead.ts";
import { findTask } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Change, TaskView } from "../state/types.ts";

/** Which output of a job is wanted. */
export interface Wanted {
  readonly job: number;
  /** Tasks from `first` to `last`, both included, one after the other. */
  readonly first: number;
  readonly last: number;
  readonly stream: "stdout" | "stderr" | undefined;
  /** Stay with each task until it has ended, over its retries. */
  readonly follow: boolean;
  /** Only the last so many lines of each task's newest attempt. */
  readonly tail: number | undefined;
  /** Where to begin in the first task: an attempt (undefined: the newest) and bytes to skip. */
  readonly attempt: number | undefined;
  readonly offset: number;
}

/** A step through the output. */
export type LogStep =
  | {
      readonly kind: "piece";
      readonly task: number;
      readonly attempt: number;
      readonly stream: "stdout" | "stderr";
      /** Wall time of arrival, epoch ms. */
      readonly at: number;
      readonly bytes: Uint8Array;
      /** Offset after this piece. */
      readonly next: number;
    }
  /** A task's log cannot be had; what comes after it still is. */
  | { readonly kind: "problem"; readonly task: number; readonly why: Refusal }
  /** Nothing has come for a while. */
  | { readonly kind: "quiet" };

/** How long one look for more output lasts: below the deadline of an rpc, for the log may be on another node. */
const lookMs = Math.min(2000, limits.rpcTimeoutMs / 2);
/** So long a reader goes through the state before others have their turn. */
const turnMs = 2;

/**
 * The wanted output, read as fast as its reader takes it: nothing is held but one page (L1).
 */
export async function* logSteps(
  node: NodeApi,
  wanted: Wanted,
  signal: AbortSignal,
): AsyncGenerator<LogStep, void, undefined> {
  let turnAt = performance.now();
  for (let task = wanted.first; task <= wanted.last && !signal.aborted; task++) {
    // What is in the state is read without waiting: without a turn of the loop now and then nobody else would have one.
    if (performance.now() - turnAt >= turnMs) {
      await nextTurn();
      turnAt = performance.now();
    }
    if (task > wanted.first) {
      const ahead = await stateNow(node, (tx) => outputAhead(tx, wanted.job, task, wanted.follow));
      if (ahead === undefined || ahead.task > wanted.last) return;
      task = ahead.task;
      if (!ahead.isWorth) {
        task -= 1;
        continue;
      }
    }
    const resumed = task === wanted.first ? wanted.attempt : undefined;
    yield* taskSteps(
      node,
      { ...wanted, task, attempt: resumed, offset: task === wanted.first ? wanted.offset : 0 },
      signal,
    );
  }
}

async function* taskSteps(
  node: NodeApi,
  wanted: Wanted & { readonly task: number },
  signal: AbortSignal,
): AsyncGenerator<LogStep, void, undefined> {
  const { job, task, stream, follow } = wanted;
  let attempt = wanted.attempt ?? 0;
  let offset = wanted.offset;
  while (attempt === 0) {
    const now = await taskNow(node, job, task);
    if (now === undefined || signal.aborted) return;
    attempt = now.attempt;
    if (attempt > 0) break;
    if (!follow || isTerminal(now.state)) return;
    yield { kind: "quiet" };
    await taskChanged(node, now, signal);
  }
  if (wanted.tail !== undefined && wanted.attempt === undefined) {
    const begin = await tailOffset(node, { job, task, attempt, stream }, wanted.tail);
    if (!begin.ok && !follow) yield { kind: "problem", task, why: begin.why };
    if (!begin.ok && !follow) return;
    if (begin.ok) offset = begin.value;
  }
  while (!signal.aborted) {
    const waitMs = follow ? lookMs : 0;
    const request = { job, task, attempt, stream, offset, maxBytes: limits.logPageBytes, waitMs };
    const page = await orAborted(node.readLog(request), signal);
    if (page === undefined) return;
    if (page.ok) {
      for (const { stream, at, bytes } of page.value.chunks) {
        offset += bytes.length;
        yield { kind: "piece", task, attempt, stream, at, bytes, next: offset };
      }
      offset = page.value.next;
      if (page.value.chunks.length > 0 && !page.value.end) continue;
    }
    if (!follow) {
      if (!page.ok) yield { kind: "problem", task, why: page.why };
      return;
    }
    const now = await taskNow(node, job, task);
    if (now === undefined) return;
    if (now.attempt > attempt && (!page.ok || page.value.end)) {
      // The node that had this log may be the one that was lost: say what is missing, go on with the next attempt.
      if (!page.ok) yield { kind: "problem", task, why: page.why };
      attempt += 1;
      offset = 0;
      continue;
    }
    if (isTerminal(now.state)) {
      if (!page.ok) yield { kind: "problem", task, why: page.why };
      if (!page.ok || page.value.end) return;
      continue;
    }
    yield { kind: "quiet" };
    // While it runs on a node that answers, readLog itself has waited.
    if (!page.ok || page.value.end || now.state === "queued") await taskChanged(node, now, signal);
  }
}

/** The offset at which the last `lines` lines begin; a last line without its newline counts as one. */
async function tailOffset(
  node: NodeApi,
  where: Pick<Wanted, "job" | "stream" | "attempt"> & { readonly task: number },
  lines: number,
): Promise<Outcome<number>> {
  for (let size = 64 * 1024; ; size *= 8) {
    const back = Math.min(size, limits.logTailBytes);
    const read = await readBack(node, where, back);
    if (!read.ok) return read;
    const { bytes, begin } = read.value;
    let seen = 0;
    for (let at = bytes.length - 2; at >= 0; at--) {
      if (bytes[at] === 0x0a && ++seen === lines) return { ok: true, value: begin + at + 1 };
    }
    // All of the log was looked through, or as much of it as is looked through for this.
    if (begin === 0 || back === limits.logTailBytes)
      return { ok: true, value: lines === 0 ? begin + bytes.length : begin };
  }
}

/** The last `back` bytes, and the offset at which they begin. */
async function readBack(
  node: NodeApi,
  where: Pick<Wanted, "job" | "stream" | "attempt"> & { readonly task: number },
  back: number,
): Promise<Outcome<{ readonly bytes: Uint8Array; readonly begin: number }>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  let offset = -back;
  for (;;) {
    const read: Outcome<LogPage> = await node.readLog({ ...where, offset, maxBytes: limits.logPageBytes, waitMs: 0 });
    if (!read.ok) return read;
    const { chunks, next } = read.value;
    for (const { bytes } of chunks) {
      parts.push(bytes);
      length += bytes.length;
    }
    offset = next;
    if (chunks.length === 0 || length >= back)
      return { ok: true, value: { bytes: Buffer.concat(parts), begin: next - length } };
  }
}

/** The promise's value, or undefined as soon as the signal fires: nobody waits for a look that nobody wants any more. */
function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", onAbort));
}

function taskNow(node: NodeApi, job: number, task: number): Promise<TaskView | undefined> {
  return stateNow(node, (tx) => findTask(tx, job, task));
}

async function stateNow<Value>(node: NodeApi, query: (tx: ReadTx) => Value): Promise<Value | undefined> {
  const read = await node.read(query, { consistency: "stale" });
  return read.ok ? read.value.value : undefined;
}

/**
 * Resolves when the task is no longer as it was seen, when the signal fires, or after a keep-alive's time. Rare (a follower
 * of a task that does not run now), so a listener on all events is cheap enough.
 */
/** The change is about that task of its job. */
function concerns(change: Extract<Change, { topic: "task" }>, task: number): boolean {
  if (change.kind === "unit-ended") return change.tasks.some(([first, count]) => task >= first && task < first + count);
  if (change.kind === "unit-assigned") return task >= change.first && task < change.first + change.count;
  return change.kind === "unit-stop" ? false : change.task === task;
}

function taskChanged(node: NodeApi, seen: TaskView, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unwatch();
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, limits.streamKeepAliveMs);
    const unwatch = node.watch(({ changes }) => {
      const mine = changes.some(
        (change) =>
          (change.topic === "task" && change.job === seen.job && concerns(change, seen.task)) ||
          (change.topic === "job" && change.kind !== "added" && change.job === seen.job),
      );
      if (mine) done();
    });
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
    // What changed between the look and the listener is not waited for.
    const lookAgain = async (): Promise<void> => {
      const now = await taskNow(node, seen.job, seen.task);
      if (now === undefined || now.state !== seen.state || now.attempt !== seen.attempt) done();
    };
    void lookAgain();
  });
}
