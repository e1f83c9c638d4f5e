import type { Checker } from "../raft/violation.ts";
import type { Plan } from "../sim/plan.ts";

export type ClusterChecker =
  | "J1"
  | "J2"
  | "J3"
  | "J4"
  | "S1"
  | "once"
  | "early"
  | "in vain"
  | "alone"
  | "held"
  | "batch"
  | "room"
  | "left"
  | "floor"
  | "node id"
  | "liveness"
  | "membership"
  | "states differ";

/** Of hours of schedules (test/sim/cron-judge.ts). */
export type CronChecker =
  | "cron twice"
  | "cron lost"
  | "cron early"
  | "cron reason"
  | "cron overlap"
  | "cron paused"
  | "cron window"
  | "cron limit"
  | "cron late"
  | "cron unasked";

/** An exact text of one source file, which must be there once, and what stands there in the mutant. */
export interface Patch {
  /** From the top of the repository. */
  readonly file: string;
  readonly old: string;
  readonly new: string;
}

/** Patches of a copy of the sources, and what is wrong with them in. */
export interface Planted {
  readonly name: string;
  readonly title: string;
  readonly patches: readonly Patch[];
}

/**
 * A bug that real systems had, brought back into our code. A mutant works while nothing goes wrong, as those systems did: it is the
 * simulation's faults that must bring it to light, and the checkers named here that must see it. Dying of anything else does not count.
 */
export interface Mutant extends Planted {
  /** The number in the list of historical bugs, with a letter where one of them is brought back in several ways. */
  readonly name: string;
  /** Where it was suffered. */
  readonly source: string;
  /** What the code does wrong, in our terms. */
  readonly bug: string;
  /** Where it is looked for. */
  readonly simulation: SimulationName;
  /** Of whole clusters: what the problem begins with. */
  readonly checkers: readonly (Checker | ClusterChecker | CronChecker | "test")[];
  /** Of "test": the file, and the test of it that must fail while others of the file pass. */
  readonly test?: { readonly file: string; readonly name: string };
  /** What clients do brings it to light, with faults and without: it need not work while nothing goes wrong. */
  readonly needsNoFaults?: true;
  /** Of whole clusters: whether a run of this plan is worth its time. What is passed over counts as a seed that found nothing. */
  readonly isWorth?: (plan: Plan) => boolean;
}

/**
 * "raft": consensus on a model of a disk. "disk": the same on real files, with the production log and state. "cluster": whole nodes, with state,
 * leases, jobs and clients. "cron": hours of
 * schedules on whole nodes. "test": no simulation, but one test that says step by step what happens when.
 */
export type SimulationName = "raft" | "disk" | "cluster" | "cron" | "test";
