import type { AttemptName, Executor, Extension } from "../executor/types.ts";
import type { NodeId } from "../lib/ids.ts";
import { assignmentsOf, cancelledOn, findAssignment } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Assignment } from "../state/types.ts";
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
    const { held, cancelled } = this.#view((tx) => ({
      held: assignmentsOf(tx, this.#self),
      cancelled: cancelledOn(tx, this.#self),
    }));
    this.#executor.reconcile(held);
    // A cancellation that was applied while this node was away is told by nobody else.
    if (cancelled.length > 0) this.#executor.stop(cancelled);
  }

  /**
   * The state was replaced by one of an earlier entry: what it does not know may have been begun here, and must not begin again when the log says so
   * once more (J1). reconcile() ends this.
   */
  pause(): void {
    this.#reconciled = false;
  }

  onApplied(events: readonly AppliedEvent[]): void {
    if (!this.#reconciled) return; // reconcile() reads the sum of it
    const assigned: AttemptName[] = [];
    const stopped: AttemptName[] = [];
    const dropped: AttemptName[] = [];
    const extended: Extension[] = [];
    for (const event of events) {
      for (const change of event.changes) {
        if (change.topic !== "task" || change.node !== this.#self) continue;
        if (change.kind === "assigned") assigned.push(change);
        else if (change.kind === "stop") stopped.push(change);
        else if (change.kind === "ended") dropped.push(change);
        else if (change.kind === "extended") extended.push(change);
      }
    }
    if (assigned.length > 0) this.#executor.assign(this.#load(assigned));
    if (stopped.length > 0) this.#executor.stop(stopped);
    if (extended.length > 0) this.#executor.extend(extended);
    // An end that this node reported itself is unknown to the executor by now, and ignored there.
    if (dropped.length > 0) this.#executor.drop(dropped);
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
