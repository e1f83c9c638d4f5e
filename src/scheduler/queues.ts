import type { JobId, NodeId } from "../lib/ids.ts";
import type { Need } from "../lib/resources.ts";
import type { Term } from "../lib/selector.ts";
import type { Submitter } from "./share.ts";
import type { WaitingTask } from "../state/planning.ts";
import type { Pace } from "./unit-size.ts";

/**
 * Jobs that have something to start, in buckets of those of one submitter that want the same of a node: one look at a bucket tells whether any of
 * its jobs can be placed. Buckets are visited by priority, then by the age of their first job; within a bucket, jobs
 * that come back (a retry, room under `parallel`) go first.
 */

/** A job in the planner's hands. */
export interface PlannedJob {
  readonly id: JobId;
  readonly submitter: Submitter;
  readonly priority: number;
  readonly slots: number;
  readonly resources: readonly Need[];
  readonly io: boolean;
  readonly on: string;
  readonly terms: readonly Term[];
  readonly parallel: number;
  readonly tasks: number;
  /** Index of the state that it was read from: changes up to it are contained. */
  readonly asOf: number;
  next: number;
  waiting: WaitingTask[];
  /** Its tasks belong to one node each. */
  readonly pinned: boolean;
  /** Nothing of it starts: what runs of it is only counted. */
  readonly stopped: boolean;
  /** Attempts that run or are proposed, by task. */
  held: Map<number, Held>;
  /** How many of them are proposed and not seen applied. */
  proposed: number;
  /** Tasks that wait for their instant in Delayed. */
  delayed: number;
  /** In its bucket. */
  queued: boolean;
  /** Its tasks may be given out in ranges; undefined: one by one. */
  readonly array: ArrayPlan | undefined;
  /** Its tasks may wait at a node, if they are short (ahead.ts). */
  readonly mayWait: boolean;
  /** Of tasks like its own. */
  readonly pace: Pace;
}

/** What is known of a job whose tasks are given out in ranges. */
export interface ArrayPlan {
  /** As its spec asks for; undefined: as long as their time allows. */
  readonly unit: number | undefined;
  /** At most so many, before it is known that they are short. */
  readonly unitUnknown: number;
  /** None of its tasks is to wait on a node. */
  readonly mayStop: boolean;
  /** None waits on a node either, whatever unit it asks for: what a lost node held is lost, though it never began. */
  readonly isOnce: boolean;
  /** What a node is given together is one process there (see OpenJob). */
  readonly isGroup: boolean;
  readonly pace: Pace;
  /** Those of which something runs or is proposed. */
  units: HeldUnit[];
  /** Their tasks that have not ended. */
  tasks: number;
  /** No node may be given more of it before it has ended some. */
  isFull: boolean;
}

/** What a unit takes of its node: as many lanes as it is wide, or has tasks left. */
export interface HeldUnit {
  readonly first: number;
  readonly width: number;
  readonly node: NodeId;
  left: number;
  proposed: boolean;
}

/** Attempts of it that run or are proposed. */
export function heldOf({ held, array }: PlannedJob): number {
  return held.size + (array?.tasks ?? 0);
}

/** What an attempt takes of its node. */
export interface Held {
  readonly attempt: number;
  readonly node: NodeId;
  /** Proposed, not seen applied. */
  proposed: boolean;
  /** When this leader placed it, on the clock of plan(), and whether beyond its node's room. */
  readonly placed?: { readonly at: number; readonly isAhead: boolean };
}

/** Jobs in the order of their ids, taken from the front. */
class Run {
  #jobs: PlannedJob[] = [];
  #head = 0;

  first(): PlannedJob | undefined {
    return this.#jobs[this.#head];
  }

  /** True for one that comes after all that are there: costs no search. */
  isNext(job: PlannedJob): boolean {
    return this.#head === this.#jobs.length || this.#jobs[this.#jobs.length - 1]!.id <= job.id;
  }

  add(job: PlannedJob): void {
    if (this.isNext(job)) {
      this.#jobs.push(job);
      return;
    }
    this.#jobs.splice(this.#head + this.before(job.id), 0, job);
  }

  get length(): number {
    return this.#jobs.length - this.#head;
  }

  /** How many are older than one of this id. */
  before(id: number): number {
    let [low, high] = [this.#head, this.#jobs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#jobs[middle]!.id < id) low = middle + 1;
      else high = middle;
    }
    return low - this.#head;
  }

  takeFirst(): void {
    this.#head += 1;
    if (this.#head <= 1024 || this.#head * 2 <= this.#jobs.length) return;
    this.#jobs = this.#jobs.slice(this.#head);
    this.#head = 0;
  }
}

/** What all buckets share that want the same of a node. */
interface SameWant {
  buckets: number;
  /** Something may still be free for it in the plan that is being made. */
  isServed: boolean;
}

/** Jobs that want the same of a node, in the order in which they are served. */
export class Bucket {
  readonly priority: number;
  readonly submitter: Submitter;
  /** What its jobs want of a node: another submitter's may want the same. */
  readonly want: string;
  readonly same: SameWant;
  readonly terms: readonly Term[];
  readonly io: boolean;
  /** What a task needs free to start: its slots, or one io task. */
  readonly need: number;
  readonly resources: readonly Need[];
  /** The names of those: who waits for the same waits in one line. */
  readonly kind: string;
  readonly pinned: boolean;
  /** The nodes whose labels it matches, as of a version of all labels: whoever looks remembers it here. */
  matched: { readonly version: number; readonly nodes: ReadonlySet<NodeId> } | undefined;
  /** Fresh jobs, and those that younger ones came before: a gate of theirs has opened, or they were read again. */
  readonly #fresh = new Run();
  readonly #late = new Run();
  readonly #returned: PlannedJob[] = [];

  constructor(job: PlannedJob, want: string, same: SameWant) {
    this.same = same;
    this.priority = job.priority;
    this.submitter = job.submitter;
    this.want = want;
    this.terms = job.terms;
    this.io = job.io;
    this.need = job.io ? 1 : job.slots;
    this.resources = job.resources;
    this.kind = job.resources.map(([name]) => name).join(" ");
    this.pinned = job.pinned;
  }

  /** The job to place next; jobs with nothing left are dropped on the way. */
  first(): PlannedJob | undefined {
    while (true) {
      const job = this.#returned[this.#returned.length - 1] ?? this.#oldest().first();
      if (job === undefined || job.next < job.tasks || job.waiting.length > 0) return job;
      this.takeFirst(job);
    }
  }

  takeFirst(job: PlannedJob): void {
    job.queued = false;
    if (this.#returned[this.#returned.length - 1] === job) this.#returned.pop();
    else this.#oldest().takeFirst();
  }

  #oldest(): Run {
    const [fresh, late] = [this.#fresh.first(), this.#late.first()];
    if (late === undefined) return this.#fresh;
    return fresh === undefined || late.id < fresh.id ? this.#late : this.#fresh;
  }

  /** How many of its jobs that never came back are older than one of this id. */
  before(id: number): number {
    return this.#fresh.before(id) + this.#late.before(id);
  }

  /** How many have something to start, about: those that have ended since are dropped when their turn comes. */
  get size(): number {
    return this.#fresh.length + this.#late.length + this.#returned.length;
  }

  /** Jobs of it that came back. */
  get returned(): readonly PlannedJob[] {
    return this.#returned;
  }

  append(job: PlannedJob): void {
    (this.#fresh.isNext(job) ? this.#fresh : this.#late).add(job);
  }

  giveBack(job: PlannedJob): void {
    this.#returned.push(job);
  }
}

/** A bucket's place in the order. */
interface Place {
  readonly key: string;
  readonly bucket: Bucket;
  /** Of the job that was first when it was looked at last. */
  readonly firstId: number;
}

function comparePlaces(a: Place, b: Place): number {
  return b.bucket.priority - a.bucket.priority || a.firstId - b.firstId;
}

/** All buckets, made when a job needs one and dropped when empty. */
export class Queues {
  readonly #buckets = new Map<string, Bucket>();
  /** In the order in which they were served last, each with the job that was first; those that came since stand at the end. */
  #places: Place[] = [];
  readonly #wants = new Map<string, SameWant>();

  /** How many different things are wanted of nodes. */
  get wants(): number {
    return this.#wants.size;
  }

  append(job: PlannedJob): void {
    if (job.queued) return;
    job.queued = true;
    this.#bucketOf(job).append(job);
  }

  /** To the front of its bucket. */
  giveBack(job: PlannedJob): void {
    if (job.queued) return;
    job.queued = true;
    this.#bucketOf(job).giveBack(job);
  }

  /** How many queued jobs come before this one: of a higher priority, older ones of its own, and those of its bucket that came back. */
  ahead(job: PlannedJob): number {
    const own = this.#bucketOf(job);
    let count = 0;
    for (const bucket of this.#buckets.values()) {
      if (bucket.priority > job.priority) count += bucket.size;
      else if (bucket.priority === job.priority) count += bucket.before(job.id);
    }
    // A stack: the last one that came back is served first.
    const place = own.returned.indexOf(job);
    return place === -1 ? count + own.returned.length : own.returned.length - 1 - place;
  }

  isEmpty(): boolean {
    for (const bucket of this.#buckets.values()) if (bucket.first() !== undefined) return false;
    return true;
  }

  /** Buckets with jobs, in no order. */
  waiting(): Bucket[] {
    return [...this.#buckets.values()].filter((bucket) => bucket.first() !== undefined);
  }

  /** Buckets with jobs, in the order in which they are served. Few are elsewhere in it than the last time: those alone are sorted. */
  inOrder(): Bucket[] {
    const kept: Place[] = [];
    const moved: Place[] = [];
    for (const place of this.#places) {
      const first = place.bucket.first();
      place.bucket.same.isServed = true;
      if (first === undefined) this.#drop(place);
      else if (first.id === place.firstId) kept.push(place);
      else moved.push({ ...place, firstId: first.id });
    }
    moved.sort(comparePlaces);
    const merged: Place[] = [];
    let at = 0;
    for (const place of kept) {
      while (at < moved.length && comparePlaces(moved[at]!, place) < 0) merged.push(moved[at++]!);
      merged.push(place);
    }
    while (at < moved.length) merged.push(moved[at++]!);
    this.#places = merged;
    return merged.map(({ bucket }) => bucket);
  }

  #drop({ key, bucket: { want, same } }: Place): void {
    this.#buckets.delete(key);
    same.buckets -= 1;
    if (same.buckets === 0) this.#wants.delete(want);
  }

  #bucketOf(job: PlannedJob): Bucket {
    const kind = job.pinned ? `pinned ${job.id}` : `${job.io ? "io" : job.slots}`;
    const more = job.resources.length === 0 ? "" : job.resources.join(" ");
    const want = `${kind}${more}|${job.on}`;
    const key = `${job.priority}|${want}|${job.submitter.name}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      let same = this.#wants.get(want);
      if (same === undefined) this.#wants.set(want, (same = { buckets: 0, isServed: true }));
      same.buckets += 1;
      bucket = new Bucket(job, want, same);
      this.#buckets.set(key, bucket);
      this.#places.push({ key, bucket, firstId: Infinity });
    }
    return bucket;
  }
}
