import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import type { Raft } from "../raft/raft.ts";
import { isClockOff } from "../scheduler/clock.ts";
import type { Clocks } from "./clocks.ts";
import type { TransferPorts } from "./transfer.ts";

/** What giving the leadership to another voter needs of its surroundings. */
export interface HandOverPorts {
  readonly self: NodeId;
  readonly raft: Pick<Raft, "role" | "progress" | "lag" | "transfer">;
  readonly clocks: Pick<Clocks, "differences">;
  /** Whom this node has heard of as the leader. */
  leader(): NodeId;
  voters(): readonly NodeId[];
  isConnected(node: NodeId): boolean;
  /** What consensus has to say leaves now. */
  drain(): void;
  /** Has the leader hand over, to that voter or to the closest ({@link nobody}). Throws Fault. */
  ask(leader: NodeId, to: NodeId): Promise<unknown>;
}

/** For the other one to be elected. */
const successorMs = 2000;
const pollMs = 10;

/** The leadership goes to another voter while both are there: writes wait for a moment, and no election has to notice a silence first. */
export class HandOver {
  readonly #ports: HandOverPorts;

  constructor(ports: HandOverPorts) {
    this.#ports = ports;
  }

  /** Steps down in favour of the voter that is closest, or of this one, and waits a moment for it to lead. */
  async to(named?: NodeId): Promise<boolean> {
    const { raft } = this.#ports;
    const candidates = this.#candidates(named);
    const to = candidates[0];
    if (to === undefined) return false;
    raft.transfer(to);
    this.#ports.drain();
    const deadline = monotonicMs() + successorMs;
    while (monotonicMs() < deadline) {
      if (raft.role !== "leader" && this.#ports.leader() !== nobody) return true;
      if (!candidates.some((node) => this.#ports.isConnected(node))) return false; // they are stopping as well
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
    return false;
  }

  /** The same, of whoever leads. */
  async #by(leader: NodeId, to: NodeId | undefined): Promise<boolean> {
    if (leader === this.#ports.self) return this.to(to);
    try {
      return (await this.#ports.ask(leader, to ?? nobody)) === true;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return this.#ports.leader() !== leader; // its answer may have been lost with its leadership
    }
  }

  /** What a transfer that somebody asks for, and the removal of who leads, need of it (transfer.ts). */
  get transferPorts(): Pick<TransferPorts, "leader" | "voters" | "handOver"> {
    return {
      leader: () => (this.#ports.leader() === nobody ? undefined : this.#ports.leader()),
      voters: () => this.#ports.voters(),
      handOver: (leader, to) => this.#by(leader, to),
    };
  }

  /** The best first: one whose clock is right, whose disk is fast, and that lacks the least. */
  #candidates(named: NodeId | undefined): NodeId[] {
    const { self, raft, clocks } = this.#ports;
    const differences = clocks.differences();
    const isOff = (node: NodeId): number => Number(isClockOff(differences.get(node)));
    const isSlow = (node: NodeId): number => Number(raft.progress(node)?.slowDisk ?? false);
    return this.#ports
      .voters()
      .filter((node) => node !== self && this.#ports.isConnected(node))
      .filter((node) => named === undefined || node === named)
      .sort(
        (a, b) => isOff(a) - isOff(b) || isSlow(a) - isSlow(b) || (raft.lag(a) ?? Infinity) - (raft.lag(b) ?? Infinity),
      );
  }
}
