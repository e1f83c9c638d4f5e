import type { PackShelf } from "../executor/pack-shelf.ts";
import { Fault } from "../lib/fault.ts";
import { jobId, nodeId, type NodeId } from "../lib/ids.ts";
import { isTerminal } from "../lib/states.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { findNode, findTask, packHolders } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { LogPage, LogRequest } from "./api.ts";
import { type CopyPage, copyPage as copyPageOf, logPage } from "./peer-answers.ts";
import { monotonicMs } from "../lib/clock.ts";

/**
 * The log of an attempt is in the packs of the node that ran it (N1), and in their copies on another one; any node serves it, through the bulk channel when
 * it is elsewhere. Reads are pages, so that neither side holds more than one. Offsets count output, so a reader goes on with a copy where it was.
 */
export interface LogPorts {
  readonly self: NodeId;
  readonly shelf: Pick<PackShelf, "read" | "watch">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  ask(node: NodeId, request: LogRequest & { readonly attempt: number }): Promise<unknown>;
  /** The same of a copy that `holder` has of what ran on node `source`. */
  askCopy(holder: NodeId, request: CopyRequest): Promise<unknown>;
  /** Nodes that did not answer, and until when (on monotonicMs()) they are not asked where there is a copy. */
  readonly away: Map<number, number>;
}

/** A page of a copy. */
export interface CopyRequest extends LogRequest {
  readonly attempt: number;
  readonly source: NodeId;
}

const pageBytesMax = 1024 * 1024;
const endCheckMs = 100;
const copyCheckMs = 200;
const awayMs = 5_000;

/** A page of an attempt's log, from here, from the node that has it, or from its copy when that is gone or has lost some of it. */
export async function readLog(request: LogRequest, ports: LogPorts): Promise<Outcome<LogPage>> {
  const where = locate(request, ports);
  if (!where.ok) return where;
  const { attempt, node, ended } = where.value;
  if (node === null) return accept({ attempt, chunks: [], next: Math.max(0, request.offset), end: ended });
  const asked = { ...request, attempt, maxBytes: Math.min(request.maxBytes, pageBytesMax) };
  if (isAway(node, ports)) {
    const copy = await fromCopies(asked, where.value, ports);
    if (copy !== undefined) return accept(copy);
  }
  let problem: string;
  try {
    const page = node === ports.self ? await readLocalLog(asked, ports) : logPage(await ports.ask(nodeId(node), asked));
    ports.away.delete(node);
    const isCut = page.end && page.next < expected(asked, where.value);
    if (!isCut) return accept(page);
    if (page.chunks.length > 0) return accept({ ...page, end: false });
    problem = "has lost the rest of it";
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    ports.away.set(node, monotonicMs() + awayMs);
    problem = `did not answer (${error.message})`;
  }
  const whole = (await fromCopies(asked, where.value, ports)) ?? fromTail(request, attempt, ports);
  if (whole !== undefined) return accept(whole);
  return refuse(
    "unavailable",
    `the log of this attempt is on node ${node}, which ${problem}, and no other has a copy of all of it: repeat later`,
    { retryAfterMs: 1000 },
  );
}

/** How much there must be, as the result says; 0: that is not known, or not for one stream alone. */
function expected({ stream }: LogRequest, { ended, bytes }: Location): number {
  return ended && stream === undefined ? (bytes ?? 0) : 0;
}

/** It cannot be expected to answer: what another node has is asked for first. */
function isAway(node: number, ports: LogPorts): boolean {
  if (node === ports.self) return false;
  const row = ports.view((tx) => findNode(tx, node));
  return row === undefined || row.state === "lost" || (ports.away.get(node) ?? -Infinity) > monotonicMs();
}

/**
 * A page from whoever holds copies of that node's packs; undefined: nobody has what is asked for. While the attempt may still run it waits for more, for
 * nobody says when a copy grows.
 */
async function fromCopies(
  request: LogRequest & { readonly attempt: number },
  { node, ended, bytes }: Location,
  ports: LogPorts,
): Promise<LogPage | undefined> {
  const deadline = monotonicMs() + request.waitMs;
  while (true) {
    const holders = ports.view((tx) => packHolders(tx, node!)).filter((holder) => holder !== node);
    const nearest = holders.filter((holder) => holder === ports.self);
    let isAnswered = false;
    let isWhole = false;
    let next = Math.max(0, request.offset);
    for (const holder of new Set([...nearest, ...holders])) {
      const page = await copyPage(holder, { ...request, source: nodeId(node!) }, ports);
      if (page === undefined) continue;
      isAnswered = true;
      next = page.next;
      const { attempt } = request;
      if (page.chunks.length > 0) return { attempt, chunks: page.chunks, next, end: false };
      // The result says how much there is; of an attempt that was lost with its node nobody can.
      isWhole ||= ended && page.whole >= (bytes ?? 0);
    }
    if (isWhole) return { attempt: request.attempt, chunks: [], next, end: true };
    if (ended || !isAnswered) return undefined;
    if (monotonicMs() >= deadline) return { attempt: request.attempt, chunks: [], next, end: false };
    await new Promise((resolve) => setTimeout(resolve, Math.min(copyCheckMs, deadline - monotonicMs())));
  }
}

async function copyPage(holder: NodeId, request: CopyRequest, ports: LogPorts): Promise<CopyPage | undefined> {
  if (holder === ports.self) return readCopy(request, ports);
  try {
    return copyPageOf(await ports.askCopy(holder, request));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return undefined;
  }
}

/** A page of what this node has of another's packs, without waiting. */
export async function readCopy(request: CopyRequest, ports: LogPorts): Promise<CopyPage> {
  const { source, attempt, task, stream, offset } = request;
  const maxBytes = Math.min(request.maxBytes, pageBytesMax);
  const page = await ports.shelf.read(source, { job: jobId(request.job), task, attempt, stream, offset, maxBytes });
  return { attempt, chunks: page.chunks, next: page.next, end: page.atEnd, whole: page.whole };
}

/** A short output is whole in the replicated tail: it is served although the node that has the log is away. */
function fromTail(request: LogRequest, attempt: number, ports: LogPorts): LogPage | undefined {
  const task = ports.view((tx) => findTask(tx, request.job, request.task));
  if (task?.attempt !== attempt || task.log === null || task.finished_at === null || request.stream !== undefined) {
    return undefined;
  }
  const bytes = new TextEncoder().encode(task.tail);
  // Longer than the tail, or not UTF-8: then the tail is not what was written.
  if (bytes.length !== task.log.bytes || task.tail.includes("\uFFFD")) return undefined;
  const from = request.offset < 0 ? Math.max(0, bytes.length + request.offset) : Math.min(request.offset, bytes.length);
  const at = Date.parse(task.finished_at);
  const chunks = from < bytes.length ? [{ stream: "stdout" as const, at, bytes: bytes.subarray(from) }] : [];
  return { attempt, chunks, next: bytes.length, end: true };
}

/** The page from this node's own disk; waits up to waitMs for more while the attempt runs. */
export async function readLocalLog(
  request: LogRequest & { readonly attempt: number },
  ports: LogPorts,
): Promise<LogPage> {
  const deadline = monotonicMs() + request.waitMs;
  const wanted = {
    job: jobId(request.job),
    task: request.task,
    attempt: request.attempt,
    stream: request.stream,
    offset: request.offset,
    maxBytes: Math.min(request.maxBytes, pageBytesMax),
  };
  while (true) {
    // Asked before reading: bytes that arrive between the two are seen by the next read, never taken for the end.
    const located = locate(request, ports);
    const ended = located.ok && located.value.attempt === request.attempt ? located.value.ended : true;
    const page = await ports.shelf.read(ports.self, wanted);
    const end = ended && page.atEnd;
    if (page.chunks.length > 0 || end || monotonicMs() >= deadline) {
      return { attempt: request.attempt, chunks: page.chunks, next: page.next, end };
    }
    // Short waits, because the attempt may also end without another byte.
    await ports.shelf.watch(ports.self, wanted, Math.min(endCheckMs, deadline - monotonicMs()));
  }
}

interface Location {
  readonly attempt: number;
  readonly node: number | null;
  readonly ended: boolean;
  /** How much output the result says there is; null: none, or there is no result. */
  readonly bytes: number | null;
}

function locate(request: LogRequest, ports: LogPorts): Outcome<Location> {
  const task = ports.view((tx) => findTask(tx, request.job, request.task));
  if (task === undefined) return refuse("not-found", `there is no task ${request.task} of job ${request.job}`);
  const wanted = request.attempt ?? task.attempt;
  // That of a task that waits for its retry has ended as well.
  const past = task.attempts.find((one) => one.attempt === wanted);
  const isPast = wanted !== task.attempt || task.state === "queued";
  if (past !== undefined && isPast) {
    const hasRun = past.state !== "skipped" || past.started_at !== null;
    return accept({ attempt: wanted, node: hasRun ? past.node : null, ended: true, bytes: past.log?.bytes ?? null });
  }
  if (wanted !== task.attempt)
    return refuse("not-found", `task ${request.task} of job ${request.job} has no attempt ${wanted}`);
  const ended = isTerminal(task.state);
  // It ended, and told of no output: nobody is asked for it. Of one that was lost nobody could tell.
  const hasNone = ended && task.state !== "lost" && task.log === null;
  return accept({ attempt: wanted, node: hasNone ? null : task.node, ended, bytes: task.log?.bytes ?? null });
}
