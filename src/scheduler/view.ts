import { assert } from "../lib/assert.ts";
import type { JobId, NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Placement } from "../lib/placement.ts";
import { unitsOf } from "../lib/resources.ts";
import { matchesSelector } from "../lib/selector.ts";
import {
  aheadLevel,
  anySubmitter,
  type OpenJob,
  openJob,
  openJobs,
  placementOf,
  runningTasksOf,
  runningTasksOn,
  runningUnitsOf,
  runningUnitsOn,
  submitters,
  type Unbegun,
  unitLevel,
  type WaitingTask,
} from "../state/planning.ts";
import { appliedIndex, clusterRow, listNodes } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Change, NodeRow } from "../state/types.ts";
import type { Room } from "./choose.ts";
import type { Queued } from "./explain.ts";
import type { Standing } from "./lack.ts";
import type { Submitter } from "./share.ts";
import { aheadOf, Flow, Paces } from "./ahead.ts";
import { Delayed } from "./delayed.ts";
import { type Assignable, type Placed, place, type Plan, type RangeUnit } from "./place.ts";
import { type ArrayPlan, type Bucket, type Held, heldOf, type HeldUnit, type PlannedJob, Queues } from "./queues.ts";
import { betterElsewhere } from "./recall.ts";
import { relief, type Wanted } from "./relief.ts";
import { Pace } from "./unit-size.ts";

/**
 * The leader's picture of what waits and what is free, which place.ts plans from (step 9). Read once when leadership begins, then fed with
 * the changes of applied entries. What was proposed and not yet seen applied counts as running, so nothing is planned twice.
 *
 * The state that is read may be newer than the change that caused the reading. So each job remembers the index of the state it
 * was read from (`asOf`), and changes up to that index are passed over: they are contained. So what one entry changed may also be taken in by and by,
 * with rests in which the node lives on; nothing is planned in those.
 */

/** What one applied entry changed. */
export interface Applied {
  readonly index: number;
  /** The entry's clock, epoch ms: instants in its changes count from it. */
  readonly at?: number;
  readonly changes: readonly Change[];
}

/** What apply refused of a plan. */
export interface Refused {
  readonly job: JobId;
  readonly tasks: readonly (readonly [task: number, attempt: number])[];
}

interface Load {
  row: NodeRow;
  /** Of the newest attempt that it was given under this leader. */
  newestFence: number;
  slotsUsed: number;
  ioUsed: number;
  /** Of what it ran under this leader, one by one. */
  readonly flow: Flow;
  /** Of its resources, as the planner counts. */
  used: Map<string, number>;
}

interface Told {
  readonly applied: Applied;
  readonly now: number;
}

const pageJobs = 10_000;

const noRooms: Room[] = [];

/** What jobs hold of which nothing runs: one map for all of them, since most jobs only wait. */
const nothingHeld: Map<number, Held> = new Map();

/** One leader's view for one term of its leadership; a new term begins with a new one. */
export class PlacementView {
  readonly #loads = new Map<NodeId, Load>();
  /** Of all rows of nodes together: they were read so often. */
  #rowsVersion = 0;
  readonly #jobs = new Map<JobId, PlannedJob>();
  readonly #submitters = new Map<string, Submitter>();
  /** By name, where somebody set them. */
  #weights: ReadonlyMap<string, number> = new Map();
  #placement: Placement = "spread";
  readonly #queues = new Queues();
  /** Units that have more tasks than run at once, and their jobs. */
  readonly #overfull = new Map<HeldUnit, PlannedJob>();
  /** Units and jobs that waited when relief() was asked last. */
  #waitedBefore: ReadonlySet<HeldUnit | JobId> = new Set();
  readonly #delayed = new Delayed();
  /** Jobs to be read again, once none of their proposals is under way. */
  readonly #stale = new Set<JobId>();
  /** What is still to be taken in, and the rest of what is being. */
  readonly #told: Told[] = [];
  #steps: Iterator<void, void, undefined> | undefined;
  #tx: ReadTx | undefined;
  /** Jobs that ask for resources: without any nobody counts what is free of them. */
  #asking = 0;
  readonly #paces = new Paces();
  /** Every node bounds by itself what it runs at once. */
  #mayWait = false;
  /** The log takes ranges. */
  #knowsRanges = false;

  /** Reads everything that is unfinished. For a fresh view. */
  reset(tx: ReadTx): void {
    this.#readNodes(tx);
    this.#readSettings(tx);
    const asOf = appliedIndex(tx);
    let first = 1;
    while (true) {
      const page = openJobs(tx, first, Number.MAX_SAFE_INTEGER, pageJobs);
      for (const job of page) this.#add(job, asOf);
      if (page.length < pageJobs) break;
      first = page[page.length - 1]!.id + 1;
    }
    for (const node of this.#loads.keys()) {
      for (const { job, task, attempt } of runningTasksOn(tx, node)) {
        this.#hold(this.#jobs.get(job), task, { attempt, node, proposed: false });
      }
      for (const { job, first, width, running: left } of runningUnitsOn(tx, node))
        this.#holdUnit(this.#jobs.get(job), { first, width, node, left, proposed: false });
    }
  }

  /**
   * What an applied entry changed; entries come in order. `now` is on the clock of plan(): a delay that the entry began is
   * counted from this moment, whatever the clocks say that stamped it (J4). takeIn() takes it in.
   */
  tell(applied: Applied, now = applied.at ?? 0): void {
    this.#told.push({ applied, now });
  }

  /**
   * Takes in what was told for as long as `mayGoOn` says so, of which it is asked after every step; true: nothing is left. The steps of one entry may see
   * states of different indexes, as each job remembers its own.
   */
  takeIn(tx: ReadTx, mayGoOn: () => boolean = () => true): boolean {
    this.#tx = tx;
    try {
      for (;;) {
        if (this.#steps === undefined) {
          const told = this.#told.shift();
          if (told === undefined) return true;
          this.#steps = this.#take(told);
        }
        if (this.#steps.next().done === true) this.#steps = undefined;
        if (!mayGoOn()) return this.isWhole && this.#told.length === 0;
      }
    } finally {
      this.#tx = undefined;
    }
  }

  /** It has all of what an entry changed, or nothing yet: it may be planned from. */
  get isWhole(): boolean {
    return this.#steps === undefined;
  }

  /** Both without a rest. */
  observe(applied: Applied, tx: ReadTx, now?: number): void {
    this.tell(applied, now);
    this.takeIn(tx);
  }

  *#take({ applied: { index, at, changes }, now }: Told): Generator<void, void, undefined> {
    const ahead = now - (at ?? now);
    for (const [position, change] of changes.entries()) {
      if (position > 0 && position % limits.viewStepChanges === 0) yield;
      switch (change.topic) {
        case "job":
          if (change.kind === "added") yield* this.#addAll(change);
          else this.#onJob(change, index);
          break;
        case "task":
          this.#onTask(change, index, ahead, now);
          break;
        case "node":
          this.#readNodes(this.#reading);
          break;
        case "cluster":
          this.#readSettings(this.#reading);
          break;
        default:
          break; // tokens and secrets change no plan
      }
    }
    yield* this.#reloading();
  }

  /** The state as it is in this step. */
  get #reading(): ReadTx {
    assert(this.#tx !== undefined, "the state is read while something is taken in");
    return this.#tx;
  }

  /** The outcome of a proposed plan is known: what was refused, or never logged, is read from the state again. */
  settled(refused: readonly Refused[], tx: ReadTx): void {
    for (const unit of refused) {
      const job = this.#jobs.get(unit.job);
      if (job === undefined) continue;
      for (const [task, attempt] of unit.tasks) {
        const held = job.held.get(task);
        if (held?.attempt === attempt && held.proposed) this.#release(job, task);
      }
      this.#stale.add(unit.job);
    }
    this.#reload(tx);
  }

  /** The same of ranges. What comes after one that was refused would be refused too: nothing more is planned of its job before it is read again. */
  rangesSettled(refused: readonly Pick<RangeUnit, "job" | "first" | "node">[], tx: ReadTx): void {
    for (const { job: id, first, node } of refused) {
      const job = this.#jobs.get(id);
      if (job?.array === undefined) continue;
      const unit = unitAt(job.array, first);
      if (unit?.node === node && unit.proposed) this.#releaseUnit(job, job.array, unit, unit.left);
      job.next = job.tasks;
      this.#stale.add(id);
    }
    this.#reload(tx);
  }

  /** Ids of nodes that take work. */
  *nodes(): Generator<NodeId> {
    for (const load of this.#loads.values())
      if (load.row.state === "up" && load.row.quarantine === undefined) yield load.row.id;
  }

  hasWork(): boolean {
    return !this.#queues.isEmpty();
  }

  /** Milliseconds until a delayed task is due, undefined when none waits. `now` is wall time. */
  nextWakeMs(now: number): number | undefined {
    const due = this.#delayed.next();
    return due === undefined ? undefined : Math.max(0, due - now);
  }

  /** Places at most `limit` tasks and ranges on nodes of `eligible`; marks them as proposed. `now` is wall time, epoch ms. */
  plan(eligible: ReadonlySet<NodeId>, now: number, limit: number): Plan {
    assert(this.isWhole, "plans are made from a view that is whole for its index");
    for (const { job, task } of this.#delayed.due(now)) this.#wake(job, task);
    const rooms = this.#rooms(eligible);
    if (this.#mayWait) this.#openAhead(rooms, now);
    const assignable: Assignable = {
      matching: (bucket) => {
        if (bucket.terms.length === 0) return rooms;
        const nodes = this.#matchedBy(bucket);
        return nodes.size === 0 ? noRooms : rooms.filter((room) => nodes.has(room.node));
      },
      knowsRanges: this.#knowsRanges,
      placed: (placed) => this.#propose(placed, now),
      placement: this.#placement,
      placedRange: (job, range) => this.#proposeRange(job, range),
    };
    return place(this.#queues, assignable, limit);
  }

  /** The nodes whose labels a bucket matches; looked for again only when some node's row has changed. */
  #matchedBy(bucket: Bucket): ReadonlySet<NodeId> {
    if (bucket.matched?.version !== this.#rowsVersion) {
      const nodes = new Set<NodeId>();
      for (const [node, { row }] of this.#loads) if (matchesSelector(bucket.terms, row.labels)) nodes.add(node);
      bucket.matched = { version: this.#rowsVersion, nodes };
    }
    return bucket.matched.nodes;
  }

  #wake(id: JobId, task: WaitingTask): void {
    const job = this.#jobs.get(id);
    // A job that was read again meanwhile has delayed this task anew, and its attempt tells.
    if (job === undefined || job.delayed === 0 || job.held.has(task.task)) return;
    job.delayed -= 1;
    job.waiting.push(task);
    this.#queues.giveBack(job);
  }

  /** What is known of a job beside its rows; undefined: it is not in the view. */
  queued(id: JobId): Queued | undefined {
    const job = this.#jobs.get(id);
    if (job === undefined) return undefined;
    const ahead = job.queued ? this.#queues.ahead(job) : undefined;
    return { held: heldOf(job), ahead, given: givenOf(job.array?.units ?? []) };
  }

  /** The log takes ranges. */
  get knowsRanges(): boolean {
    return this.#knowsRanges;
  }

  /** How nodes are chosen. */
  get placement(): Placement {
    return this.#placement;
  }

  /** Every node, what is free of it, and why it takes no work: a copy. */
  standings(hindrance: (node: NodeId) => string | undefined): Standing[] {
    return Array.from(this.#loads.values(), (load) => ({
      row: load.row,
      room: roomOf(load, true),
      away: stateHindrance(load.row) ?? hindrance(load.row.id),
    }));
  }

  /** Of each node the fence of the newest attempt that it was given under this leader; 0: none. */
  newestFences(): Map<NodeId, number> {
    return new Map(Array.from(this.#loads, ([node, { newestFence }]) => [node, newestFence]));
  }

  /** Those attempts of the node that are better off on one of the nodes that take work. */
  betterElsewhere(node: NodeId, unbegun: readonly Unbegun[], eligible: ReadonlySet<NodeId>): Unbegun[] {
    const others = this.#rooms(eligible).filter((room) => room.node !== node);
    return betterElsewhere(unbegun, (id) => this.#jobs.get(id), others, !eligible.has(node));
  }

  /** What of units has waited at nodes since this was asked last and is wanted back, by node (relief.ts). */
  relief(eligible: ReadonlySet<NodeId>): Map<NodeId, Wanted[]> {
    const before = this.#waitedBefore;
    const units = [...this.#overfull].filter(([unit]) => !unit.proposed);
    const buckets = units.length === 0 ? [] : this.#queues.waiting();
    this.#waitedBefore = new Set([...units.map(([unit]) => unit), ...buckets.map((bucket) => bucket.first()!.id)]);
    const waiting = units.filter(([unit]) => before.has(unit)).map(([unit, job]) => ({ job, unit }));
    if (waiting.length === 0) return new Map();
    const longer = buckets.filter((bucket) => before.has(bucket.first()!.id));
    return relief(waiting, longer, this.#rooms(eligible));
  }

  /** Nodes that may be given work, and what is free of them. */
  #rooms(eligible: ReadonlySet<NodeId>): Room[] {
    const rooms: Room[] = [];
    for (const load of this.#loads.values()) {
      const { row } = load;
      if (row.state === "up" && row.quarantine === undefined && eligible.has(row.id))
        rooms.push(roomOf(load, this.#asking > 0));
    }
    return rooms;
  }

  /** How much may wait at each of them beyond what it runs. */
  #openAhead(rooms: readonly Room[], now: number): void {
    const loads = rooms.map((room) => this.#loads.get(room.node)!);
    for (const { flow } of loads) flow.look(now);
    for (const kind of ["io", "slots"] as const) {
      const mean = loads.reduce((sum, { flow }) => sum + flow[kind], 0) / loads.length;
      for (const [at, { flow }] of loads.entries()) {
        const { ahead, aheadMost, freeIo, freeSlots } = rooms[at]!;
        const most = aheadOf(flow[kind], mean, flow.horizonMs);
        aheadMost[kind] = most;
        ahead[kind] = most + Math.min(0, kind === "io" ? freeIo : freeSlots);
      }
    }
  }

  #propose({ job, task, node, isAhead }: Placed, now: number): void {
    job.proposed += 1;
    this.#hold(job, task.task, { attempt: task.attempt + 1, node, proposed: true, placed: { at: now, isAhead } });
  }

  #proposeRange(job: PlannedJob, { first, count, width, node }: RangeUnit): void {
    job.proposed += 1;
    this.#holdUnit(job, { first, width, node, left: count, proposed: true });
  }

  #holdUnit(job: PlannedJob | undefined, unit: HeldUnit): void {
    if (job?.array === undefined) return;
    job.array.units.push(unit);
    job.array.tasks += unit.left;
    if (unit.left > unit.width) this.#overfull.set(unit, job);
    this.#use(job, unit.node, lanesOf(unit));
  }

  /** So many tasks of the unit take nothing any more; what waited on its node takes their place. */
  #releaseUnit(job: PlannedJob, array: ArrayPlan, unit: HeldUnit, tasks: number): void {
    const before = lanesOf(unit);
    unit.left -= tasks;
    if (unit.left <= unit.width) this.#overfull.delete(unit);
    array.tasks -= tasks;
    array.isFull = false;
    this.#use(job, unit.node, lanesOf(unit) - before);
    if (unit.left <= 0) {
      array.units.splice(array.units.indexOf(unit), 1);
      if (unit.proposed) job.proposed -= 1;
    }
    if (job.next < job.tasks || job.waiting.length > 0) this.#queues.giveBack(job);
  }

  #hold(job: PlannedJob | undefined, task: number, held: Held): void {
    if (job === undefined) return;
    if (job.held === nothingHeld) job.held = new Map();
    job.held.set(task, held);
    this.#use(job, held.node, 1);
  }

  /** The attempt takes nothing any more; a job that waited for room under its `parallel` may go on. */
  #release(job: PlannedJob, task: number): void {
    const held = job.held.get(task);
    if (held === undefined) return;
    job.held.delete(task);
    if (held.proposed) job.proposed -= 1;
    this.#use(job, held.node, -1);
    if (job.next < job.tasks || job.waiting.length > 0) this.#queues.giveBack(job);
  }

  #use(job: PlannedJob, node: NodeId, times: number): void {
    if (times === 0) return;
    const load = this.#loads.get(node);
    job.submitter.used += times * Math.max(1, job.slots);
    if (load === undefined) return;
    if (job.io) load.ioUsed += times;
    else load.slotsUsed += times * job.slots;
    for (const [name, units] of job.resources) load.used.set(name, (load.used.get(name) ?? 0) + times * units);
  }

  *#addAll({ first, count }: Extract<JobChange, { kind: "added" }>): Generator<void, void, undefined> {
    const end = first + count;
    const { viewStepJobs } = limits;
    for (let from: number = first; from < end; from += viewStepJobs) {
      if (from > first) yield;
      const tx = this.#reading;
      const asOf = appliedIndex(tx);
      for (const job of openJobs(tx, from, Math.min(end, from + viewStepJobs) - 1, viewStepJobs)) {
        if (this.#jobs.has(job.id)) continue; // read by reset already
        this.#add(job, asOf);
        if (job.running > 0) this.#holdRunning(job.id, tx);
      }
    }
  }

  #onJob(change: Exclude<JobChange, { kind: "added" }>, index: number): void {
    const job = this.#jobs.get(change.job);
    if (change.kind === "batch") {
      // More of its tasks may begin.
      if (job === undefined || index > job.asOf) this.#stale.add(change.job);
      return;
    }
    const isOpen = change.kind === "state" && (change.state === "queued" || change.state === "running");
    if (job === undefined) {
      // Nothing else is told of a job that is not in the view: a gate of it has opened, and it is to be placed.
      if (isOpen && !change.cancelling) this.#stale.add(change.job);
      return;
    }
    if (index <= job.asOf) return;
    if (isOpen && !change.cancelling) {
      // It began to run, which the task's own change says better; or nothing more of it is started (max_failures, a removed node, a gate).
      if (job.proposed > 0 && job.proposed === job.held.size + (job.array?.units.length ?? 0)) return;
      this.#stale.add(job.id);
    } else if (change.kind === "state" && change.cancelling) this.#empty(job);
    else this.#remove(job);
  }

  #onTask(change: Extract<Change, { topic: "task" }>, index: number, ahead: number, now: number): void {
    if (change.kind === "assigned" || change.kind === "unit-assigned") this.#noteFence(change.node, index);
    const job = this.#jobs.get(change.job);
    if (job === undefined || index <= job.asOf) return;
    if (isAboutUnit(change)) return this.#onUnit(job, change);
    const { task, attempt, node } = change;
    if (change.kind === "assigned") {
      const held = job.held.get(task);
      if (held?.attempt === attempt && held.node === node) {
        if (held.proposed) job.proposed -= 1;
        held.proposed = false;
      } else this.#stale.add(job.id); // a plan that was given up has reached the log after all
    } else if (change.kind === "ended") {
      const unit = change.unit === undefined || job.array === undefined ? undefined : unitAt(job.array, change.unit);
      if (unit !== undefined) {
        if (change.ms !== undefined) job.array!.pace.saw(1, change.ms);
        this.#releaseUnit(job, job.array!, unit, 1);
      } else {
        const held = job.held.get(task);
        if (change.ms !== undefined && change.state !== "cancelled") {
          this.#ran(job, node, change.ms);
          if (held?.attempt === attempt && held.placed !== undefined)
            this.#loads.get(node)?.flow.came(now - held.placed.at - change.ms, held.placed.isAhead);
        }
        if (held?.attempt === attempt) this.#release(job, task);
      }
      // Whatever lets it go on has it read again.
      if (job.stopped) {
        if (heldOf(job) === 0) this.#remove(job);
      } else if (change.state === "queued") {
        this.#delay(job, {
          task,
          attempt,
          notBefore: change.notBefore > 0 ? change.notBefore + ahead : 0,
          pin: job.pinned ? node : undefined,
          avoid: node,
        });
      }
    }
  }

  #ran(job: PlannedJob, node: NodeId, ms: number): void {
    job.pace.saw(1, ms);
    this.#loads.get(node)?.flow.ended(job.slots);
  }

  #noteFence(node: NodeId, fence: number): void {
    const load = this.#loads.get(node);
    if (load !== undefined) load.newestFence = fence;
  }

  #onUnit(job: PlannedJob, change: UnitChange): void {
    const { array } = job;
    const unit = array === undefined ? undefined : unitAt(array, change.first);
    if (change.kind === "unit-assigned") {
      if (unit?.proposed === true && unit.node === change.node) {
        job.proposed -= 1;
        unit.proposed = false;
      } else this.#stale.add(job.id); // a plan that was given up has reached the log after all
    } else if (change.kind === "unit-ended" && array !== undefined && unit !== undefined) {
      const ended = change.tasks.reduce((sum, [, count]) => sum + count, 0);
      array.pace.saw(ended, change.ms);
      this.#releaseUnit(job, array, unit, ended);
      if (job.stopped && heldOf(job) === 0) this.#remove(job);
    }
  }

  #delay(job: PlannedJob, task: WaitingTask): void {
    if (task.notBefore > 0) {
      job.delayed += 1;
      this.#delayed.add(task.notBefore, job.id, task);
    } else {
      job.waiting.push(task);
      this.#queues.giveBack(job);
    }
  }

  #add(open: OpenJob, asOf: number): void {
    const {
      id,
      priority,
      slots,
      resources,
      io,
      on,
      terms,
      parallel,
      tasks,
      next,
      stopped,
      waiting,
      unit,
      unitUnknown,
      mayStop,
      isOnce,
      isGroup,
      mayWait,
    } = open;
    const job: PlannedJob = {
      id,
      submitter: this.#submitter(open.by),
      priority,
      slots,
      resources,
      io,
      on,
      terms,
      parallel,
      tasks,
      asOf,
      next,
      waiting: [],
      pinned: open.eachNode,
      stopped,
      held: nothingHeld,
      proposed: 0,
      delayed: 0,
      queued: false,
      array: open.isArray
        ? { unit, unitUnknown, mayStop, isOnce, isGroup, pace: new Pace(), units: [], tasks: 0, isFull: false }
        : undefined,
      mayWait,
      pace: this.#paces.of(open.by, open.driver),
    };
    this.#jobs.set(id, job);
    job.submitter.jobs += 1;
    if (resources.length > 0) this.#asking += 1;
    for (const task of waiting) {
      if (task.notBefore > 0) this.#delay(job, task);
      else job.waiting.push(task);
    }
    if (job.next < job.tasks || job.waiting.length > 0) this.#queues.append(job);
  }

  #submitter(name: string): Submitter {
    let submitter = this.#submitters.get(name);
    if (submitter === undefined) {
      submitter = { name, weight: this.#weightOf(name), used: 0, jobs: 0 };
      this.#submitters.set(name, submitter);
    }
    return submitter;
  }

  #weightOf(name: string): number {
    return this.#weights.get(name) ?? this.#weights.get(anySubmitter) ?? 1;
  }

  #readSettings(tx: ReadTx): void {
    this.#placement = placementOf(tx);
    const level = clusterRow(tx)?.level ?? 0;
    this.#knowsRanges = level >= unitLevel;
    this.#mayWait = level >= aheadLevel;
    this.#weights = new Map(submitters(tx).map(({ name, weight }) => [name, weight]));
    for (const submitter of this.#submitters.values()) submitter.weight = this.#weightOf(submitter.name);
  }

  #remove(job: PlannedJob): void {
    this.#empty(job);
    for (const task of job.held.keys()) this.#release(job, task);
    for (const unit of job.array?.units.slice() ?? []) this.#releaseUnit(job, job.array!, unit, unit.left);
    if (!this.#jobs.delete(job.id)) return;
    job.submitter.jobs -= 1;
    if (job.resources.length > 0) this.#asking -= 1;
  }

  /** Nothing more of it is started. */
  #empty(job: PlannedJob): void {
    job.next = job.tasks;
    job.waiting = [];
    if (job.delayed > 0) this.#delayed.forget(job.id);
    job.delayed = 0;
  }

  /** Reads stale jobs again, those of which nothing is under way. */
  #reload(tx: ReadTx): void {
    if (this.#stale.size === 0) return;
    const asOf = appliedIndex(tx);
    for (const id of this.#stale) this.#readAgain(id, asOf, tx);
  }

  *#reloading(): Generator<void, void, undefined> {
    if (this.#stale.size === 0) return;
    let asOf = appliedIndex(this.#reading);
    let read = 0;
    // What becomes stale meanwhile is read too.
    for (const id of this.#stale) {
      if (++read % limits.viewStepJobs === 0) {
        yield;
        asOf = appliedIndex(this.#reading);
      }
      this.#readAgain(id, asOf, this.#reading);
    }
  }

  #readAgain(id: JobId, asOf: number, tx: ReadTx): void {
    const job = this.#jobs.get(id);
    if (job !== undefined && job.proposed > 0) return;
    this.#stale.delete(id);
    if (job !== undefined) this.#remove(job);
    const open = openJob(tx, id);
    if (open === undefined) return;
    this.#add(open, asOf);
    this.#holdRunning(id, tx);
  }

  #holdRunning(id: JobId, tx: ReadTx): void {
    for (const { task, attempt, node } of runningTasksOf(tx, id)) {
      this.#hold(this.#jobs.get(id), task, { attempt, node, proposed: false });
    }
    for (const { first, width, node, running: left } of runningUnitsOf(tx, id))
      this.#holdUnit(this.#jobs.get(id), { first, width, node, left, proposed: false });
  }

  /** Nodes change seldom: all of them are read again. What they hold stays counted. */
  #readNodes(tx: ReadTx): void {
    this.#rowsVersion += 1;
    const present = new Set<NodeId>();
    for (const row of listNodes(tx)) {
      present.add(row.id);
      const load = this.#loads.get(row.id);
      if (load === undefined)
        this.#loads.set(row.id, { row, newestFence: 0, slotsUsed: 0, ioUsed: 0, flow: new Flow(), used: new Map() });
      else load.row = row;
    }
    for (const id of this.#loads.keys()) if (!present.has(id)) this.#loads.delete(id);
  }
}

type JobChange = Extract<Change, { topic: "job" }>;
/** What each node was given of these units, where that is more than it runs at once. */
function givenOf(units: readonly HeldUnit[]): Queued["given"] {
  const byNode = Map.groupBy(units, ({ node }) => node);
  return [...byNode].flatMap(([node, own]) => {
    const tasks = own.reduce((sum, { left }) => sum + left, 0);
    const lanes = own.reduce((sum, unit) => sum + lanesOf(unit), 0);
    return tasks > lanes ? [{ node, tasks, lanes }] : [];
  });
}

type UnitChange = Extract<Change, { kind: "unit-assigned" | "unit-ended" | "unit-stop" }>;

function isAboutUnit(change: Extract<Change, { topic: "task" }>): change is UnitChange {
  return change.kind === "unit-assigned" || change.kind === "unit-ended" || change.kind === "unit-stop";
}

function unitAt({ units }: ArrayPlan, first: number): HeldUnit | undefined {
  return units.find((unit) => unit.first === first);
}

/** What it takes of its node. */
function lanesOf({ width, left }: HeldUnit): number {
  return Math.min(width, left);
}

function roomOf({ row, newestFence, slotsUsed, ioUsed, used }: Load, isAsked: boolean): Room {
  const { id: node, labels, slots, ioTasks, resources } = row;
  const free =
    isAsked && resources !== undefined
      ? new Map(Object.entries(resources).map(([name, has]) => [name, unitsOf(name, has) - (used.get(name) ?? 0)]))
      : undefined;
  return {
    node,
    labels,
    slots,
    resources,
    freeSlots: slots - slotsUsed,
    freeIo: ioTasks - ioUsed,
    isUsed: slotsUsed > 0 || ioUsed > 0,
    newestFence,
    ahead: { io: 0, slots: 0 },
    aheadMost: { io: 0, slots: 0 },
    free,
    heldFor: undefined,
    heldKind: "",
  };
}

/** Why a node takes no work, by what the log says of it. */
function stateHindrance({ name, state, quarantine, api }: NodeRow): string | undefined {
  if (quarantine !== undefined) return `node ${name} is in quarantine: its state is being replaced by the others'`;
  if (state === "lost") return `node ${name} is lost: it has not renewed its lease`;
  if (state === "draining") return `node ${name} is drained`;
  return api === "" ? `node ${name} was let in and has not come yet` : undefined;
}
