import type { JobId, NodeId } from "../lib/ids.ts";
import type { WaitingTask } from "../state/planning.ts";
import { chooseNode, hasRoom, type Room } from "./choose.ts";
import { holdNode, holdPins } from "./hold.ts";
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
  /** Nodes that take work and match the bucket's selector, full ones too; what is free of them is used up by the plan. */
  matching(bucket: Bucket): Room[];
  /** The task counts as running from now on. */
  placed(placed: Placed): void;
}

/** Places at most `limit` tasks, by priority, then by the age of jobs. */
export function place(queues: Queues, assignable: Assignable, limit: number): Unit[] {
  const units = new Map<string, Unit>();
  const turns = new Turns(queues.inOrder());
  const fitting = new Map<Bucket, Room[]>();
  const blocked: PlannedJob[] = [];
  let left = limit;
  for (let bucket = turns.next(); bucket !== undefined && left > 0; bucket = turns.next()) {
    // Room only shrinks while a plan is made, so a bucket's fitting nodes are looked for once.
    const rooms = fitting.get(bucket) ?? assignable.matching(bucket).filter((room) => hasRoom(room, bucket));
    fitting.set(bucket, rooms);
    const until = turns.until(bucket);
    for (let job = bucket.first(); job !== undefined && job.id < until && left > 0; job = bucket.first()) {
      left -= placeJob(bucket, job, rooms, left, assignable, units);
      if (hasNothingLeft(job) || job.held.size >= job.parallel) bucket.takeFirst(job);
      else if (left <= 0) break;
      else if (bucket.pinned) {
        holdPins(bucket, job, assignable.matching(bucket));
        bucket.takeFirst(job);
        blocked.push(job);
      } else {
        holdNode(bucket, assignable.matching(bucket));
        turns.pass(bucket);
        break;
      }
    }
    turns.again(bucket);
  }
  for (const job of blocked.toReversed()) queues.giveBack(job);
  return [...units.values()];
}

/**
 * Whose turn it is: the bucket with the oldest first job of the highest priority, for as long as its first job is the oldest. So no
 * job is placed before an older one has been placed or has had room held for it.
 */
class Turns {
  readonly #order: Bucket[];
  readonly #passed = new Set<Bucket>();
  #at = 0;

  constructor(order: Bucket[]) {
    this.#order = order;
  }

  next(): Bucket | undefined {
    return this.#order[this.#at++];
  }

  /** The id of the job that comes after this bucket's older ones. */
  until(bucket: Bucket): number {
    const following = this.#order[this.#at];
    return following?.priority === bucket.priority ? ageOf(following) : Infinity;
  }

  /** Nothing more of it has room in this plan. */
  pass(bucket: Bucket): void {
    this.#passed.add(bucket);
  }

  /** It has had its turn; what is left of it waits for the next one. */
  again(bucket: Bucket): void {
    if (this.#passed.has(bucket) || bucket.first() === undefined) return;
    let [low, high] = [this.#at, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#order[middle]!;
      const isBefore =
        other.priority > bucket.priority || (other.priority === bucket.priority && ageOf(other) < ageOf(bucket));
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    this.#at -= 1; // in the place that its turn has left: what lies between moves up
    this.#order.copyWithin(this.#at, this.#at + 1, low);
    this.#order[low - 1] = bucket;
  }
}

function ageOf(bucket: Bucket): number {
  return bucket.first()?.id ?? Infinity;
}

function placeJob(
  bucket: Bucket,
  job: PlannedJob,
  rooms: readonly Room[],
  limit: number,
  assignable: Assignable,
  units: Map<string, Unit>,
): number {
  let count = 0;
  while (count < limit && job.held.size < job.parallel) {
    const placed = nextOf(bucket, job, rooms);
    if (placed === undefined) break;
    assignable.placed(placed);
    addTo(units, placed);
    count += 1;
  }
  return count;
}

/** The job's next task that fits, and its node, whose room is taken. Retries come before tasks never started. */
function nextOf(bucket: Bucket, job: PlannedJob, rooms: readonly Room[]): Placed | undefined {
  if (rooms.length === 0) return undefined;
  for (const [position, task] of job.waiting.entries()) {
    const node = chooseNode(rooms, bucket, task);
    if (node === undefined) {
      if (task.pin === undefined) return undefined; // no room for it is no room for the others
      continue;
    }
    job.waiting.splice(position, 1);
    return { job, task, node };
  }
  if (job.next >= job.tasks) return undefined;
  const task: WaitingTask = { task: job.next, attempt: 0, notBefore: 0, pin: undefined, avoid: undefined };
  const node = chooseNode(rooms, bucket, task);
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
