import { assert } from "../lib/assert.ts";
import type { JobId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { ApplyContext } from "./command.ts";
import type { Work } from "./ending.ts";
import {
  childrenOf,
  type Condition,
  type Ended,
  gateOf,
  holderOf,
  isSomethingLeft,
  leaveRelease,
  leaveReplace,
  leftRelease,
  leftReplace,
  nextOf,
  releaseDone,
  removeGate,
  replaceDone,
  replacedBefore,
  shut,
  startReached,
  type StoredGate,
  tied,
  toldUpTo,
  turn,
  waitingBefore,
  writeAfterLeft,
  writeBatch,
  writeBits,
  writePause,
  writeTurn,
} from "./tables/gate.ts";
import { batchEnding, type BatchPlace, nextEnd } from "./rolling.ts";
import { type OpenJob, queuedIn } from "./tables/job.ts";
import type { JobState } from "./types.ts";

/**
 * What has to happen before a job starts, beside a node with room: a person lets it go, an instant comes, other jobs end, its key is free. Each is a gate;
 * a job with one that is shut is not planned, and costs the leader's view nothing. Gates open where entries are applied and never by a clock there: what time
 * does is proposed by the leader's duty (scheduler/gates.ts), and judged by the entry's time (J4).
 *
 * What a job's end leads to is done in the same command, as far as it touches no more than limits.releasesPerCommand jobs. The rest stays in job_release and
 * job_replace, and the duty goes on with it: neither a job with 100,000 children nor a chain of as many is one entry.
 *
 *   a key     is had by one job at most: the one with turn.has. It takes it when its other gates are open, and whoever is next by its id gets it then
 *   replaced  jobs before job_replace.before never get the key, since they are about to be cancelled
 */
export class Gates {
  readonly #work: Work;
  readonly #context: ApplyContext;
  /** Jobs with children that ended in this command. */
  readonly #ended: Ended[] = [];
  /** Keys that are free or may be, since a job of theirs ended or came to wait for nothing else: given when all that this command leads to is known, so that of those who may have one now the first gets it. */
  readonly #freed = new Set<string>();
  #left: number = limits.releasesPerCommand;

  constructor(work: Work, context: ApplyContext) {
    this.#work = work;
    this.#context = context;
  }

  /** Shuts a gate of the job. What runs of it goes on, and its key stays its own. */
  shut(job: OpenJob, bit: number): void {
    const { tx } = this.#work;
    const { row } = job;
    if (row.gate === shut.key && bit !== 0) writeTurn(tx, row.id, turn.waitsForOthers);
    writeBits(tx, row, (row.gate ?? 0) | bit, row.ties ?? 0);
    const { state } = row;
    const held = bit === shut.held ? { held: true as const } : {};
    this.#context.changed({ topic: "job", kind: "state", job: job.id, state, cancelling: false, ...held });
  }

  /** A gate of the job opens, and with it the job, unless another one is shut. */
  open(job: OpenJob, bit: number): void {
    const { tx } = this.#work;
    const { row } = job;
    const gate = (row.gate ?? 0) & ~bit;
    if (gate === shut.key) {
      writeTurn(tx, row.id, turn.isNext);
      const key = gateOf(tx, row.id)?.key;
      assert(key !== undefined && key !== null, `job ${row.id} waits for a key and has none`);
      this.#freed.add(key);
    }
    if (gate === (row.gate ?? 0)) return;
    writeBits(tx, row, gate, row.ties ?? 0);
    if (gate === 0) this.#announce(job);
  }

  /** What it waits for has come, its start_at or the end of a pause, if it has by the entry's time. */
  timeReached(id: JobId): boolean {
    const { tx, jobs } = this.#work;
    const gate = gateOf(tx, id);
    const job = jobs.get(id);
    if (job === undefined || gate === undefined) return false;
    const isReached = (instant: number | null): boolean => instant !== null && instant <= this.#context.at;
    if (isReached(gate.start_at)) {
      startReached(tx, id);
      this.open(job, shut.startAt);
      return true;
    }
    if (!isReached(gate.pause_until)) return false;
    writePause(tx, id, null);
    this.#letBatch(job, gate, shut.pause);
    return true;
  }

  /**
   * Something of a job with batches ended, and nothing of it runs. If that was the last of the batch the next one begins, or is put off, or waits for a person. Without
   * `max_failures` nothing more begins after a batch of which no task succeeded.
   */
  endBatch(job: OpenJob): void {
    const { tx } = this.#work;
    const { row } = job;
    const gate = gateOf(tx, row.id);
    assert(gate !== undefined && gate.batch_end !== null, `job ${row.id} has batches and does not know which runs`);
    const isPutOff = ((row.gate ?? 0) & (shut.pause | shut.approval)) !== 0;
    if (row.rest !== "queued" || isPutOff || row.tasks - queuedIn(row) < gate.batch_end) return;
    const { batch, maxFailures } = job.spec;
    assert(batch !== undefined, `job ${row.id} has batches by its spec`);
    if (maxFailures === undefined && row.succeeded === gate.batch_succeeded) {
      const { now, of } = batchEnding(batch, row.tasks, gate.batch_end);
      this.#work.stop(job, "skipped", `no task of batch ${now} of ${of} succeeded: the rest was not started`);
      return;
    }
    const bits = (batch.pauseMs === undefined ? 0 : shut.pause) | (batch.approve === true ? shut.approval : 0);
    if (bits === 0) return this.#beginBatch(job, gate);
    if (batch.pauseMs !== undefined) {
      writePause(tx, row.id, this.#context.at + batch.pauseMs);
      this.#tellDuty();
    }
    this.shut(job, bits);
  }

  /** Somebody lets a batch begin. Gives why that cannot be; undefined: it is approved, now or since before. */
  approve(job: OpenJob, batch: number): string | undefined {
    const { row } = job;
    const rolling = job.spec.batch;
    const gate = ((row.ties ?? 0) & tied.batches) === 0 ? undefined : gateOf(this.#work.tx, row.id);
    if (rolling?.approve !== true || gate === undefined || gate.batch_end === null)
      return `no batch of job ${row.id} waits for approval`;
    const { now, of } = batchEnding(rolling, row.tasks, gate.batch_end);
    const bits = row.gate ?? 0;
    if (batch === now + 1 && (bits & shut.approval) !== 0) this.#letBatch(job, gate, shut.approval);
    else if (batch > of) return `job ${row.id} has ${of} batches, and no batch ${batch}`;
    else if (batch > now + 1 || (batch > now && (bits & shut.pause) === 0))
      return `batch ${now} of ${of} has not ended: the next one can be approved then`;
    return undefined;
  }

  /** One of what its next batch waits for has come. */
  #letBatch(job: OpenJob, gate: StoredGate, bit: number): void {
    const bits = (job.row.gate ?? 0) & ~bit;
    if ((bits & (shut.pause | shut.approval)) === 0) this.#beginBatch(job, gate);
    this.open(job, bit);
  }

  #beginBatch(job: OpenJob, { batch_end: end }: StoredGate): void {
    const { row, spec } = job;
    assert(spec.batch !== undefined && end !== null && end < row.tasks, `job ${row.id} has another batch`);
    const next = nextEnd(spec.batch, row.tasks, end);
    writeBatch(this.#work.tx, row.id, next, row.succeeded);
    const { now, first, tasks }: BatchPlace = batchEnding(spec.batch, row.tasks, next);
    this.#context.changed({ topic: "job", kind: "batch", job: job.id, batch: now, first, count: tasks });
  }

  /** Cancels the jobs of a key that came before one, as far as this command may; the others never get the key. */
  replace(key: string, before: number, by: string): void {
    const { tx, jobs } = this.#work;
    const holder = holderOf(tx, key);
    const waiting = waitingBefore(tx, key, before, this.#left + 1);
    const cancelled = waiting.slice(0, this.#left);
    // Before anything ends: the key must not go to one of them.
    leaveReplace(tx, key, Math.max(before, replacedBefore(tx, key)));
    for (const id of holder !== undefined && holder < before ? [holder, ...cancelled] : cancelled) {
      const job = jobs.get(id);
      if (job !== undefined) this.#work.cancel(job, by);
    }
    this.#left -= cancelled.length;
    if (cancelled.length < waiting.length) this.#tellDuty();
    else replaceDone(tx, key);
  }

  /** The job has its verdict: nothing is shut any more, its key will go to the next one, and its children will be told. */
  onEnded(job: OpenJob, state: JobState): void {
    const { tx } = this.#work;
    const { row } = job;
    const ties = row.ties ?? 0;
    writeBits(tx, row, 0, 0);
    if ((ties & tied.children) !== 0) this.#ended.push({ parent: row.id, state });
    if ((ties & tied.gate) === 0) return;
    const gate = gateOf(tx, row.id);
    removeGate(tx, row.id);
    if (gate !== undefined && gate.key !== null && gate.turn === turn.has) this.#freed.add(gate.key);
  }

  #passKey(key: string): void {
    const { tx, jobs } = this.#work;
    if (holderOf(tx, key) !== undefined) return;
    const next = nextOf(tx, key, replacedBefore(tx, key));
    const job = next === undefined ? undefined : jobs.get(next);
    if (job === undefined) return;
    writeTurn(tx, job.id, turn.has);
    writeBits(tx, job.row, 0, job.row.ties ?? 0);
    this.#announce(job);
  }

  /** Tells the children of all that has ended, and theirs in turn, and gives their keys on; leaves the rest to later commands. At the end of a command, or in it. */
  settle(): void {
    // Grows while it is gone through: who is skipped has children of its own.
    for (const ended of this.#ended) {
      if (this.#left > 0 && this.#tell(ended)) continue;
      leaveRelease(this.#work.tx, ended);
      this.#tellDuty();
    }
    this.#ended.length = 0;
    for (const key of this.#freed) this.#passKey(key);
    this.#freed.clear();
  }

  /** Goes on with what earlier commands have left. True: there is still something. */
  goOn(): boolean {
    const { tx } = this.#work;
    for (let ended = leftRelease(tx); ended !== undefined && this.#left > 0; ended = leftRelease(tx)) {
      if (this.#tell(ended)) releaseDone(tx, ended.parent);
    }
    for (let left = leftReplace(tx); left !== undefined && this.#left > 0; left = leftReplace(tx))
      this.replace(left.key, left.before, replacedBy(left.key));
    this.settle();
    return isSomethingLeft(tx);
  }

  /** True when every child knows. */
  #tell({ parent, state }: Ended): boolean {
    const { tx } = this.#work;
    const children = childrenOf(tx, parent, this.#left + 1);
    const told = children.slice(0, this.#left);
    for (const { child, condition } of told) this.#hear(child, parent, state, condition);
    const last = told.at(-1);
    if (last !== undefined) toldUpTo(tx, parent, last.child);
    this.#left -= told.length;
    return told.length === children.length;
  }

  #hear(child: JobId, parent: number, state: JobState, condition: Condition): void {
    const { tx, jobs } = this.#work;
    const job = jobs.get(child);
    // Cancelled or skipped meanwhile, or forgotten.
    if (job === undefined || ((job.row.gate ?? 0) & shut.after) === 0) return;
    if (!isMet(condition, state)) return this.skip(job, unmet(parent, state, condition));
    const gate = gateOf(tx, child);
    assert(gate !== undefined && gate.after_left > 0, `job ${child} waits for others, and for none of them`);
    writeAfterLeft(tx, child, gate.after_left - 1);
    if (gate.after_left === 1) this.open(job, shut.after);
  }

  /** What it waits for cannot come any more. */
  skip(job: OpenJob, reason: string): void {
    this.#work.stop(job, "skipped", reason);
    this.#work.finishIfDone(job);
  }

  #announce(job: OpenJob): void {
    const { state } = job.row;
    this.#context.changed({ topic: "job", kind: "state", job: job.id, state, cancelling: false });
  }

  #tellDuty(): void {
    this.#context.changed({ topic: "gate", kind: "changed" });
  }
}

/** What a cancelled job says of the one that came in its place. */
export function replacedBy(key: string): string {
  return `replaced by a newer job of the key "${key}"`;
}

/** A parent that ended like this lets the child go. */
export function isMet(condition: Condition, state: JobState): boolean {
  return condition === "done" || condition === state;
}

/** Why a child is skipped, for people. */
export function unmet(parent: number, state: JobState, condition: Condition): string {
  const ended = state === "cancelled" || state === "skipped" ? `was ${state}` : state;
  const wanted = condition === "failed" ? "failed" : "succeeded";
  return `job ${parent} ${ended}, and this one starts only when that one has ${wanted}`;
}
