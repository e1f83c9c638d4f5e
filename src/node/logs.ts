import type { PackShelf } from "../executor/pack-shelf.ts";
import { Fault } from "../lib/fault.ts";
import { jobId, nodeId, type NodeId } from "../lib/ids.ts";
import { isTerminal } from "../lib/states.ts";
import { accept, type Outcome, refuse } from "../lib/outcome.ts";
import { findTask } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { LogPage, LogRequest } from "./api.ts";
import { logPage } from "./peer-answers.ts";
import { monotonicMs } from "../lib/clock.ts";

/**
 * Logs stay on the disk of the node that ran the attempt (N1); any node serves them, through the bulk channel when they
 * are elsewhere. Reads are pages, so that neither side holds more than one.
 */
export interface LogPorts {
  readonly self: NodeId;
  readonly shelf: Pick<PackShelf, "read" | "watch">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  ask(node: NodeId, request: LogRequest & { readonly attempt: number }): Promise<unknown>;
}

const pageBytesMax = 1024 * 1024;
const endCheckMs = 100;

/** A page of an attempt's log, from here or from the node that has it. */
export async function readLog(request: LogRequest, ports: LogPorts): Promise<Outcome<LogPage>> {
  const where = locate(request, ports);
  if (!where.ok) return where;
  const { attempt, node } = where.value;
  if (node === null) return accept({ attempt, chunks: [], next: Math.max(0, request.offset), end: where.value.ended });
  const maxBytes = Math.min(request.maxBytes, pageBytesMax);
  if (node === ports.self) return accept(await readLocalLog({ ...request, attempt, maxBytes }, ports));
  try {
    return accept(logPage(await ports.ask(nodeId(node), { ...request, attempt, maxBytes })));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const whole = fromTail(request, attempt, ports);
    if (whole !== undefined) return accept(whole);
    return refuse(
      "unavailable",
      `the log of this attempt is on node ${node}, which did not answer (${error.message}): repeat later`,
      {
        retryAfterMs: 1000,
      },
    );
  }
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
}

function locate(request: LogRequest, ports: LogPorts): Outcome<Location> {
  const task = ports.view((tx) => findTask(tx, request.job, request.task));
  if (task === undefined) return refuse("not-found", `there is no task ${request.task} of job ${request.job}`);
  const wanted = request.attempt ?? task.attempt;
  if (wanted === task.attempt) {
    return accept({ attempt: wanted, node: task.node, ended: isTerminal(task.state) });
  }
  const earlier = task.attempts.find((one) => one.attempt === wanted);
  if (earlier === undefined)
    return refuse("not-found", `task ${request.task} of job ${request.job} has no attempt ${wanted}`);
  return accept({ attempt: wanted, node: earlier.node, ended: true });
}
