import type { JobId, NodeId } from "../lib/ids.ts";
import { matchesSelector } from "../lib/selector.ts";
import { type OpenJob, openJob, openJobs, runningOn, type WaitingTask } from "../state/planning.ts";
import { findNode, listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Change, NodeRow } from "../state/types.ts";
import { type Candidate, chooseNode } from "./choose.ts";
import { Delayed } from "./delayed.ts";
import { type Bucket, type PlannedJob, Queues } from "./queues.ts";

/**
 * The leader's picture of what waits and what is free, and the plan made from it (step 9). Read once when leadership
 * begins, then fed with the changes of applied entries; what was proposed and not yet applied counts as running, so nothing
 * is planned twice. Planning costs what it places, not what is queued: jobs that want the same kind of node share a
 * bucket, and a bucket that does not fit is passed over whole.
 */

/** Tasks of one job for one node, each with the number of the attempt that begins. Payload of unit.assign. */
export interface Unit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly tasks: [task: number, attempt: number][];
}

/** What apply refused of a plan. */
export interface Refused {
  readonly job: JobId;
  readonly tasks: readonly (readonly [task: number, attempt: number])[];
}

interface Load {
  row: NodeRow;
  slotsUsed: number;
  ioUsed: number;
}

/** What a running or proposed attempt takes. */
interface Held {
  readonly job: JobId;
  readonly node: NodeId;
  readonly slots: number;
  readonly io: boolean;
  /** Proposed, not seen applied. */
  proposed: boolean;
}

const pageJobs = 10_000;

export class PlacementView {
  readonly #loads = new Map<NodeId, Load>();
  readonly #jobs = new Map<JobId, PlannedJob>();
  readonly #held = new Map<string, Held>();
  readonly #queues = new Queues();
  readonly #delayed = new Delayed();
  /** Jobs whose entry is read again once none of their proposals is under way. */
  readonly #stale = new Set<JobId>();

  /** Reads everything that is unfinished. */
  reset(tx: ReadTx): void {
    for (const row of listNodes(tx)) {
      const load: Load = { row, slotsUsed: 0, ioUsed: 0 };
      this.#loads.set(row.id, load);
    }
    let first = 1;
    while (true) {
      const page = openJobs(tx, first, Number.MAX_SAFE_INTEGER, pageJobs);
      for (const job of page) this.#add(job);
      if (page.length < pageJobs) break;
      first = page[page.length - 1]!.id + 1;
    }
    for (const node of this.#loads.keys()) {
      for (const task of runningOn(tx, node)) this.#hold(keyOf(task.job, task.task, task.attempt), task.job, node, false);
    }
  }

  /** What applied entries changed, in order. */
  observe(changes: readonly Change[], tx: ReadTx): void {
    for (const change of changes) {
      if (change.topic === "job") this.#onJob(change, tx);
      else if (change.topic === "node") this.#onNode(change.node, tx);
      else if (change.topic === "task") this.#onTask(change);
    }
    this.#reload(tx);
  }

  /** The outcome of a proposed plan: what was refused is read from the state again. */
  settled(units: readonly Unit[], refused: readonly Refused[], tx: ReadTx): void {
    for (const unit of refused) {
      for (const [task, attempt] of unit.tasks) {
        const key = keyOf(unit.job, task, attempt);
        if (this.#held.get(key)?.proposed === true) this.#release(key);
      }
      this.#stale.add(unit.job);
    }
    for (const unit of units) if (this.#stale.has(unit.job)) this.#reload(tx);
  }

  /** Ids of nodes that take work. */
  *nodes(): Generator<NodeId> {
    for (const load of this.#loads.values()) if (load.row.state === "up") yield load.row.id;
  }

  hasWork(): boolean {
    return !this.#queues.isEmpty();
  }

  /** Milliseconds until a delayed task is due, undefined when none waits. `now` is wall time. */
  nextWakeMs(now: number): number | undefined {
    const due = this.#delayed.next();
    return due === undefined ? undefined : Math.max(0, due - now);
  }

  /** Places at most `limit` tasks on nodes of `eligible`; marks them as proposed. `now` is wall time, epoch ms. */
  plan(eligible: ReadonlySet<NodeId>, now: number, limit: number): Unit[] {
    for (const { job, task } of this.#delayed.due(now)) {
      const planned = this.#jobs.get(job);
      if (planned === undefined) continue;
      planned.waiting.push(task);
      this.#queues.giveBack(planned);
    }
    const units = new Map<string, Unit>();
    let left = limit;
    for (const bucket of this.#queues.inOrder()) {
      if (left <= 0) break;
      left -= this.#planBucket(bucket, eligible, left, units);
    }
    return [...units.values()];
  }

  #planBucket(bucket: Bucket, eligible: ReadonlySet<NodeId>, limit: number, units: Map<string, Unit>): number {
    const candidates = this.#candidates(bucket, eligible);
    let placed = 0;
    if (candidates.length === 0) return placed;
    const blocked: PlannedJob[] = [];
    for (let job = bucket.first(); job !== undefined && placed < limit; job = bucket.first()) {
      const before = placed;
      while (placed < limit && job.running < job.parallel) {
        const next = this.#nextTask(job, candidates);
        if (next === undefined) break;
        this.#propose(job, next.task, next.node, units);
        placed += 1;
      }
      if (job.next >= job.tasks && job.waiting.length === 0) bucket.takeFirst(job);
      else if (job.running >= job.parallel) {
        bucket.takeFirst(job); // comes back when one of its tasks has ended
        job.held = true;
      } else if (placed >= limit) break;
      else if (placed === before && bucket.pinned) {
        bucket.takeFirst(job);
        blocked.push(job);
      } else if (!candidates.some((one) => one.free >= bucket.need)) break;
      else {
        bucket.takeFirst(job);
        blocked.push(job);
      }
    }
    for (const job of blocked.reverse()) this.#queues.giveBack(job);
    return placed;
  }

  /** Nodes where a task of this bucket may start now. */
  #candidates(bucket: Bucket, eligible: ReadonlySet<NodeId>): Candidate[] {
    const candidates: Candidate[] = [];
    for (const load of this.#loads.values()) {
      const { row } = load;
      if (row.state !== "up" || !eligible.has(row.id) || !matchesSelector(bucket.terms, row.labels)) continue;
      const free = bucket.io ? row.ioTasks - load.ioUsed : row.slots - load.slotsUsed;
      if (free >= bucket.need) candidates.push({ node: row.id, free, need: bucket.need });
    }
    return candidates;
  }

  /** The job's next task and a node for it; the candidate's room is taken. Retries come before tasks never started. */
  #nextTask(job: PlannedJob, candidates: Candidate[]): { readonly task: WaitingTask; readonly node: NodeId } | undefined {
    for (let at = 0; at < job.waiting.length; at++) {
      const task = job.waiting[at]!;
      const node = chooseNode(candidates, task);
      if (node === undefined) continue;
      job.waiting.splice(at, 1);
      return { task, node };
    }
    if (job.next >= job.tasks) return undefined;
    const task: WaitingTask = { task: job.next, attempt: 0, notBefore: 0, pin: undefined, avoid: undefined };
    const node = chooseNode(candidates, task);
    if (node === undefined) return undefined;
    job.next += 1;
    return { task, node };
  }

  #propose(job: PlannedJob, task: WaitingTask, node: NodeId, units: Map<string, Unit>): void {
    const attempt = task.attempt + 1;
    job.running += 1;
    this.#hold(keyOf(job.id, task.task, attempt), job.id, node, true);
    const name = `${job.id}/${node}`;
    const unit = units.get(name);
    if (unit === undefined) units.set(name, { job: job.id, node, tasks: [[task.task, attempt]] });
    else unit.tasks.push([task.task, attempt]);
  }

  #hold(key: string, jobId: JobId, node: NodeId, proposed: boolean): void {
    const job = this.#jobs.get(jobId);
    const held: Held = { job: jobId, node, slots: job?.slots ?? 0, io: job?.io ?? true, proposed };
    this.#held.set(key, held);
    if (proposed && job !== undefined) job.proposed += 1;
    const load = this.#loads.get(node);
    if (load === undefined) return;
    if (held.io) load.ioUsed += 1;
    else load.slotsUsed += held.slots;
  }

  /** The attempt takes nothing any more; a job that waited for room under its `parallel` may go on. */
  #release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    const load = this.#loads.get(held.node);
    if (load !== undefined) {
      if (held.io) load.ioUsed -= 1;
      else load.slotsUsed -= held.slots;
    }
    const job = this.#jobs.get(held.job);
    if (job === undefined) return;
    job.running -= 1;
    if (held.proposed) job.proposed -= 1;
    if (job.held) {
      job.held = false;
      this.#queues.giveBack(job);
    }
  }

  #onJob(change: Extract<Change, { topic: "job" }>, tx: ReadTx): void {
    if (change.kind === "added") {
      const last = change.first + change.count - 1;
      for (const job of openJobs(tx, change.first, last, change.count)) if (!this.#jobs.has(job.id)) this.#add(job);
    } else if (change.kind === "removed" || change.state !== "queued" && change.state !== "running") {
      this.#remove(change.job);
    } else if (change.cancelling) {
      const job = this.#jobs.get(change.job);
      if (job !== undefined) this.#empty(job);
    }
  }

  #onNode(id: NodeId, tx: ReadTx): void {
    const row = findNode(tx, id);
    const load = this.#loads.get(id);
    if (row === undefined) this.#loads.delete(id);
    else if (load === undefined) this.#loads.set(id, { row, slotsUsed: 0, ioUsed: 0 });
    else load.row = row;
  }

  #onTask(change: Extract<Change, { topic: "task" }>): void {
    const key = keyOf(change.job, change.task, change.attempt);
    if (change.kind === "assigned") {
      const held = this.#held.get(key);
      const job = this.#jobs.get(change.job);
      if (held === undefined) {
        // Assigned by an earlier leader, or before this view was read: the job's entry may not know it yet.
        if (job !== undefined) this.#stale.add(change.job);
        this.#hold(key, change.job, change.node, false);
        if (job !== undefined) job.running += 1;
      } else if (held.proposed) {
        held.proposed = false;
        if (job !== undefined) job.proposed -= 1;
      }
    } else if (change.kind === "ended") {
      this.#release(key);
      const job = this.#jobs.get(change.job);
      if (change.state !== "queued" || job === undefined) return;
      this.#delayed.add(change.notBefore, change.job, {
        task: change.task,
        attempt: change.attempt,
        notBefore: change.notBefore,
        pin: job.pinned ? change.node : undefined,
        avoid: change.node,
      });
    }
  }

  #add(open: OpenJob): void {
    const job: PlannedJob = {
      ...open,
      waiting: [],
      pinned: open.waiting.some((task) => task.pin !== undefined),
      proposed: 0,
      held: false,
      queued: false,
    };
    this.#jobs.set(job.id, job);
    for (const task of open.waiting) {
      if (task.notBefore > 0) this.#delayed.add(task.notBefore, job.id, task);
      else job.waiting.push(task);
    }
    if (job.next < job.tasks || job.waiting.length > 0) this.#queues.append(job);
  }

  #remove(id: JobId): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    this.#empty(job);
    this.#jobs.delete(id);
  }

  /** Nothing more of it is started. */
  #empty(job: PlannedJob): void {
    job.next = job.tasks;
    job.waiting.length = 0;
    this.#delayed.forget(job.id);
  }

  /** Reads stale jobs again, those of which nothing is under way. */
  #reload(tx: ReadTx): void {
    for (const id of this.#stale) {
      const job = this.#jobs.get(id);
      if (job !== undefined && job.proposed > 0) continue;
      this.#stale.delete(id);
      if (job === undefined) continue;
      this.#remove(id);
      const open = openJob(tx, id);
      if (open !== undefined) this.#add(open);
    }
  }
}

function keyOf(job: number, task: number, attempt: number): string {
  return `${job}/${task}/${attempt}`;
}
