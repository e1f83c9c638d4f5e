import type { TaskView } from "../state/types.ts";

type Seen = Pick<TaskView, "node" | "started_at" | "finished_at"> & {
  readonly attempts: readonly Pick<TaskView["attempts"][number], "node" | "started_at">[];
};

/** So much may the clocks of a leader and of a node differ. */
const clocksMs = 1000;
/** More tasks than a node begins in one instant by chance. */
const manyTasks = 1000;

/**
 * Judges whether tasks were started each by itself: by the node that they were given to, at an instant between the acceptance of their job and their own end,
 * and not all of a node's at one and the same instant while they ended at several. Tasks for which that does not hold lack a start of their own.
 */
export class OwnStarts {
  readonly #byNode = new Map<string, { tasks: number; wrong: number; starts: Set<number>; ends: Set<number> }>();

  look(task: Seen, acceptedAt: string): void {
    const { node, started_at: started, finished_at: finished, attempts } = task;
    const key = String(node ?? "none");
    let known = this.#byNode.get(key);
    if (known === undefined)
      this.#byNode.set(key, (known = { tasks: 0, wrong: 0, starts: new Set(), ends: new Set() }));
    known.tasks += 1;
    const last = attempts.at(-1);
    const start = started === null ? Number.NaN : Date.parse(started);
    const end = finished === null ? Number.NaN : Date.parse(finished);
    const isWithin = start >= Date.parse(acceptedAt) - clocksMs && start <= end;
    if (!isWithin || node === null || last?.node !== node || last?.started_at !== started) known.wrong += 1;
    known.starts.add(start);
    known.ends.add(end);
  }

  get tasks(): number {
    return sum(Array.from(this.#byNode.values(), ({ tasks }) => tasks));
  }

  /** How many each node ran; "none": no node is told. */
  get byNode(): Readonly<Record<string, number>> {
    return Object.fromEntries(Array.from(this.#byNode, ([node, { tasks }]) => [node, tasks]));
  }

  /** Tasks without a start of their own. */
  get lacking(): number {
    return sum(
      Array.from(this.#byNode.values(), ({ tasks, wrong, starts, ends }) =>
        tasks >= manyTasks && starts.size === 1 && ends.size > 1 ? tasks : wrong,
      ),
    );
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
