import { formatInstant } from "../lib/calendar.ts";
import { renderSpec } from "./spec.ts";
import { batchEnding } from "./rolling.ts";
import { successPercent } from "./success.ts";
import { shut, type StoredGate } from "./tables/gate.ts";
import { countsOf, originOf, type StoredJob } from "./tables/job.ts";
import type { StoredTask } from "./tables/task.ts";
import type { AttemptView, JobView, LogView, Point, RecapView, Spec, TaskState, TaskView, WaitsView } from "./types.ts";

/** Rows as the contract shows them: RFC 3339 times, integer ids, keys in snake case. */

/** The job with its spec rendered back into what people write. `gate`: its row of job_gate, where it has one. `recap`: of a playbook. */
export function jobView(job: StoredJob, gate?: StoredGate, recap?: RecapView): JobView {
  const spec = JSON.parse(job.spec) as Spec;
  return {
    id: job.id,
    name: job.name,
    state: job.state,
    ...(job.cancelling === 1 ? { cancelling: true } : {}),
    ...waitsOf(job, gate, spec),
    ...(job.partial === 1 ? { partial: true } : {}),
    ...(job.reason === null ? {} : { reason: job.reason }),
    counts: countsOf(job),
    ...batchOf(job, gate, spec),
    ...(recap === undefined ? {} : { recap }),
    submitted_at: formatInstant(job.submitted_at),
    started_at: instant(job.started_at),
    finished_at: instant(job.finished_at),
    submitted_by: job.submitted_by,
    ...originView(job),
    ...(job.replayed === null ? {} : { retried_as: job.replayed }),
    labels: spec.labels ?? {},
    spec: renderSpec(spec),
  };
}

function originView(job: StoredJob): Pick<JobView, "retry_of" | "template" | "inventory" | "schedule" | "fire_at"> {
  const { at, ...origin } = originOf(job);
  return at === undefined ? origin : { ...origin, fire_at: formatInstant(at) };
}

/** What is shut of its gates; nothing for a job that waits for no more than a node. */
function waitsOf(job: StoredJob, gate: StoredGate | undefined, spec: Spec): Pick<JobView, "held" | "waits"> {
  const bits = job.gate;
  if (bits === null) return {};
  const isShut = (bit: number): boolean => (bits & bit) !== 0;
  const waits: WaitsView = {
    ...(isShut(shut.held) ? { held: true } : {}),
    ...(isShut(shut.startAt) && gate !== undefined && gate.start_at !== null
      ? { start_at: formatInstant(gate.start_at) }
      : {}),
    ...(isShut(shut.after) ? { after: gate?.after_left ?? 0 } : {}),
    ...(isShut(shut.key) && gate !== undefined && gate.key !== null ? { key: gate.key } : {}),
    ...(isShut(shut.pause) && gate !== undefined && gate.pause_until !== null
      ? { pause: formatInstant(gate.pause_until) }
      : {}),
    ...(isShut(shut.approval) ? { approval: (batchOf(job, gate, spec).batch?.now ?? 0) + 1 } : {}),
  };
  return { ...(isShut(shut.held) ? { held: true } : {}), waits };
}

/** The batch that runs or ran last; nothing of a job without any. */
function batchOf({ tasks }: StoredJob, gate: StoredGate | undefined, { batch }: Spec): Pick<JobView, "batch"> {
  const end = gate?.batch_end ?? null;
  return end === null || batch === undefined ? {} : { batch: batchEnding(batch, tasks, end) };
}

/** An attempt of the history. */
export interface AttemptRow {
  readonly attempt: number;
  readonly node: number | null;
  readonly state: TaskState;
  readonly exit_code: number | null;
  readonly signal: string | null;
  readonly reason: string | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly log_bytes: number | null;
  readonly log_sha256: string | null;
}

/**
 * A task with its attempts, oldest first, the present or last one included. While it waits for a retry it shows no node and how its last
 * attempt ended. `holders`: who has copies of what that node's tasks wrote, where that belongs to the job's promise (output.sync).
 */
export function taskView(
  job: StoredJob,
  row: StoredTask,
  history: readonly AttemptRow[],
  tail: Uint8Array | null,
  point: Point | undefined,
  holders: (node: number) => readonly number[],
): TaskView {
  const attempts = history.map((attempt) => attemptView(attempt, holders));
  if (row.attempt > 0 && row.state !== "queued" && row.attempt > (history.at(-1)?.attempt ?? 0))
    attempts.push(attemptView(row, holders));
  const end = tail === null ? "" : text.decode(tail);
  const percent = successPercent(job.spec, end);
  return {
    ...placeOf(job, row.task, row.target, point),
    state: row.state,
    exit_code: row.exit_code,
    signal: row.signal,
    ...(row.reason === null ? {} : { reason: row.reason }),
    node: row.state === "queued" ? null : row.node,
    attempt: row.attempt,
    attempts,
    queued_at: formatInstant(job.submitted_at),
    started_at: instant(row.started_at),
    finished_at: instant(row.finished_at),
    tail: end,
    ...(percent === undefined ? {} : { success_percent: percent }),
    ...(row.tail_dropped === 1 ? { tail_dropped: true } : {}),
    log: row.state === "queued" ? null : logView(row, holders),
  };
}

const text = new TextDecoder("utf-8", { fatal: false });

/** A task that was never assigned. */
export function rowlessTaskView(job: StoredJob, task: number, point: Point | undefined): TaskView {
  return {
    ...placeOf(job, task, null, point),
    state: job.rest,
    exit_code: null,
    signal: null,
    ...(job.rest !== "queued" && job.reason !== null ? { reason: job.reason } : {}),
    node: null,
    attempt: 0,
    attempts: [],
    queued_at: formatInstant(job.submitted_at),
    started_at: null,
    finished_at: null,
    tail: "",
    log: null,
  };
}

function placeOf(
  job: StoredJob,
  task: number,
  target: string | null,
  point: Point | undefined,
): Pick<TaskView, "job" | "task" | "index" | "matrix" | "target"> {
  return target === null ? { job: job.id, task, ...point } : { job: job.id, task, target };
}

function attemptView(row: AttemptRow, holders: (node: number) => readonly number[]): AttemptView {
  return {
    attempt: row.attempt,
    node: row.node,
    state: row.state,
    exit_code: row.exit_code,
    signal: row.signal,
    ...(row.reason === null ? {} : { reason: row.reason }),
    started_at: instant(row.started_at),
    finished_at: instant(row.finished_at),
    log: logView(row, holders),
  };
}

function logView(
  row: Pick<AttemptRow, "log_bytes" | "log_sha256" | "node">,
  holders: (node: number) => readonly number[],
): LogView | null {
  const { log_bytes: bytes, log_sha256: sha256, node } = row;
  if (bytes === null || sha256 === null) return null;
  return { bytes, sha256, nodes: node === null ? [] : [node, ...holders(node).filter((holder) => holder !== node)] };
}

function instant(epochMs: number | null): string | null {
  return epochMs === null ? null : formatInstant(epochMs);
}
