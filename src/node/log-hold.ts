import { monotonicMs } from "../lib/clock.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";

/** What holding the log for those who get a snapshot needs of its surroundings. */
export interface LogHoldPorts {
  /** Entries that this node knows that member to have; 0: it knows of none. */
  reached(node: NodeId): number;
  /** From there on the budget that every slow member has does for it. */
  isClose(index: number): boolean;
}

interface Hold {
  index: number;
  /** undefined: the snapshot is on its way. */
  movedAt: number | undefined;
}

/**
 * Which part of the log follows on from snapshots that others are being given. A state takes as long as it is large, and a log that is cut meanwhile
 * makes it worthless on arrival: the next one, made then, would be no faster. So what follows is kept from before the copy is made until its receiver
 * has come close to the end, as long as it does come nearer. How much that may be at most is the log's budget (compaction.ts).
 */
export class LogHold {
  readonly #ports: LogHoldPorts;
  readonly #now: () => number;
  readonly #holds = new Map<NodeId, Hold>();

  constructor(ports: LogHoldPorts, now: () => number = monotonicMs) {
    this.#ports = ports;
    this.#now = now;
  }

  /** A snapshot of that entry or a later one is on its way to that node. */
  begin(node: NodeId, index: number): void {
    this.#holds.set(node, { index, movedAt: undefined });
  }

  /** It is there: what follows on from it is sent now. */
  arrived(node: NodeId, index: number): void {
    this.#holds.set(node, { index, movedAt: this.#now() });
  }

  /** Nothing comes of it. */
  end(node: NodeId): void {
    this.#holds.delete(node);
  }

  /** The lowest entry that somebody goes on from; Infinity: nobody does. */
  get needed(): number {
    const now = this.#now();
    let needed = Infinity;
    for (const [node, hold] of this.#holds) {
      if (hold.movedAt !== undefined) {
        const reached = this.#ports.reached(node);
        if (reached > hold.index) {
          hold.index = reached;
          hold.movedAt = now;
        }
        const isIdle = now - hold.movedAt > limits.snapshotIdleMs;
        if (isIdle || this.#ports.isClose(hold.index)) {
          this.#holds.delete(node);
          continue;
        }
      }
      needed = Math.min(needed, hold.index);
    }
    return needed;
  }
}
