import type { JobId, NodeId } from "../lib/ids.ts";
import type { HostFacts } from "../lib/inventory.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { Assignment, Report, Spec, UnitAssignment } from "../state/types.ts";
import type { BundleTree } from "./bundle-trees.ts";
import type { Capacity } from "./turns.ts";

/**
 * The two ports of execution. The node owns an {@link Executor}; the executor talks to its {@link Guard} for work that
 * must outlive the node's process (J3).
 *
 *   state -> node --assign/stop--> executor --start/kill/lease--> guard (own process) --spawn--> process groups
 *   log  <- node <----report------ executor <-----finished------- guard
 */

export interface AttemptName {
  readonly job: JobId;
  readonly task: number;
  readonly attempt: number;
}

/** Tasks that the node was given together (state/tables/unit.ts). */
export interface UnitName {
  readonly job: JobId;
  /** The first of them. */
  readonly first: number;
}

/** Of a unit: so many of its tasks, at most. */
export interface UnitPart extends UnitName {
  readonly most: number;
}

/** Of a unit: tasks that succeeded at their first attempt and left nothing but their times, as runs (lib/task-runs.ts). */
export interface UnitEnds extends UnitName {
  readonly runs: Uint8Array;
}

/** An attempt that has more time. */
export interface Extension extends AttemptName {
  /** What was added to its timeout, all in all. */
  readonly ms: number;
}

export interface ExecutorOptions {
  readonly node: NodeId;
  /** Name of the cluster, which no other one has. */
  readonly cluster: string;
  readonly dataDir: string;
  /** What runs here at once, at most. */
  readonly capacity: Capacity;
  /** Where control groups for limits may be made; absent: where the guard finds that it may. */
  readonly cgroupRoot?: string | undefined;
  /** How to start the guard: argv of this very program, e.g. [execPath, "guard", "--data", dir]. */
  readonly guardCommand: readonly string[];
  /**
   * Reports go here, in batches; the promise settles when they are in the log (or refused as out of date). It fails with a Fault: "never"
   * says that the log will not take them as they are, anything else that they are to be sent again.
   */
  report(reports: readonly Report[], units: readonly UnitEnds[]): Promise<void>;
  /** Attempts that run longer than limits' start delay are announced once, so that started_at is known. */
  started(attempts: readonly (AttemptName & { readonly startedAt: number })[]): void;
  /** Values of the secrets that the attempt's spec names, by their names; "not-found": one is not there, and the attempt cannot run. */
  secrets(attempt: AttemptName): Promise<Outcome<Readonly<Record<string, string>>>>;
  /** Lays the bundle of the attempt out; its tree is the working directory. Refused as "unavailable" when it cannot be had, after waiting for it. */
  bundle(attempt: AttemptName, spec: Spec): Promise<Outcome<BundleTree>>;
  /** What the inventories of the job say of the attempt's target; undefined: nothing. Absent: of no target. */
  hostFacts?(assignment: Pick<Assignment, "spec" | "target">): HostFacts | undefined;
  /** Resolves when the output of that attempt, so many bytes, is synced on a second node (true), or after so long (false). */
  copied(attempt: AttemptName, bytes: number, withinMs: number): Promise<boolean>;
  /** The log takes what is given back (S2). */
  mayGiveBack(): boolean;
  /** Says that these, which have not begun, are never begun by this process: settles when that has been tried. It is said again until the state has taken them from this node. */
  giveBack(attempts: readonly AttemptName[]): Promise<unknown>;
  /** Those of the jobs of which nothing more is to begin here, by the state: they are held, or this node is drained. */
  unwanted(jobs: readonly JobId[]): ReadonlySet<JobId>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Runs this node's attempts. Methods may be called in any order after open(); none blocks the loop. */
export interface Executor {
  /** Starts or finds the guard, and learns what it runs or has finished. */
  open(): Promise<void>;
  /**
   * What the state says this node holds right now, called once after open() when the state has caught up: attempts of the
   * guard that are not among them are killed and dropped; finished ones are reported. Attempts that are among them and unknown to
   * the guard never ran if the guard knows its whole past, and are treated like new ones; if it does not (it was
   * killed, or the host crashed), they are reported as lost.
   */
  reconcile(held: readonly Assignment[], units?: readonly UnitAssignment[]): void;
  /** New assignments, in log order. They wait until a lease covers their fence and there is room for them (turns.ts); tasks of a unit also until fewer than its width run. */
  assign(assignments: readonly Assignment[], units?: readonly UnitAssignment[]): void;
  /** The job was cancelled: TERM, then KILL after the grace; reported as cancelled. Unknown attempts are ignored. */
  stop(attempts: readonly AttemptName[], units?: readonly UnitName[]): void;
  /** These may run longer than their timeout. Unknown ones are ignored; said twice it is done once. */
  extend(extensions: readonly Extension[]): void;
  /** Whether these jobs (absent: all) may begin here may have changed: what has not begun and may not is given back, and never begins here. */
  review(jobs?: readonly JobId[]): void;
  /** So many tasks of these units, of those that wait for others of their unit, are wanted elsewhere: they are given back, the last ones first. */
  relieve(units: readonly UnitPart[]): void;
  /** The state no longer gives this node the attempt (declared lost, superseded): killed at once, nothing is reported. */
  drop(attempts: readonly AttemptName[]): void;
  /**
   * A lease was granted: it ends at `endsAt` on monotonicMs(), counted from when it was asked for, and covers assignments whose
   * fence <= `index`, once the state has been applied that far.
   */
  lease(endsAt: number, index: number): void;
  /** The lease covers assignments whose fence <= `index` as well, up to which the state has been applied; it ends when it did. */
  covers(index: number): void;
  /** The executor asks the node for a fresh lease through this, when assignments wait for one. */
  onLeaseWanted(callback: () => void): void;
  running(): number;
  /** Goodbye to the guard (it keeps running work until the lease ends, or goes away at once when idle). */
  close(): Promise<void>;
}

/** A piece of an attempt's log. */
export interface LogChunk {
  readonly stream: "stdout" | "stderr";
  /** Wall time of arrival, epoch ms. */
  readonly at: number;
  readonly bytes: Uint8Array;
}
