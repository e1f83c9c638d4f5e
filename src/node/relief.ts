import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Wanted } from "../scheduler/relief.ts";
import type { PlacementView } from "../scheduler/view.ts";

/** What the duty needs of the leader. */
export interface ReliefPorts {
  /** Asks the node to give those back that have not begun. It may fail: it is asked again. */
  relieve(node: NodeId, units: readonly Wanted[]): void;
}

/** The leader's duty for tasks that wait at a node behind others of their unit while another node is idle, or that are in the way of more urgent ones (scheduler/relief.ts). */
export class Relief {
  readonly #ports: ReliefPorts;
  #lookedAt = -Infinity;

  constructor(ports: ReliefPorts) {
    this.#ports = ports;
  }

  /** `eligible`: nodes that take work; `now` is monotonic. What was found waiting by the look before, and still waits, has waited for long enough. */
  look(view: PlacementView, eligible: ReadonlySet<NodeId>, now: number): void {
    if (now - this.#lookedAt < limits.aheadReturnMs / 2) return;
    this.#lookedAt = now;
    for (const [node, units] of view.relief(eligible))
      this.#ports.relieve(node, units.slice(0, limits.assignmentsPerEntry));
  }
}
