import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Outcome } from "../lib/outcome.ts";
import type { PlacementView } from "../scheduler/view.ts";
import type { CommandInput } from "../state/commands/index.ts";
import { type Unbegun, unbegunOn } from "../state/planning.ts";
import type { ReadTx } from "../state/tx.ts";
import type { LeaseTable } from "./lease.ts";

/** What the duty needs of the leader. */
export interface RecallsPorts {
  readonly leases: Pick<LeaseTable, "coveredTo">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  propose(
    name: "unit.recall",
    input: CommandInput<"unit.recall">,
  ): Promise<Outcome<{ readonly value: { readonly recalled: number }; readonly index: number }>>;
  readonly log: (level: "info", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** What is taken back from a node, or was. */
interface Recall {
  /** The first of its fences. */
  readonly from: number;
  readonly attempts: readonly Unbegun[];
  /** "underway", "unknown": proposed, and it may be in the log; a number: the entry since which it is. */
  index: number | "underway" | "unknown";
}

/**
 * The leader's duty for work that a node was given and does not begin: it is slow, stands still, or is cut off. Work that no lease covers has not begun
 * (planning.ts), and it does not begin while it is taken back: until a lease names the entry that takes it back, which the node then has applied, none
 * names its fence. So no attempt of a task is live when the next one begins (J1), and on_lost: fail need not be asked.
 */
export class Recalls {
  readonly #ports: RecallsPorts;
  readonly #recalls = new Map<NodeId, Recall>();
  /** The newest fences of all nodes at a moment that is at most a look ago. */
  #sample: { readonly at: number; readonly fences: ReadonlyMap<NodeId, number> } | undefined;

  constructor(ports: RecallsPorts) {
    this.#ports = ports;
  }

  /** Another term has begun or this one is over: leases of the next one name none of the indexes that this one kept back. */
  clear(): void {
    this.#recalls.clear();
    this.#sample = undefined;
  }

  /** The largest index that a lease of the node may name now, of those up to `index`, which is confirmed. */
  ceiling(node: NodeId, index: number): number {
    const recall = this.#recalls.get(node);
    if (recall === undefined || index < recall.from) return index;
    if (typeof recall.index !== "number" || index < recall.index) return recall.from - 1;
    this.#recalls.delete(node); // from here on the node knows what was taken back
    return index;
  }

  /** Takes back what has waited for too long and is better off elsewhere. `eligible`: nodes that take work; `now` is monotonic. */
  look(view: PlacementView, eligible: ReadonlySet<NodeId>, now: number): void {
    const before = this.#sample;
    if (before !== undefined && now - before.at < limits.recallAfterMs) return;
    this.#sample = { at: now, fences: view.newestFences() };
    // The same once more: its outcome says what became of the first, which is in the log before it or not at all.
    for (const [node, { index, attempts }] of this.#recalls) if (index === "unknown") this.#recall(node, attempts);
    for (const [node, until] of before?.fences ?? []) {
      const covered = this.#ports.leases.coveredTo(node);
      if (until <= covered || this.#recalls.get(node)?.index === "underway") continue;
      const unbegun = this.#ports.view((tx) => unbegunOn(tx, node, covered, until));
      const moved = view.betterElsewhere(node, unbegun, eligible);
      if (moved.length === 0) continue;
      const words = moved.length === 1 ? "a task" : `${moved.length} tasks`;
      this.#ports.log("info", `node ${node} has not begun ${words} that it was given: they go to others`, { node });
      this.#recall(node, moved);
    }
  }

  /** The node is about to be declared lost: what it has certainly not begun is not lost with it. */
  takeAll(node: NodeId): void {
    const unbegun = this.#ports.view((tx) => unbegunOn(tx, node, this.#ports.leases.coveredTo(node)));
    if (unbegun.length > 0) this.#recall(node, unbegun);
  }

  /** In the place of what is being taken back from it already, of which it is to be a part where that is not known to be done. */
  #recall(node: NodeId, attempts: readonly Unbegun[]): void {
    const from = Math.min(attempts[0]!.fence, this.#recalls.get(node)?.from ?? Infinity);
    const recall: Recall = { from, attempts, index: "underway" };
    this.#recalls.set(node, recall);
    void this.#propose(node, attempts).then((index) => {
      recall.index = index;
    });
  }

  async #propose(node: NodeId, attempts: readonly Unbegun[]): Promise<number | "unknown"> {
    const names = attempts.map(({ job, task, attempt }): [typeof job, number, number] => [job, task, attempt]);
    const proposals: ReturnType<RecallsPorts["propose"]>[] = [];
    for (let at = 0; at < names.length; at += limits.assignmentsPerEntry) {
      const some = names.slice(at, at + limits.assignmentsPerEntry);
      proposals.push(this.#ports.propose("unit.recall", { node, attempts: some }));
    }
    const outcomes = await Promise.all(proposals);
    let last = 0;
    for (const outcome of outcomes) {
      if (!outcome.ok) return "unknown";
      last = Math.max(last, outcome.value.index);
    }
    return last;
  }
}
