import type { AttemptName, Executor, Extension, UnitName } from "../executor/types.ts";
import type { JobId, NodeId } from "../lib/ids.ts";
import {
  assignmentsOf,
  cancelledOn,
  cancelledUnitsOn,
  findAssignment,
  findUnit,
  stateOfNode,
  unitAssignmentsOf,
} from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Assignment, UnitAssignment } from "../state/types.ts";
import type { AppliedEvent } from "./api.ts";

/**
 * Between the state and the executor (step 10): assignment needs no message, every node sees its own units among the
 * entries that it applies.
 */
export class Work {
  readonly #self: NodeId;
  readonly #executor: Executor;
  readonly #view: <Value>(query: (tx: ReadTx) => Value) => Value;
  #reconciled = false;

  constructor(self: NodeId, executor: Executor, view: <Value>(query: (tx: ReadTx) => Value) => Value) {
    this.#self = self;
    this.#executor = executor;
    this.#view = view;
  }

  /** The state is as new as the cluster's: tells the executor what this node holds after its restart. */
  reconcile(): void {
    this.#reconciled = true;
    const { held, units, cancelled, cancelledUnits } = this.#view((tx) => ({
      held: assignmentsOf(tx, this.#self),
      units: unitAssignmentsOf(tx, this.#self),
      cancelled: cancelledOn(tx, this.#self),
      cancelledUnits: cancelledUnitsOn(tx, this.#self),
    }));
    this.#executor.reconcile(held, units);
    // A cancellation that was applied while this node was away is told by nobody else.
    if (cancelled.length > 0 || cancelledUnits.length > 0) this.#executor.stop(cancelled, cancelledUnits);
  }

  /**
   * The state was replaced by one of an earlier entry: what it does not know may have been begun here, and must not begin again when the log says so
   * once more (J1). reconcile() ends this.
   */
  pause(): void {
    this.#reconciled = false;
  }

  /** What is applied is not told to the executor, until reconcile(). */
  get isPaused(): boolean {
    return !this.#reconciled;
  }

  onApplied(events: readonly AppliedEvent[]): void {
    if (!this.#reconciled) return; // reconcile() reads the sum of it
    const assigned: AttemptName[] = [];
    const stopped: AttemptName[] = [];
    const dropped: AttemptName[] = [];
    const extended: Extension[] = [];
    const units: UnitName[] = [];
    const stoppedUnits: UnitName[] = [];
    const held: JobId[] = [];
    let isTold = false;
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic === "job" && change.kind === "state" && change.held === true) held.push(change.job);
        if (change.topic === "node" && change.node === this.#self) isTold = true;
        if (change.topic !== "task" || change.node !== this.#self) continue;
        if (change.kind === "assigned") assigned.push(change);
        else if (change.kind === "unit-assigned") units.push(change);
        else if (change.kind === "unit-stop") stoppedUnits.push(change);
        else if (change.kind === "stop") stopped.push(change);
        else if (change.kind === "ended") dropped.push(change);
        else if (change.kind === "extended") extended.push(change);
      }
    }
    if (units.length > 0) this.#executor.assign(this.#load(assigned), this.#loadUnits(units));
    else if (assigned.length > 0) this.#executor.assign(this.#load(assigned));
    if (stopped.length > 0 || stoppedUnits.length > 0) this.#executor.stop(stopped, stoppedUnits);
    if (extended.length > 0) this.#executor.extend(extended);
    // An end that this node reported itself is unknown to the executor by now, and ignored there.
    if (dropped.length > 0) this.#executor.drop(dropped);
    if (isTold && this.#view((tx) => stateOfNode(tx, this.#self)) === "draining") this.#executor.review();
    else if (held.length > 0) this.#executor.review(held);
  }

  #loadUnits(names: readonly UnitName[]): UnitAssignment[] {
    return this.#view((tx) =>
      names.flatMap(({ job, first }) => {
        const unit = findUnit(tx, job, first);
        return unit === undefined ? [] : [unit];
      }),
    );
  }

  #load(names: readonly AttemptName[]): Assignment[] {
    return this.#view((tx) => {
      const assignments: Assignment[] = [];
      for (const name of names) {
        // Absent when a later entry, applied already, took it away again.
        const assignment = findAssignment(tx, name.job, name.task, name.attempt);
        if (assignment !== undefined) assignments.push(assignment);
      }
      return assignments;
    });
  }
}
