import type { NodeId } from "../lib/ids.ts";

/** Since when each node has been close to the leader's log without a break, as far as it was looked at. All times are monotonic. */
export class Closeness {
  readonly #since = new Map<NodeId, number>();

  /** Notes what is seen of a node now; gives for how long (ms) it has been close, undefined when it is not. */
  observe(node: NodeId, isClose: boolean, now: number): number | undefined {
    if (!isClose) {
      this.#since.delete(node);
      return undefined;
    }
    const since = this.#since.get(node) ?? now;
    this.#since.set(node, since);
    return now - since;
  }

  clear(): void {
    this.#since.clear();
  }
}
