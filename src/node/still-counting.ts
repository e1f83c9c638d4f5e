import type { NodeId } from "../lib/ids.ts";
import { isVoter } from "../raft/configuration.ts";
import type { Configuration } from "../raft/types.ts";

export interface StillCountingPorts {
  /** In force here, committed or not. */
  current(): Configuration;
  committed(): Configuration;
  /** The node counts no longer: it is told, and its doors are shut. */
  released(node: NodeId): void;
}

/**
 * Removed from the members, and still a voter (M1). The members are rows of the state, the voters a configuration of the log that follows them a moment
 * later, by a change that may need the very vote of who goes: with one of three voters dead the removal of another is carried by the two that live.
 * So a node is told that it was removed, refused and forgotten only when no configuration names it as a voter that could still be in force: neither the
 * newest nor the one that is committed. Until then it is met and counts as before.
 */
export class StillCounting {
  readonly #ports: StillCountingPorts;
  readonly #waiting = new Set<NodeId>();

  constructor(ports: StillCountingPorts) {
    this.#ports = ports;
  }

  /** A quorum may need its vote. */
  counts(node: NodeId): boolean {
    return isVoter(this.#ports.current(), node) || isVoter(this.#ports.committed(), node);
  }

  /** Everybody who {@link counts}. */
  nodes(): NodeId[] {
    const configurations = [this.#ports.current(), this.#ports.committed()];
    return [...new Set(configurations.flatMap(({ voters, outgoing }) => [...voters, ...outgoing]))];
  }

  /** The state has it as a member no more: released now, or later. */
  removed(node: NodeId): void {
    this.#waiting.add(node);
    this.look();
  }

  /** The configuration, or what of it is committed, is another one. */
  look(): void {
    for (const node of this.#waiting) {
      if (this.counts(node)) continue;
      this.#waiting.delete(node);
      this.#ports.released(node);
    }
  }
}
