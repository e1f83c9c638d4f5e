import { jobId, type JobId } from "../../lib/ids.ts";
import { readSpec, specDefaults } from "../spec.ts";
import { change, sql, type ReadTx, type Tx } from "../tx.ts";
import type { JobState, Spec, TaskCounts } from "../types.ts";
import type { Tally } from "./counter.ts";
import { heldJob, holdJob, takeHeldJob } from "./held-jobs.ts";

/** A job's row. Counts of tasks that ended are kept here; `queued` is derived. */
export interface StoredJob {
  readonly id: number;
  readonly name: string;
  state: JobState;
  readonly tasks: number;
  /** The first task that has no row; all after it have none either. */
  next_task: number;
  /** What the tasks without a row are: queued, or how they ended together. */
  rest: "queued" | "cancelled" | "skipped" | "timeout";
  /** What runs is being stopped: 1 by somebody's wish, 2 because the deadline has passed (see {@link overdue}). */
  cancelling: number;
  partial: number;
  reason: string | null;
  running: number;
  succeeded: number;
  failed: number;
  timeout: number;
  lost: number;
  cancelled: number;
  skipped: number;
  readonly submitted_at: number;
  started_at: number | null;
  finished_at: number | null;
  expires_at: number | null;
  readonly submitted_by: string;
  tail_bytes: number;
  readonly spec: string;
  /** Of its only task (only-task.ts): where the first attempt runs or ran; null: there is no such task. */
  only_node: number | null;
  only_fence: number | null;
  only_started_at: number | null;
  only_end: string | null;
  /** What it waits for before anything of it starts, a set of bits (gate.ts); null: nothing. */
  gate: number | null;
  /** What is to be looked after when it ends, a set of bits (gate.ts); null: nothing. */
  ties: number | null;
  /** {@link Origin} as JSON; null: a person's own. */
  readonly origin: string | null;
  /** The job that ran it again, of one that had failed; null: none has. */
  readonly replayed: number | null;
}

/** Where a job comes from. */
export interface Origin {
  /** The job whose tasks it runs again. */
  readonly retry_of?: number;
  /** NAME@REVISION */
  readonly template?: string;
  /** The inventory that it is to give anew (state/refreshing.ts). */
  readonly inventory?: string;
  /** The schedule that made it, and the instant of which it is, epoch ms (firing.ts). */
  readonly schedule?: string;
  readonly at?: number;
}

/** Of a job's row. */
export function originOf(job: StoredJob): Origin {
  return job.origin === null ? {} : (JSON.parse(job.origin) as Origin);
}

/** The bit of `ties` (gate.ts) that says that a schedule made the job. */
export const scheduleTie = 8;

/** `cancelling` of a job past its deadline: its attempts are stopped, and end as timeout. */
export const overdue = 2;

/** All but the tail of an only task, which is read where it is shown. */
export const jobColumns = `id, name, state, tasks, next_task, rest, cancelling, partial, reason, running, succeeded, failed, timeout, lost, cancelled, skipped,
  submitted_at, started_at, finished_at, expires_at, submitted_by, tail_bytes, spec, only_node, only_fence, only_started_at, only_end, gate, ties, origin, replayed`;

/** Tasks by state; they add up to `tasks`. */
export function countsOf(job: StoredJob): TaskCounts {
  const { running, succeeded, failed, timeout, lost, cancelled, skipped } = job;
  return { queued: queuedIn(job), running, succeeded, failed, timeout, lost, cancelled, skipped };
}

/** Tasks that neither run nor have ended, with or without a row. */
export function queuedIn(job: StoredJob): number {
  const { tasks, running, succeeded, failed, timeout, lost, cancelled, skipped } = job;
  return tasks - running - succeeded - failed - timeout - lost - cancelled - skipped;
}

/** Tasks that ended badly: what max_failures is about. */
export function failuresIn(job: StoredJob): number {
  return job.failed + job.timeout + job.lost;
}

const select = sql(`select ${jobColumns} from job where id = ?`);

/** undefined: there is none, or it has been forgotten. */
export function jobById(tx: ReadTx, id: number): StoredJob | undefined {
  return heldJob(tx, id) ?? tx.get<StoredJob>(select, id);
}

const insert = change(
  "job.add",
  "insert into job (id, name, tasks, submitted_at, submitted_by, spec) values (?, ?, ?, ?, ?, ?)",
);
const insertPinned = change(
  "job.add-pinned",
  "insert into job (id, name, tasks, next_task, submitted_at, submitted_by, spec) values (?, ?, ?, ?, ?, ?, ?)",
);

const insertFired = change(
  "job.add-fired",
  `insert into job (id, name, tasks, submitted_at, submitted_by, spec, ties, origin) values (?, ?, ?, ?, ?, ?, ${scheduleTie}, ?)`,
);

/** A job of `tasks` tasks, none of which has a row. `spec` is the normalised spec as JSON; `fired`: a schedule made it, with that origin. */
export function insertJob(
  tx: Tx,
  id: number,
  name: string,
  tasks: number,
  at: number,
  by: string,
  spec: string,
  fired?: Origin,
): void {
  const origin = fired === undefined ? null : JSON.stringify(fired);
  if (origin === null) tx.run(insert, id, name, tasks, at, by, spec);
  else tx.run(insertFired, id, name, tasks, at, by, spec, origin);
  holdJob(tx, {
    id,
    name,
    state: "queued",
    tasks,
    next_task: 0,
    rest: "queued",
    cancelling: 0,
    partial: 0,
    reason: null,
    running: 0,
    succeeded: 0,
    failed: 0,
    timeout: 0,
    lost: 0,
    cancelled: 0,
    skipped: 0,
    submitted_at: at,
    started_at: null,
    finished_at: null,
    expires_at: null,
    submitted_by: by,
    tail_bytes: 0,
    spec,
    only_node: null,
    only_fence: null,
    only_started_at: null,
    only_end: null,
    gate: null,
    ties: origin === null ? null : scheduleTie,
    origin,
    replayed: null,
  });
}

/** A job whose tasks all have rows from the beginning. */
export function insertPinnedJob(
  tx: Tx,
  id: number,
  name: string,
  tasks: number,
  at: number,
  by: string,
  spec: string,
): void {
  tx.run(insertPinned, id, name, tasks, tasks, at, by, spec);
}

const setFired = change("job.set-fired", `update job set ties = ${scheduleTie}, origin = ? where id = ?`);
const setOrigin = change("job.set-origin", "update job set origin = ? where id = ?");

/** Said of a job that was just added. */
export function noteOrigin(tx: Tx, id: number, origin: Origin): void {
  tx.run(origin.schedule === undefined ? setOrigin : setFired, JSON.stringify(origin), id);
  takeHeldJob(tx, id); // read again when it is needed: few jobs have one
}

const update = change(
  "job.update",
  `update job set state = ?, next_task = ?, rest = ?, cancelling = ?, partial = ?, reason = ?, running = ?, succeeded = ?, failed = ?,
   timeout = ?, lost = ?, cancelled = ?, skipped = ?, started_at = ?, finished_at = ?, expires_at = ?, tail_bytes = ? where id = ?`,
);

const assigned = change(
  "job.assign",
  "update job set state = ?, next_task = ?, running = ?, started_at = ? where id = ?",
);

const assignedOnly = change(
  "job.assign-only",
  "update job set state = ?, next_task = 1, running = 1, started_at = ?, only_node = ?, only_fence = ? where id = ?",
);

const endedOnly = change(
  "job.end-only",
  `update job set state = ?, partial = ?, running = 0, cancelling = 0, succeeded = ?, failed = ?, timeout = ?, lost = ?, cancelled = ?, skipped = ?,
   finished_at = ?, expires_at = ?, tail_bytes = ?, only_started_at = ?, only_end = ?, only_tail = ? where id = ?`,
);

/** How most of them end; what it does not name is as it was. */
const succeededOnly = change(
  "job.succeed-only",
  `update job set state = 'succeeded', running = 0, cancelling = 0, succeeded = 1, finished_at = ?, expires_at = ?, only_started_at = ?, only_end = ?
   where id = ?`,
);

/** The rows of jobs that one command works on: read once at most (held-jobs.ts), written once, in the order of first use. */
export class JobBook {
  readonly #tx: Tx;
  readonly #tally: Tally;
  readonly #jobs = new Map<number, OpenJob | undefined>();

  constructor(tx: Tx, tally: Tally) {
    this.#tx = tx;
    this.#tally = tally;
  }

  /** The job, or undefined when there is none of that id. */
  get(id: number): OpenJob | undefined {
    if (this.#jobs.has(id)) return this.#jobs.get(id);
    const row = takeHeldJob(this.#tx, id) ?? jobById(this.#tx, id);
    const job = row === undefined ? undefined : new OpenJob(row);
    this.#jobs.set(id, job);
    return job;
  }

  write(): void {
    for (const job of this.#jobs.values()) {
      if (job === undefined || job.touched === "not") continue;
      const row = job.row;
      this.#tally.running += row.running - job.runningBefore;
      this.#tally.queued += queuedIn(row) - job.queuedBefore;
      this.#writeRow(job);
      holdJob(this.#tx, row);
    }
  }

  #writeRow(job: OpenJob): void {
    const { row } = job;
    if (job.touched === "assigned") {
      if (row.only_node !== null)
        this.#tx.run(assignedOnly, row.state, row.started_at, row.only_node, row.only_fence, row.id);
      else this.#tx.run(assigned, row.state, row.next_task, row.running, row.started_at, row.id);
      return;
    }
    if (job.onlyTail === null && row.succeeded === 1 && row.tail_bytes === 0) {
      const { finished_at: finishedAt, expires_at: expiresAt } = row;
      this.#tx.run(succeededOnly, finishedAt, expiresAt, row.only_started_at, row.only_end, row.id);
      return;
    }
    if (job.onlyTail !== undefined) {
      this.#tx.run(
        endedOnly,
        row.state,
        row.partial,
        row.succeeded,
        row.failed,
        row.timeout,
        row.lost,
        row.cancelled,
        row.skipped,
        row.finished_at,
        row.expires_at,
        row.tail_bytes,
        row.only_started_at,
        row.only_end,
        job.onlyTail,
        row.id,
      );
      return;
    }
    this.#tx.run(
      update,
      row.state,
      row.next_task,
      row.rest,
      row.cancelling,
      row.partial,
      row.reason,
      row.running,
      row.succeeded,
      row.failed,
      row.timeout,
      row.lost,
      row.cancelled,
      row.skipped,
      row.started_at,
      row.finished_at,
      row.expires_at,
      row.tail_bytes,
      row.id,
    );
  }
}

/** As it stands in the text of a spec that has it: others need not be read for it. */
const ttlKey = '"ttlMs":';

/** A job row under work, with its spec read when it is first needed. */
export class OpenJob {
  readonly row: StoredJob;
  readonly id: JobId;
  readonly runningBefore: number;
  readonly queuedBefore: number;
  /** Tasks were given out and nothing else, which changes few columns and happens to each job. */
  touched: "not" | "assigned" | "otherwise" = "not";
  /** Its only task ended, and so the job, with this tail; undefined: it did not. */
  onlyTail: Uint8Array | null | undefined;
  #spec: Spec | undefined;

  constructor(row: StoredJob) {
    this.row = row;
    this.id = jobId(row.id);
    this.runningBefore = row.running;
    this.queuedBefore = queuedIn(row);
  }

  get spec(): Spec {
    return (this.#spec ??= readSpec(this.row.spec));
  }

  get ttlMs(): number {
    return this.row.spec.includes(ttlKey) ? (this.spec.ttlMs ?? specDefaults.ttlMs) : specDefaults.ttlMs;
  }
}
