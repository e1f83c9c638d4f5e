import { jobId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { isTerminal } from "../lib/states.ts";
import { openJob, type OpenJob, type WaitingTask } from "./planning.ts";
import { bundleHolders, findJob, jobStates } from "./queries.ts";
import { readSpec } from "./spec.ts";
import { holderOf } from "./tables/gate.ts";
import { type ReadTx, sql } from "./tx.ts";
import type { JobState, JobView, Spec } from "./types.ts";

/** What the leader reads of the state to say why a job waits (scheduler/explain.ts). */
export interface WaitingFacts {
  readonly job: JobView;
  /** undefined: it has ended, or the planner is not given it. */
  readonly open: OpenJob | undefined;
  /** Tasks that wait and were never assigned, so that nothing tells them from each other. */
  readonly fresh: number;
  /** Tasks of later batches. */
  readonly later: number;
  /** Tasks that wait and have a row: retries and pinned ones. */
  readonly rows: number;
  /** The first of those, limits.explainTasks at most. */
  readonly waiting: readonly WaitingTask[];
  /** The jobs that it waits for and that have not ended, the first few of them. */
  readonly parents: readonly { readonly job: number; readonly state: JobState }[];
  /** Who has its key, where that is another one. */
  readonly holder: number | undefined;
  /** Its bundle, where no member has that any more. */
  readonly lostBundle: string | undefined;
}

interface Row {
  readonly task: number;
  readonly attempt: number;
  readonly not_before: number;
  readonly pin: NodeId | null;
  readonly node: NodeId | null;
}

const firstWaiting = sql(
  "select task, attempt, not_before, pin, node from task where job = ? and state = 'queued' order by task limit ?",
);
const selectSpec = sql("select spec from job where id = ?");
const startsAt = sql("select next_task from job where id = ?");

/** undefined: there is no such job. */
export function waitingFacts(tx: ReadTx, id: number): WaitingFacts | undefined {
  const job = findJob(tx, id);
  const next = tx.get<{ next_task: number }>(startsAt, id)?.next_task;
  if (job === undefined || next === undefined) return undefined;
  const { queued } = job.counts;
  const total = Object.values(job.counts).reduce((sum, count) => sum + count, 0);
  const waiting = tx.all<Row>(firstWaiting, id, limits.explainTasks).map((row) => ({
    task: row.task,
    attempt: row.attempt,
    notBefore: row.not_before,
    pin: row.pin ?? undefined,
    avoid: row.node ?? undefined,
  }));
  const end = job.batch === undefined ? total : job.batch.first + job.batch.tasks;
  const later = Math.min(queued, total - end);
  const fresh = Math.min(queued - later, end - next);
  const waits = job.waits ?? {};
  return {
    job,
    open: openJob(tx, jobId(job.id)),
    fresh,
    later,
    rows: queued - fresh - later,
    waiting,
    parents: waits.after === undefined ? [] : unfinished(tx, afterOf(tx, id)),
    holder: waits.key === undefined ? undefined : holderOf(tx, waits.key),
    lostBundle: isTerminal(job.state) ? undefined : lostBundle(tx, id),
  };
}

function lostBundle(tx: ReadTx, id: number): string | undefined {
  const bundle = specOf(tx, id)?.bundle;
  return bundle === undefined || bundleHolders(tx, bundle.digest).length > 0 ? undefined : bundle.name;
}

function specOf(tx: ReadTx, id: number): Spec | undefined {
  const text = tx.get<{ spec: string }>(selectSpec, id)?.spec;
  return text === undefined ? undefined : readSpec(text);
}

function afterOf(tx: ReadTx, id: number): number[] {
  const after = specOf(tx, id)?.after ?? [];
  return after.flatMap(({ job }) => (typeof job === "number" ? [job] : []));
}

/** Those that have not ended, limits.explainParents at most, of the first limits.explainTasks. */
function unfinished(tx: ReadTx, jobs: readonly number[]): WaitingFacts["parents"] {
  const states = jobStates(tx, jobs.slice(0, limits.explainTasks));
  return [...states]
    .map(([job, state]) => ({ job, state }))
    .filter(({ state }) => !isTerminal(state))
    .slice(0, limits.explainParents);
}
