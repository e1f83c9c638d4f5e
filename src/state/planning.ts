import { jobId, type JobId, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { type Need, needsOf } from "../lib/resources.ts";
import { ansibleLabel, parseSelector, type Term } from "../lib/selector.ts";
import { isGroup } from "../lib/room.ts";
import { driverOf, readSpec, slotsOf, specDefaults } from "./spec.ts";
import { batchEndOf } from "./tables/gate.ts";
import { runningOn } from "./tables/running.ts";
import { type ReadTx, sql } from "./tx.ts";
import type { Driver, Spec } from "./types.ts";

export { boundsOf } from "./tables/bounds.ts";
export { placementOf } from "./tables/placement.ts";
export { anySubmitter, submitters } from "./tables/submitter.ts";
export { aheadLevel, unitLevel } from "./levels.ts";
export { deadlinesDue, isSomethingLeft, nextInstant, pausesDue, startsDue } from "./tables/gate.ts";

/** What the leader's planner reads of the state: jobs that still have something to start, and what runs where. */

/** The part of a job that decides where and when its tasks start. */
export interface OpenJob {
  readonly id: JobId;
  /** The name of who submitted it. */
  readonly by: string;
  readonly priority: number;
  /** What a task takes of its node. */
  readonly slots: number;
  /** What it takes beside, as the planner counts. */
  readonly resources: readonly Need[];
  /** Bounded by the node's ioTasks instead of its slots. */
  readonly io: boolean;
  /** The selector's text, and its terms. */
  readonly on: string;
  readonly terms: readonly Term[];
  readonly parallel: number;
  /** Tasks that are to be handed to a node together; undefined: as many as their time allows. */
  readonly unit: number | undefined;
  /** Its tasks may be handed out in units: there are several, and they do not differ before they run. */
  readonly isArray: boolean;
  /** At most so many of its tasks are handed out together before it is known how long they take. */
  readonly unitUnknown: number;
  /** Some of its tasks may be ended by how others went: none waits on a node. */
  readonly mayStop: boolean;
  /** Each of its tasks is run at most once: what a node that is lost held is lost, begun or not. */
  readonly isOnce: boolean;
  /** Tasks that a node is given together are one process there, and take the room of one. */
  readonly isGroup: boolean;
  /** Its tasks may wait at a node for their turn: none of them is lost by that, and nobody waits for others of the job meanwhile. */
  readonly mayWait: boolean;
  readonly driver: Driver;
  /** Those after these are not to begin yet (rolling.ts). */
  readonly tasks: number;
  /** First task that was never assigned and has no row. */
  readonly next: number;
  readonly running: number;
  /** Each task belongs to one node. */
  readonly eachNode: boolean;
  /** Nothing of it starts, now or (held by a person) for a while. */
  readonly stopped: boolean;
  /** Tasks that have a row and wait: retries, and the pinned tasks of an each_node job. */
  readonly waiting: readonly WaitingTask[];
}

export interface WaitingTask {
  readonly task: number;
  /** Of the last attempt; 0: none yet. */
  readonly attempt: number;
  /** Epoch ms. */
  readonly notBefore: number;
  /** The only node that may run it. */
  readonly pin: NodeId | undefined;
  /** Where the last attempt ran: another node is better. */
  readonly avoid: NodeId | undefined;
}

/** What runs of a unit (tables/unit.ts). */
export interface RunningUnit {
  readonly job: JobId;
  readonly first: number;
  readonly count: number;
  readonly width: number;
  readonly running: number;
  readonly node: NodeId;
}

export interface RunningTask {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
  readonly node: NodeId;
}

interface JobRow {
  readonly id: number;
  readonly tasks: number;
  readonly next_task: number;
  readonly running: number;
  readonly rest: string;
  readonly cancelling: number;
  readonly spec: string;
  readonly only_node: number | null;
  readonly submitted_by: string;
  readonly gate: number | null;
  readonly ties: number | null;
}

const columns = "id, tasks, next_task, running, rest, cancelling, spec, only_node, gate, ties, submitted_by";
// What waits behind a gate (gates.ts) is no business of the planner; what runs of such a job takes room all the same.
const openInRange = sql(
  `select ${columns} from job where finished_at is null and (gate is null or running > 0) and id between ? and ? order by id limit ?`,
);
const waitingOf = sql(
  "select task, attempt, not_before, pin, node from task where job = ? and state = 'queued' order by task",
);
// An only task has no row of its own (tables/only-task.ts).
const only = "select id as job, 0 as task, 1 as attempt, only_node as node from job where running = 1";
const runningOnNode = sql(
  `select job, task, attempt, node from task where state = 'running' and node = ? union all ${only} and only_node = ?`,
);
const runningOfJob = sql(
  `select job, task, attempt, node from task where state = 'running' and node in (select id from node) and job = ?
   union all ${only} and only_node is not null and id = ?`,
);

/** Unfinished jobs with ids in [first, last], by id, but for those that wait behind a gate; jobs with nothing left to start are among them, with empty lists. */
export function openJobs(tx: ReadTx, first: number, last: number, limit: number): OpenJob[] {
  return tx.all<JobRow>(openInRange, first, last, limit).map((row) => toOpenJob(tx, row));
}

/** undefined: finished, unknown, or waiting behind a gate. */
export function openJob(tx: ReadTx, id: JobId): OpenJob | undefined {
  return openJobs(tx, id, id, 1)[0];
}

const unitColumns = "job, first, count, width, running, node";
const unitsOnNode = sql(`select ${unitColumns} from unit where running > 0 and node = ?`);
const unitsOfJob = sql(
  `select ${unitColumns} from unit where running > 0 and node in (select id from node) and job = ?`,
);

/** The units of which a node runs something right now. */
export function runningUnitsOn(tx: ReadTx, node: NodeId): RunningUnit[] {
  return tx.all<RunningUnit>(unitsOnNode, node);
}

/** The units of which something runs right now. */
export function runningUnitsOf(tx: ReadTx, job: JobId): RunningUnit[] {
  return tx.all<RunningUnit>(unitsOfJob, job);
}

/** What a node runs right now, but for units. */
export function runningTasksOn(tx: ReadTx, node: NodeId): RunningTask[] {
  return tx.all<RunningTask>(runningOnNode, node, node);
}

/** What runs of a job right now, but for units. */
export function runningTasksOf(tx: ReadTx, job: JobId): RunningTask[] {
  return tx.all<RunningTask>(runningOfJob, job, job);
}

/**
 * An attempt that its node has not begun (J1). A node begins one only under a lease that names its fence or a later index, and leases are the leader's: so
 * the leader knows of every attempt with a later fence than all of them that it has not begun, whatever the node is about, and without asking it.
 */
export interface Unbegun {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
  readonly fence: number;
}

/** Attempts that the node holds with a fence after `covered`, up to `until`, in the order of their fences. */
export function unbegunOn(tx: ReadTx, node: NodeId, covered: number, until = Infinity): Unbegun[] {
  return runningOn(tx, node)
    .filter(({ fence }) => fence > covered && fence <= until)
    .map(({ job, task, attempt, fence }) => ({ job: jobId(job), task, attempt, fence }));
}

const anyNode: readonly Term[] = [];
const noResources: readonly Need[] = [];
const noneWaiting: readonly WaitingTask[] = [];

interface WaitingRow {
  readonly task: number;
  readonly attempt: number;
  readonly not_before: number;
  readonly pin: NodeId | null;
  readonly node: NodeId | null;
}

/** What a job's spec asks of the planner. */
export type Wants = Pick<OpenJob, "priority" | "slots" | "resources" | "io" | "on" | "terms" | "parallel" | "eachNode">;

/** See {@link Wants}. */
export function wantsOf(spec: Spec): Wants {
  const on = selectorOf(spec);
  const terms = on === "" ? anyNode : parseSelector(on);
  const slots = slotsOf(spec);
  return {
    priority: spec.priority ?? specDefaults.priority,
    slots,
    resources: spec.resources === undefined ? noResources : needsOf(spec.resources),
    io: slots === 0,
    on,
    terms: typeof terms === "string" ? anyNode : terms,
    parallel: spec.parallel ?? Infinity,
    eachNode: spec.eachNode === true,
  };
}

/** What its spec says of how many of a job's tasks are given to a node together. */
export type UnitWants = Pick<OpenJob, "unit" | "isArray" | "unitUnknown" | "mayStop" | "isOnce" | "isGroup">;

/** See {@link UnitWants}. */
export function unitsOf(spec: Spec, tasks: number): UnitWants {
  return {
    unit: spec.unit,
    isArray: tasks > 1 && spec.eachNode !== true,
    unitUnknown: unitUnknownOf(spec),
    mayStop: spec.maxFailures !== undefined,
    isOnce: spec.onLost === "fail",
    isGroup: isGroup(spec),
  };
}

function unitUnknownOf({ targets, ansible }: Spec): number {
  if (ansible?.module !== undefined) return limits.ansibleHosts;
  return targets === undefined ? limits.unitTasks : limits.unitTargets;
}

/** What was asked for, and what its driver needs. */
function selectorOf({ on = "", driver }: Spec): string {
  if (driver !== "ansible") return on;
  return on === "" ? ansibleLabel : `${on},${ansibleLabel}`;
}

function toOpenJob(tx: ReadTx, row: JobRow): OpenJob {
  const spec = readSpec(row.spec);
  const stopped = row.cancelling !== 0 || row.rest !== "queued" || row.gate !== null;
  // A job of which nothing was ever assigned has rows only when its tasks are pinned.
  const hasRows = (row.next_task > 0 && row.only_node === null) || spec.eachNode === true;
  const tasks = batchEndOf(tx, row);
  return {
    id: jobId(row.id),
    by: row.submitted_by,
    ...wantsOf(spec),
    ...unitsOf(spec, row.tasks),
    mayWait: mayWait(spec),
    driver: driverOf(spec),
    tasks,
    next: stopped ? tasks : row.next_task,
    running: row.running,
    stopped,
    waiting: stopped || !hasRows ? noneWaiting : tx.all<WaitingRow>(waitingOf, row.id).map(toWaiting),
  };
}

/** A node that is lost with work that waits there cannot say that it had not begun it: what runs at most once is not given so. */
function mayWait({ onLost, eachNode, resources, parallel, maxFailures, batch }: Spec): boolean {
  if (onLost === "fail" || eachNode === true || resources !== undefined) return false;
  return parallel === undefined && maxFailures === undefined && batch === undefined;
}

function toWaiting(row: WaitingRow): WaitingTask {
  return {
    task: row.task,
    attempt: row.attempt,
    notBefore: row.not_before,
    pin: row.pin ?? undefined,
    avoid: row.node ?? undefined,
  };
}

const expired = sql("select id from job where expires_at <= ? order by expires_at limit ?");
const oldest = sql("select id from job where expires_at is not null order by expires_at limit ?");
const finished = sql("select jobs_finished from counter");

/** Finished jobs whose time is over at `now` (wall time), the longest over first. */
export function expiredJobs(tx: ReadTx, now: number, limit: number): JobId[] {
  return tx.all<{ id: JobId }>(expired, now, limit).map((row) => row.id);
}

/** Finished jobs that are the first to go. */
export function firstToExpire(tx: ReadTx, limit: number): JobId[] {
  return tx.all<{ id: JobId }>(oldest, limit).map((row) => row.id);
}

/** Finished jobs that are still kept. */
export function finishedJobs(tx: ReadTx): number {
  return tx.get<{ jobs_finished: number }>(finished)?.jobs_finished ?? 0;
}
