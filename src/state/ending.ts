import type { NodeId } from "../lib/ids.ts";
import type { Facts } from "../lib/facts.ts";
import { limits } from "../lib/limits.ts";
import type { TaskRun } from "../lib/task-runs.ts";
import { formatDuration } from "../lib/units.ts";
import { isUnreachable } from "../lib/unreachable.ts";
import { jobId } from "../lib/ids.ts";
import type { ApplyContext } from "./command.ts";
import { endFire } from "./fire-end.ts";
import { Gates } from "./gates.ts";
import { stopLevel } from "./levels.ts";
import { pointsOf } from "./points.ts";
import { failuresAllowed } from "./spec.ts";
import { planRetry, type RetryPlan } from "./retry.ts";
import { addTally, countDead, countEnded, newTally, type Tally } from "./tables/counter.ts";
import { failuresIn, JobBook, overdue, queuedIn, type OpenJob } from "./tables/job.ts";
import { hasOnlyTask, moveToRow, onlyTask, writeEnd } from "./tables/only-task.ts";
import { tied } from "./tables/gate.ts";
import { bundleKey } from "./bundles.ts";
import { secretsKey } from "./secrets.ts";
import { releaseBundle } from "./tables/bundle.ts";
import { addFacts, boundFacts } from "./tables/fact.ts";
import { addRecap, playbookKey } from "./tables/recap.ts";
import { forgetUses } from "./tables/secret.ts";
import {
  endWaitingTask,
  finishTask,
  requeueTask,
  singlesRunningOf,
  taskById,
  waitingOf,
  type Ended,
  type StoredTask,
} from "./tables/task.ts";
import { leaveStopped, leftStopped, stoppedDone } from "./tables/stopped.ts";
import { type OpenUnit, UnitBook, unitsOf } from "./tables/unit.ts";
import type { Tx } from "./tx.ts";
import type { JobState, Report, Spec, TaskState } from "./types.ts";

/** How an attempt ended. */
type EndReport = Omit<Report, "job" | "task" | "attempt">;

/**
 * How attempts, tasks and jobs end: the one place for it, used by task.finish, node.lost, node.remove, job.cancel and job.overdue. A `Work`
 * belongs to one command; `close()` tells those who wait for what has ended (gates.ts), and writes the job rows and totals that it changed.
 */
export class Work {
  readonly tx: Tx;
  readonly jobs: JobBook;
  readonly #context: ApplyContext;
  readonly #tally: Tally = newTally();
  /** So many waiting tasks of stopped jobs it may still end. */
  #stopRoom: number = limits.stoppedPerCommand;
  #gates: Gates | undefined;
  #units: UnitBook | undefined;

  constructor(tx: Tx, context: ApplyContext) {
    this.tx = tx;
    this.#context = context;
    this.jobs = new JobBook(tx, this.#tally);
  }

  /** What jobs wait for, and who waits for them; most commands have nothing to do with it. */
  get gates(): Gates {
    return (this.#gates ??= new Gates(this, this.#context));
  }

  /** The units whose tasks it works on; commands about single jobs have none. */
  get units(): UnitBook {
    return (this.#units ??= new UnitBook(this.tx));
  }

  /** The present attempt of a task, as this command has left it. */
  taskOf({ row }: OpenJob, task: number): StoredTask | undefined {
    if (hasOnlyTask(row)) return task === 0 ? onlyTask(row) : undefined;
    return (
      taskById(this.tx, row.id, task) ??
      (task < row.next_task ? this.units.around(row.id, task)?.taskAt(task) : undefined)
    );
  }

  close(): void {
    this.#gates?.settle();
    this.#units?.write();
    this.jobs.write();
    addTally(this.tx, this.#tally);
  }

  /** The present attempt of a running task ended as the report says: tried again, or the task's end (J2). */
  endAttempt(job: OpenJob, row: StoredTask, node: NodeId, report: EndReport): void {
    const unit = row.unit === undefined ? undefined : this.units.around(row.job, row.task);
    if (unit !== undefined && saysNothingElse(report)) {
      const { startedAt, finishedAt } = report;
      this.endInUnit(job, unit, [{ first: row.task - unit.first, count: 1, kind: "ended", startedAt, finishedAt }]);
      return;
    }
    // A spec is read for what may need it alone: that costs more than all else that is done to a plain job.
    const { state } = report;
    const retry = state === "succeeded" ? undefined : planRetry(job.spec, row, state, this.#context.random);
    this.#end(job, row, node, report, retry);
  }

  /** What an attempt has found its target to be, however it ended. */
  addFacts(job: OpenJob, { task, target }: StoredTask, facts: Facts): void {
    const name = target ?? pointsOf(this.tx, job.row)(task)?.target;
    if (name === undefined) return;
    const isNew = addFacts(this.tx, name, facts, { job: job.id, at: this.#context.at, isGone: false });
    if (isNew) boundFacts(this.tx);
  }

  /** The attempt was never begun, and will not be: its task waits again, whatever its on_lost says. */
  takeBack(job: OpenJob, row: StoredTask, node: NodeId, reason: string): void {
    const again: RetryPlan = { tries: row.tries, losses: row.losses, delayMs: 0 };
    this.#end(job, row, node, lostReport(reason, this.#context.at), again, "skipped");
  }

  /** `shownAs`: in the history, where that is not what the report says. */
  #end(
    job: OpenJob,
    row: StoredTask,
    node: NodeId,
    report: EndReport,
    retry: RetryPlan | undefined,
    shownAs: TaskState = report.state,
  ): void {
    if (row.unit !== undefined) this.units.setApart(row);
    job.touched = "otherwise";
    job.row.running -= 1;
    const tail = this.#boundTail(job, row, report.tail);
    const isOverdue = job.row.cancelling === overdue && report.state === "cancelled";
    const ended = endedOf(isOverdue ? { ...report, reason: deadlineReason(job.spec) } : report, row, shownAs);
    if (retry !== undefined && job.row.rest === "queued") {
      const notBefore = retry.delayMs === 0 ? 0 : this.#context.at + retry.delayMs;
      if (hasOnlyTask(job.row)) moveToRow(this.tx, job.row);
      requeueTask(this.tx, row, ended, { ...retry, notBefore, ...tail });
      this.#announce(job, row, node, "queued", notBefore, ended);
      return;
    }
    // A lost attempt of a job that is being stopped would have waited again, and waiting tasks end as the job's rest did.
    const rest = job.row.cancelling === overdue ? "timeout" : job.row.rest;
    const waits = retry !== undefined && report.state === "lost" && rest !== "queued";
    const terminal = waits ? rest : isOverdue ? "timeout" : report.state;
    if (hasOnlyTask(job.row)) {
      job.row.only_started_at = ended.startedAt;
      job.row.only_end = writeEnd(ended, tail.tailDropped);
      job.onlyTail = tail.tail;
    } else finishTask(this.tx, row.job, row.task, { ...ended, state: terminal }, tail.tail, tail.tailDropped);
    job.row[terminal] += 1;
    if (job.row.spec.includes(playbookKey) && job.spec.ansible?.playbook !== undefined) {
      const isChanged = terminal === "succeeded" && report.recap !== undefined && report.recap.changed > 0;
      const isAway = isUnreachable({ state: terminal, reason: ended.reason });
      addRecap(this.tx, row.job, report.recap, { isChanged, isUnreachable: isAway });
    }
    this.#announce(job, row, node, terminal, 0, ended);
    this.#stopPastFailures(job);
  }

  /** Running tasks of a unit succeeded, and nothing is to be told of them but when: they stay in it. */
  endInUnit(job: OpenJob, unit: OpenUnit, runs: readonly TaskRun[]): void {
    const { first, row } = unit;
    const count = runs.reduce((sum, run) => sum + run.count, 0);
    const ms = runs.reduce((sum, run) => sum + run.count * Math.max(0, run.finishedAt - run.startedAt), 0);
    unit.tell(runs);
    job.touched = "otherwise";
    job.row.running -= count;
    job.row.succeeded += count;
    const tasks: [first: number, count: number][] = [];
    for (const run of runs) {
      const last = tasks.at(-1);
      if (last !== undefined && last[0] + last[1] === first + run.first) last[1] += run.count;
      else tasks.push([first + run.first, run.count]);
    }
    this.#context.changed({ topic: "task", kind: "unit-ended", job: job.id, first, node: row.node, tasks, ms });
  }

  /** A task that waits ends without another attempt. */
  endWaiting(job: OpenJob, row: StoredTask, state: "lost" | "cancelled" | "skipped", reason: string | null): void {
    job.touched = "otherwise";
    job.row[state] += 1;
    endWaitingTask(this.tx, row.job, row.task, state, reason, this.#context.at);
    this.#stopPastFailures(job);
  }

  /**
   * Nothing of the job is started any more; its waiting tasks end as `rest` at once, or, of very many, in later commands: the job ends with the last of them.
   * Running ones go on.
   */
  stop(job: OpenJob, rest: "cancelled" | "skipped" | "timeout", reason: string | null): void {
    job.touched = "otherwise";
    const { row } = job;
    row.rest = rest;
    const isDone = this.#endWaitingOf(job, rest, reason);
    row[rest] += isDone ? queuedIn(row) : row.tasks - row.next_task;
    if (reason !== null) row.reason = reason;
    if (isDone) return;
    leaveStopped(this.tx, row.id);
    this.#context.changed({ topic: "gate", kind: "changed" });
  }

  /** Ends what waits of jobs that were stopped before, as far as one command may. */
  goOnStopping(): void {
    for (let id = leftStopped(this.tx); id !== undefined; id = leftStopped(this.tx)) {
      const job = this.jobs.get(jobId(id));
      const rest = job?.row.rest ?? "queued";
      // Its last tasks may have ended otherwise: with their node, which alone might run them.
      const isOpen = job !== undefined && job.row.finished_at === null && rest !== "queued";
      if (isOpen && !this.#endWaitingOf(job, rest, job.row.reason)) return;
      stoppedDone(this.tx, id);
      if (isOpen) this.finishIfDone(job);
    }
  }

  /** The job's waiting tasks end, as many as this command may still end. True: none waits any more. */
  #endWaitingOf(job: OpenJob, rest: "cancelled" | "skipped" | "timeout", reason: string | null): boolean {
    const { row } = job;
    const most = this.#context.level < stopLevel ? row.tasks : this.#stopRoom;
    const waiting = waitingOf(this.tx, row.id, most + 1);
    const ending = waiting.slice(0, most);
    for (const { task } of ending) endWaitingTask(this.tx, row.id, task, rest, reason, this.#context.at);
    row[rest] += ending.length;
    this.#stopRoom -= ending.length;
    job.touched = "otherwise";
    return ending.length === waiting.length;
  }

  /** Cancels an unfinished job: waiting tasks end at once, running ones are stopped; no news for one that is being stopped already. */
  cancel(job: OpenJob, reason: string): void {
    const { row } = job;
    if (row.finished_at !== null || row.cancelling !== 0) return;
    if (row.rest === "queued") this.stop(job, "cancelled", reason);
    row.cancelling = 1;
    job.touched = "otherwise";
    if (!this.finishIfDone(job)) this.#stopRunning(job, true);
  }

  /** The job's deadline has passed: the same, and its tasks end as timeout. One that succeeds before it is stopped has succeeded. */
  endOverdue(job: OpenJob): void {
    const { row } = job;
    if (row.finished_at !== null || row.cancelling !== 0) return;
    const reason = deadlineReason(job.spec);
    if (row.rest === "queued") this.stop(job, "timeout", reason);
    else row.reason ??= reason;
    row.cancelling = overdue;
    job.touched = "otherwise";
    if (!this.finishIfDone(job)) this.#stopRunning(job, false);
  }

  #stopRunning(job: OpenJob, cancelling: boolean): void {
    this.#context.changed({ topic: "job", kind: "state", job: job.id, state: job.row.state, cancelling });
    this.#units?.write();
    for (const { task, attempt, node } of singlesRunningOf(this.tx, job.id))
      if (node !== null) this.#context.changed({ topic: "task", kind: "stop", job: job.id, task, attempt, node });
    for (const { first, row } of unitsOf(this.tx, job.id))
      this.#context.changed({ topic: "task", kind: "unit-stop", job: job.id, first, node: row.node });
  }

  /** Gives the job its verdict when nothing of it is queued or running any more (J2). True when it ended now. */
  finishIfDone(job: OpenJob): boolean {
    const { row } = job;
    if (row.finished_at !== null || row.running > 0) return false;
    if (queuedIn(row) > 0 && ((row.ties ?? 0) & tied.batches) !== 0) this.gates.endBatch(job);
    if (queuedIn(row) > 0) return false;
    const state = verdictOf(job);
    job.touched = "otherwise";
    row.state = state;
    row.partial = state === "succeeded" && failuresIn(row) > 0 ? 1 : 0;
    row.finished_at = this.#context.at;
    row.expires_at = this.#context.at + job.ttlMs;
    row.cancelling = 0;
    this.#tally[state] += 1;
    countEnded(this.tx, row.id, row.submitted_by);
    if (state === "failed") countDead(this.tx, 1, this.#context.level);
    if (row.spec.includes(secretsKey)) forgetUses(this.tx, job.id, job.spec);
    if (row.spec.includes(bundleKey) && job.spec.bundle !== undefined) releaseBundle(this.tx, job.spec.bundle.digest);
    this.#context.changed({ topic: "job", kind: "state", job: job.id, state, cancelling: false });
    const ties = row.ties ?? 0;
    if ((ties & tied.schedule) !== 0) endFire(this.tx, row.id, state);
    if (row.gate !== null || (ties & ~tied.schedule) !== 0) this.gates.onEnded(job, state);
    return true;
  }

  #stopPastFailures(job: OpenJob): void {
    const { row } = job;
    if (row.rest !== "queued" || queuedIn(row) === 0 || job.spec.maxFailures === undefined) return;
    const allowed = failuresAllowed(job.spec, row.tasks)!;
    if (failuresIn(row) <= allowed) return;
    this.stop(job, "skipped", `more than ${job.spec.maxFailures} tasks failed: the rest was not started`);
    this.#context.changed({ topic: "job", kind: "state", job: job.id, state: row.state, cancelling: false });
  }

  /** A job's tails are bounded together (N1): past it a tail is dropped, and that is noted. */
  #boundTail(job: OpenJob, row: StoredTask, tail: Uint8Array): { tail: Uint8Array | null; tailDropped: boolean } {
    const before = job.row.tail_bytes - row.tail_size;
    const fits = before + tail.length <= limits.tailPerJobBytes;
    job.row.tail_bytes = before + (fits ? tail.length : 0);
    return { tail: fits && tail.length > 0 ? tail : null, tailDropped: !fits };
  }

  #announce(
    job: OpenJob,
    row: StoredTask,
    node: NodeId,
    state: StoredTask["state"],
    notBefore: number,
    { startedAt, finishedAt }: Ended,
  ): void {
    const { task, attempt, unit } = row;
    const ended = { topic: "task", kind: "ended", job: job.id, task, attempt, node, state, notBefore } as const;
    const ran = startedAt === null || finishedAt === null ? {} : { ms: Math.max(0, finishedAt - startedAt) };
    this.#context.changed(unit === undefined ? { ...ended, ...ran } : { ...ended, unit, ...ran });
  }
}

function deadlineReason({ deadlineMs }: Spec): string {
  return `the job's deadline of ${formatDuration(deadlineMs ?? 0)} passed`;
}

/** The contract's verdict: all succeeded, or failures stayed within max_failures; skipped, cancelled by a person; failed otherwise. */
function verdictOf(job: OpenJob): Exclude<JobState, "queued" | "running"> {
  const { row } = job;
  if (row.succeeded === row.tasks) return "succeeded";
  // Where max_failures skips tasks, others have failed.
  if (row.skipped === row.tasks) return "skipped";
  if (row.cancelling === 1 || row.rest === "cancelled") return "cancelled";
  if (row.cancelling === overdue) return "failed";
  const allowed = failuresAllowed(job.spec, row.tasks);
  const good = row.succeeded + failuresIn(row) === row.tasks && allowed !== undefined && failuresIn(row) <= allowed;
  return good ? "succeeded" : "failed";
}

/** It succeeded, at once, and left nothing: its unit can say all of that. */
function saysNothingElse(report: EndReport): boolean {
  const { state, exitCode, signal, reason, tail, log, startedAt } = report;
  const isPlain = state === "succeeded" && exitCode === 0 && signal === null && reason === undefined;
  return isPlain && tail.length === 0 && log === undefined && startedAt > 0;
}

function endedOf(report: EndReport, row: StoredTask, state: TaskState): Ended {
  return {
    state,
    exitCode: report.exitCode,
    signal: report.signal,
    reason: report.reason ?? null,
    startedAt: report.startedAt > 0 ? report.startedAt : row.started_at,
    finishedAt: report.finishedAt,
    logBytes: report.log?.bytes ?? null,
    logSha256: report.log?.sha256 ?? null,
  };
}

/** The report on an attempt whose node is gone; nobody knows more. */
export function lostReport(reason: string, at: number): EndReport {
  const nothing = { exitCode: null, signal: null, log: undefined, tail: new Uint8Array(0), startedAt: 0 };
  return { state: "lost", reason, finishedAt: at, ...nothing };
}
