import type { JobId, NodeId } from "../lib/ids.ts";
import type { WaitingTask } from "../state/planning.ts";
import { type Candidate, chooseNode } from "./choose.ts";
import type { Bucket, PlannedJob, Queues } from "./queues.ts";

/**
 * One plan: which waiting tasks start where. Costs what it places, not what is queued: jobs that want the same of a node share a
 * bucket, a bucket without a fitting node is passed over whole, and a job at its `parallel` leaves its bucket until a task of it has ended.
 */

/** Tasks of one job for one node, each with the number of the attempt that begins. Payload of unit.assign. */
export interface Unit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly tasks: [task: number, attempt: number][];
}

export interface Placed {
  readonly job: PlannedJob;
  readonly task: WaitingTask;
  readonly node: NodeId;
}

/** What the plan needs of the view. */
export interface Assignable {
  /** Nodes with room for a task of the bucket; their `free` is used up by the plan. */
  candidates(bucket: Bucket): Candidate[];
  /** The task counts as running from now on. */
  placed(placed: Placed): void;
}

/** Places at most `limit` tasks, by priority, then by the age of jobs. */
export function place(queues: Queues, assignable: Assignable, limit: number): Unit[] {
  const units = new Map<string, Unit>();
  let left = limit;
  for (const bucket of queues.inOrder()) {
    if (left <= 0) break;
    const candidates = assignable.candidates(bucket);
    if (candidates.length === 0) continue;
    const blocked: PlannedJob[] = [];
    for (let job = bucket.first(); job !== undefined && left > 0; job = bucket.first()) {
      left -= placeJob(job, candidates, left, assignable, units);
      if (hasNothingLeft(job) || job.held.size >= job.parallel) bucket.takeFirst(job);
      else if (left <= 0 || !hasRoom(candidates)) break;
      else {
        bucket.takeFirst(job); // what is left of it is pinned to nodes without room
        blocked.push(job);
      }
    }
    for (const job of blocked.toReversed()) queues.giveBack(job);
  }
  return [...units.values()];
}

function placeJob(
  job: PlannedJob,
  candidates: readonly Candidate[],
  limit: number,
  assignable: Assignable,
  units: Map<string, Unit>,
): number {
  let count = 0;
  while (count < limit && job.held.size < job.parallel) {
    const placed = nextOf(job, candidates);
    if (placed === undefined) break;
    assignable.placed(placed);
    addTo(units, placed);
    count += 1;
  }
  return count;
}

/** The job's next task that fits, and its node, whose room is taken. Retries come before tasks never started. */
function nextOf(job: PlannedJob, candidates: readonly Candidate[]): Placed | undefined {
  for (const [position, task] of job.waiting.entries()) {
    const node = chooseNode(candidates, task);
    if (node === undefined) {
      if (task.pin === undefined) return undefined; // no room for it is no room for the others
      continue;
    }
    job.waiting.splice(position, 1);
    return { job, task, node };
  }
  if (job.next >= job.tasks) return undefined;
  const task: WaitingTask = { task: job.next, attempt: 0, notBefore: 0, pin: undefined, avoid: undefined };
  const node = chooseNode(candidates, task);
  if (node === undefined) return undefined;
  job.next += 1;
  return { job, task, node };
}

function addTo(units: Map<string, Unit>, { job, task, node }: Placed): void {
  const name = `${job.id}/${node}`;
  const unit = units.get(name);
  if (unit === undefined) units.set(name, { job: job.id, node, tasks: [[task.task, task.attempt + 1]] });
  else unit.tasks.push([task.task, task.attempt + 1]);
}

function hasNothingLeft(job: PlannedJob): boolean {
  return job.next >= job.tasks && job.waiting.length === 0;
}

function hasRoom(candidates: readonly Candidate[]): boolean {
  return candidates.some((one) => one.free >= one.need);
}
