import { limits } from "../lib/limits.ts";
import { formatInstant } from "../lib/calendar.ts";
import { matchesSelector, parseSelector } from "../lib/selector.ts";
import type { DeadLetterView } from "./answers.ts";
import type { ApplyContext } from "./command.ts";
import { readSpec } from "./spec.ts";
import { countDead, writeDead } from "./tables/counter.ts";
import { failuresIn, type StoredJob } from "./tables/job.ts";
import { jobScan, scanJobs } from "./tables/job-scan.ts";
import { hasOnlyTask, onlyTask } from "./tables/only-task.ts";
import { taskById, type StoredTask } from "./tables/task.ts";
import { change, sql, type ReadTx, type Tx } from "./tx.ts";

/**
 * Dead letters: jobs that have failed, whose tasks have used up what they were given (retries, their deadline), and that nobody has run again yet. They are no copies in a queue of
 * their own: a dead letter is the job itself, for as long as it is remembered (`ttl`, the number of finished jobs that is kept), and is none any more once it was run again
 * (job.replay, job.retry), when its row says as which job. How many there are is kept in the counter's row, so that nobody counts.
 */
export function isDead(job: StoredJob): boolean {
  return job.state === "failed" && job.replayed === null;
}

const setReplayed = change("job.set-replayed", "update job set replayed = ? where id = ?");

/** It was run again, as that job. Of a job that did not fail nothing is noted. */
export function noteReplayed(tx: Tx, { level }: ApplyContext, job: StoredJob, as: number): void {
  if (!isDead(job)) return;
  tx.run(setReplayed, as, job.id);
  countDead(tx, -1, level);
}

const selectFailed = sql("select count(*) as jobs from job where state = 'failed' and replayed is null");

/** The cluster has come to the level where they are counted: with those that are there. */
export function countDeadOfBefore(tx: Tx): void {
  writeDead(tx, tx.get<{ jobs: number }>(selectFailed)?.jobs ?? 0);
}

/** Which of them. */
export interface DeadFilter {
  readonly name?: string | undefined;
  /** A label selector. */
  readonly label?: string | undefined;
  /** Who submitted them. */
  readonly by?: string | undefined;
  /** Epoch ms: failed at or after. */
  readonly since?: number | undefined;
}

const newestDead = jobScan("state = 'failed' and replayed is null and id < ?", "id desc");
const oldestDead = jobScan("state = 'failed' and replayed is null and id > ? and id <= ?", "id");
const newestJob = sql("select max(id) as id from job");

/** Rows read at once, and at most, for one page. */
const scanRows = 1000;
const scanMax = 50_000;

/** Newest first. A page may hold fewer than `limit` and still have a `next`, the id before which it goes on. */
export function listDead(
  tx: ReadTx,
  filter: DeadFilter & { readonly limit: number; readonly before?: number | undefined },
): { readonly items: readonly DeadLetterView[]; readonly next?: number } {
  const items: DeadLetterView[] = [];
  let before = filter.before ?? Number.MAX_SAFE_INTEGER;
  const fits = matcherOf(filter);
  for (let scanned = 0, scannedBytes = 0; scanned < scanMax && scannedBytes < limits.scanBytes;) {
    const { rows, bytes, isLast } = scanJobs(tx, newestDead, [before], scanRows);
    scanned += rows.length;
    scannedBytes += bytes;
    for (const row of rows) {
      if (items.length === filter.limit) return { items, next: before };
      before = row.id;
      if (fits(row)) items.push(deadView(tx, row));
    }
    if (isLast) return { items };
  }
  return { items, next: before };
}

/** A dead job for a replay. */
export interface DeadJob {
  readonly id: number;
  readonly tasks: number;
}

/**
 * The next of them, oldest first, after one and up to another (undefined: the newest job there is now), so that whoever replays all of them comes to an end although some fail
 * again. `next`: where to go on.
 */
export function deadAfter(
  tx: ReadTx,
  filter: DeadFilter & { readonly limit: number; readonly after: number; readonly last: number | undefined },
): { readonly jobs: readonly DeadJob[]; readonly next?: { readonly after: number; readonly last: number } } {
  const last = filter.last ?? tx.get<{ id: number | null }>(newestJob)?.id ?? 0;
  const jobs: DeadJob[] = [];
  let { after } = filter;
  const fits = matcherOf(filter);
  for (let scanned = 0, scannedBytes = 0; scanned < scanMax && scannedBytes < limits.scanBytes;) {
    const { rows, bytes, isLast } = scanJobs(tx, oldestDead, [after, last], scanRows);
    scanned += rows.length;
    scannedBytes += bytes;
    for (const row of rows) {
      if (jobs.length === filter.limit) return { jobs, next: { after, last } };
      after = row.id;
      if (fits(row)) jobs.push({ id: row.id, tasks: row.tasks });
    }
    if (isLast) return { jobs };
  }
  return { jobs, next: { after, last } };
}

function matcherOf({ name, label, by, since }: DeadFilter): (job: StoredJob) => boolean {
  const terms = label === undefined ? [] : parseSelector(label);
  if (typeof terms === "string") return () => false;
  return (job) =>
    (name === undefined || job.name === name) &&
    (by === undefined || job.submitted_by === by) &&
    (since === undefined || (job.finished_at ?? 0) >= since) &&
    (terms.length === 0 || matchesSelector(terms, readSpec(job.spec).labels ?? {}));
}

function deadView(tx: ReadTx, job: StoredJob): DeadLetterView {
  const example = failedTask(tx, job);
  return {
    id: job.id,
    name: job.name,
    tasks: job.tasks,
    failed: failuresIn(job),
    submitted_at: formatInstant(job.submitted_at),
    finished_at: formatInstant(job.finished_at ?? 0),
    submitted_by: job.submitted_by,
    labels: readSpec(job.spec).labels ?? {},
    ...(job.reason === null ? {} : { reason: job.reason }),
    ...(example === undefined
      ? {}
      : {
          example: {
            task: example.task,
            state: example.state,
            attempts: example.attempt,
            node: example.node,
            exit_code: example.exit_code,
            signal: example.signal,
            ...(example.reason === null ? {} : { reason: example.reason }),
          },
        }),
  };
}

const firstFailed = sql(
  "select task from task where job = ? and task < ? and state in ('failed', 'timeout', 'lost') order by task limit 1",
);

/** The first task that ended badly; undefined: it is not among the first ones, or none was ever started. */
function failedTask(tx: ReadTx, job: StoredJob): StoredTask | undefined {
  if (hasOnlyTask(job)) return onlyTask(job);
  const found = tx.get<{ task: number }>(firstFailed, job.id, limits.listMax);
  return found === undefined ? undefined : taskById(tx, job.id, found.task);
}
