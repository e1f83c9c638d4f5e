import type { NodeId } from "../lib/ids.ts";
import type { ReadTx } from "./tx.ts";
import type { Assignment, JobState, JobView, NodeRow, Role, TaskState, TaskView } from "./types.ts";

/**
 * Everything that is read from the state, for the API, the scheduler and the executor. Pure: SQL in, plain objects out.
 * Lists page by an opaque, URL-safe `next`.
 */

export interface ClusterRow {
  readonly cluster: string;
  readonly level: number;
  readonly votersWanted: number;
  readonly createdAt: number;
}

export interface TokenRow {
  readonly id: string;
  readonly kind: "api" | "join";
  /** SHA-256 of the secret, base64url. */
  readonly hash: string;
  readonly name: string;
  readonly role: Role;
  /** Epoch ms; null: never. */
  readonly expiresAt: number | null;
  /** Uses left; null: no limit. */
  readonly uses: number | null;
  readonly revoked: boolean;
  /** Revoked together with this node; null: a person's. */
  readonly node: NodeId | null;
}

export interface JobFilter {
  readonly state?: JobState | undefined;
  readonly name?: string | undefined;
  /** A label selector. */
  readonly label?: string | undefined;
  /** Epoch ms: submitted at or after. */
  readonly since?: number | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

export interface TaskFilter {
  readonly state?: TaskState | undefined;
  readonly target?: string | undefined;
  readonly limit: number;
  readonly next?: string | undefined;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next?: string;
}

export interface Totals {
  readonly submitted: number;
  readonly finished: { readonly [State in JobState]?: number };
  readonly jobsUnfinished: number;
  readonly tasksRunning: number;
  readonly tasksQueued: number;
}

export declare function appliedIndex(tx: ReadTx): number;
export declare function stateHash(tx: ReadTx): string;
/** undefined: the cluster.create entry has not been applied yet. */
export declare function clusterRow(tx: ReadTx): ClusterRow | undefined;
export declare function listNodes(tx: ReadTx): NodeRow[];
/** By id (a number or its digits) or name. */
export declare function findNode(tx: ReadTx, idOrName: string | number): NodeRow | undefined;
export declare function findToken(tx: ReadTx, id: string): TokenRow | undefined;
export declare function findJob(tx: ReadTx, id: number): JobView | undefined;
/** The states of many jobs; unknown ids are left out. */
export declare function jobStates(tx: ReadTx, ids: readonly number[]): Map<number, JobState>;
export declare function listJobs(tx: ReadTx, filter: JobFilter): Page<JobView>;
export declare function findTask(tx: ReadTx, job: number, task: number): TaskView | undefined;
/** Tasks that have no row yet are shown as queued. undefined: no such job. */
export declare function listTasks(tx: ReadTx, job: number, filter: TaskFilter): Page<TaskView> | undefined;
/** What a node holds: its running attempts, in order of their fence. */
export declare function assignmentsOf(tx: ReadTx, node: NodeId): Assignment[];
/** One attempt, if it is the present one and running. */
export declare function findAssignment(tx: ReadTx, job: number, task: number, attempt: number): Assignment | undefined;
export declare function totals(tx: ReadTx): Totals;
