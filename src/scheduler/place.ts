import type { JobId, NodeId } from "../lib/ids.ts";
import type { Placement } from "../lib/placement.ts";
import type { WaitingTask } from "../state/planning.ts";
import { limits } from "../lib/limits.ts";
import { chooseAhead, mayWait, stopAhead } from "./ahead.ts";
import { bestRoom, chooseNode, giveLanes, hasAhead, hasRoom, type Room, takeLanes } from "./choose.ts";
import { holdNode, holdPins, holdsNothing } from "./hold.ts";
import { type ArrayPlan, type Bucket, heldOf, type PlannedJob, type Queues } from "./queues.ts";
import { compareShares, type InLine, Lines, type Submitter } from "./share.ts";
import { unitSize } from "./unit-size.ts";

/**
 * One plan: which waiting tasks start where. Costs what it places, and a look at each different want, not what is queued: jobs that want the same of a node share a
 * bucket, a bucket without a fitting node is passed over whole, and a job at its `parallel` leaves its bucket until a task of it has ended.
 */

/** Tasks of one job for one node, each with the number of the attempt that begins. Payload of unit.assign. */
export interface Unit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly tasks: [task: number, attempt: number][];
}

/** Tasks [first, first + count) of an array for one node, `width` of them at once. Payload of range.assign. */
export interface RangeUnit {
  readonly job: JobId;
  readonly node: NodeId;
  readonly first: number;
  readonly count: number;
  readonly width: number;
}

/** What is to be given out: tasks one by one, and ranges of arrays. */
export interface Plan {
  readonly units: Unit[];
  readonly ranges: RangeUnit[];
}

export interface Placed {
  readonly job: PlannedJob;
  readonly task: WaitingTask;
  readonly node: NodeId;
  /** The node has no room for it yet: it waits there. */
  readonly isAhead: boolean;
}

/** What the plan needs of the view. */
export interface Assignable {
  /** Nodes that take work and match the bucket's selector, full ones too; what is free of them is used up by the plan. */
  matching(bucket: Bucket): Room[];
  readonly placement: Placement;
  /** Whether the log takes ranges (S2). */
  readonly knowsRanges: boolean;
  /** The task counts as running from now on. */
  placed(placed: Placed): void;
  /** So do these. */
  placedRange(job: PlannedJob, range: RangeUnit): void;
}

/** What a plan has gathered. */
interface Gathered {
  readonly units: Map<string, Unit>;
  readonly ranges: RangeUnit[];
}

/** Places at most `limit` tasks and ranges, by priority, then by the submitters' shares, then by the age of jobs. */
export function place(queues: Queues, assignable: Assignable, limit: number): Plan {
  const gathered: Gathered = { units: new Map(), ranges: [] };
  /** By what is wanted: room only shrinks while a plan is made, so fitting nodes are looked for once. */
  const fitting = new Map<string, Room[]>();
  const blocked: PlannedJob[] = [];
  let left = limit;
  const order = queues.inOrder();
  /** What nobody gets any more: when that is all that is wanted the plan is made, however many submitters wait. */
  let unserved = 0;
  const endsFor = ({ same }: Bucket): void => {
    if (same.isServed) unserved += 1;
    same.isServed = false;
  };
  for (const lines of linesOf(order)) {
    for (let turns = lines.first(); turns !== undefined && left > 0 && unserved < queues.wants; turns = lines.first()) {
      const bucket = turns.next();
      if (bucket === undefined) {
        lines.drop();
        continue;
      }
      const matching = assignable.matching(bucket);
      if (changesNothing(bucket, matching)) {
        endsFor(bucket);
        turns.pass(bucket);
        lines.settle();
        continue;
      }
      const rival = lines.second();
      const rooms =
        fitting.get(bucket.want) ?? matching.filter((room) => hasRoom(room, bucket) || hasAhead(room, bucket));
      fitting.set(bucket.want, rooms);
      const until = turns.until();
      for (let job = bucket.first(); job !== undefined && job.id < until && left > 0; job = bucket.first()) {
        const count = placeJob(bucket, job, rooms, left, rival, assignable, gathered);
        left -= count;
        if (hasNothingLeft(job) || heldOf(job) >= job.parallel || isFull(job)) bucket.takeFirst(job);
        else if (left <= 0 || (count > 0 && isBehind(job, rival))) break;
        else if (bucket.pinned) {
          holdPins(bucket, job, matching);
          const pins = new Set(job.waiting.map((task) => task.pin));
          stopAhead(
            matching.filter((room) => pins.has(room.node)),
            bucket,
          );
          bucket.takeFirst(job);
          blocked.push(job);
          endsFor(bucket);
        } else {
          fitting.set(bucket.want, []);
          endsFor(bucket);
          stopAhead(matching, bucket);
          holdNode(bucket, matching);
          turns.pass(bucket);
          break;
        }
        if (rival !== undefined && isBehind(bucket.first() ?? job, rival)) break;
      }
      turns.again(bucket);
      lines.settle();
    }
  }
  for (const job of blocked.toReversed()) queues.giveBack(job);
  return { units: [...gathered.units.values()], ranges: gathered.ranges };
}

/**
 * Nothing on these nodes is free for it, nothing is to be kept for it, and nothing is given ahead that it could have had. What each of many jobs wants differently costs
 * this look at each node in every plan, and no more.
 */
function changesNothing(bucket: Bucket, matching: readonly Room[]): boolean {
  for (const room of matching) {
    if (hasRoom(room, bucket) || hasAhead(room, bucket)) return false;
    if ((bucket.io ? room.ahead.io : room.ahead.slots) > 0) return false;
  }
  return holdsNothing(bucket, matching);
}

/** By now the other one uses less for its weight, or as much and is older. */
function isBehind(job: PlannedJob, rival: Turns | undefined): boolean {
  if (rival === undefined) return false;
  const shares = compareShares(job.submitter, rival.submitter);
  return shares > 0 || (shares === 0 && rival.age() < job.id);
}

/** For each priority, from the highest on, the lines of its submitters. */
function* linesOf(order: readonly Bucket[]): Generator<Lines<Turns>> {
  for (let from = 0, to = 0; from < order.length; from = to) {
    const { priority } = order[from]!;
    while (order[to]?.priority === priority) to += 1;
    const own = Map.groupBy(order.slice(from, to), (bucket) => bucket.submitter);
    yield new Lines([...own].map(([submitter, buckets]) => new Turns(submitter, buckets)));
  }
}

/**
 * Whose turn it is in the line of one submitter: the bucket with the oldest first job, for as long as its first job is the oldest. So no
 * job is placed before an older one has been placed or has had room held for it.
 */
class Turns implements InLine {
  readonly submitter: Submitter;
  readonly #order: Bucket[];
  readonly #passed = new Set<Bucket>();
  #at = 0;

  constructor(submitter: Submitter, order: Bucket[]) {
    this.submitter = submitter;
    this.#order = order;
  }

  next(): Bucket | undefined {
    return this.#order[this.#at++];
  }

  age(): number {
    const bucket = this.#order[this.#at];
    return bucket === undefined ? Infinity : ageOf(bucket);
  }

  /** The id of the job that comes after the older ones of the bucket whose turn it is. */
  until(): number {
    return this.age();
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
      if (ageOf(this.#order[middle]!) < ageOf(bucket)) low = middle + 1;
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
  rival: Turns | undefined,
  assignable: Assignable,
  { units, ranges }: Gathered,
): number {
  const { placement } = assignable;
  const array = assignable.knowsRanges ? job.array : undefined;
  let count = 0;
  while (count < limit && heldOf(job) < job.parallel && (count === 0 || !isBehind(job, rival))) {
    const placed = nextOf(bucket, job, rooms, placement, array === undefined);
    if (placed !== undefined) {
      assignable.placed(placed);
      addTo(units, placed);
    } else if (array === undefined || job.waiting.length > 0) break;
    else {
      const range = nextRange(bucket, job, array, rooms, placement, rival !== undefined);
      if (range === undefined) break;
      assignable.placedRange(job, range);
      ranges.push(range);
    }
    count += 1;
  }
  return count;
}

/** The job's next range and its node, whose room is taken; undefined: there is none, or no room. Who shares with others takes a part of a node's room at a time. */
function nextRange(
  bucket: Bucket,
  job: PlannedJob,
  array: ArrayPlan,
  rooms: readonly Room[],
  placement: Placement,
  isShared: boolean,
): RangeUnit | undefined {
  const left = Math.min(job.tasks - job.next, job.parallel - heldOf(job));
  if (left <= 0) return undefined;
  const open = array.unit !== undefined ? rooms : rooms.filter((one) => outOn(array, one) < limits.unitTasksOut);
  const room = bestRoom(open, bucket, placement);
  if (room === undefined) {
    array.isFull = open.length < rooms.length && bestRoom(rooms, bucket, placement) !== undefined;
    return undefined;
  }
  const lanes = takeLanes(room, bucket, left);
  const { count, width } = unitSize(array, left, isShared ? Math.ceil(lanes / 4) : lanes, open.length);
  giveLanes(room, bucket, lanes - width);
  const range = { job: job.id, node: room.node, first: job.next, count, width };
  job.next += count;
  return range;
}

function outOn({ units }: ArrayPlan, { node }: Room): number {
  return units.reduce((sum, unit) => (unit.node === node ? sum + unit.left : sum), 0);
}

function isFull({ array }: PlannedJob): boolean {
  return array?.isFull === true;
}

/** The job's next task that fits, and its node, whose room is taken. Retries come before tasks never started (`fresh`: those are wanted, too). */
function nextOf(
  bucket: Bucket,
  job: PlannedJob,
  rooms: readonly Room[],
  placement: Placement,
  fresh: boolean,
): Placed | undefined {
  if (rooms.length === 0) return undefined;
  for (const [position, task] of job.waiting.entries()) {
    const placed = placeTask(rooms, bucket, job, task, placement);
    if (placed === undefined) {
      if (task.pin === undefined) return undefined; // no room for it is no room for the others
      continue;
    }
    job.waiting.splice(position, 1);
    return placed;
  }
  if (!fresh || job.next >= job.tasks) return undefined;
  const task: WaitingTask = { task: job.next, attempt: 0, notBefore: 0, pin: undefined, avoid: undefined };
  const placed = placeTask(rooms, bucket, job, task, placement);
  if (placed !== undefined) job.next += 1;
  return placed;
}

/** Where it begins at once, else where it waits. */
function placeTask(
  rooms: readonly Room[],
  bucket: Bucket,
  job: PlannedJob,
  task: WaitingTask,
  placement: Placement,
): Placed | undefined {
  const roomy = chooseNode(rooms, bucket, task, placement);
  if (roomy !== undefined) return { job, task, node: roomy, isAhead: false };
  const node = mayWait(job) ? chooseAhead(rooms, bucket, task.avoid) : undefined;
  return node === undefined ? undefined : { job, task, node, isAhead: true };
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
