import { limits } from "../lib/limits.ts";
import { clusterRow, type Timing, timingOf } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";

/** What the cluster has agreed on for all its nodes, as far as this one has applied. */
export class Settings {
  readonly #ownLevel: number;
  readonly #view: <Value>(query: (tx: ReadTx) => Value) => Value;
  #level: number;
  #timing: Timing;

  /** `ownLevel`: the newest that this node understands, which holds until the log says which one is in force. */
  constructor(ownLevel: number, view: <Value>(query: (tx: ReadTx) => Value) => Value) {
    this.#ownLevel = ownLevel;
    this.#view = view;
    this.#level = this.#readLevel();
    this.#timing = view(timingOf);
  }

  /** Of commands and state (S2). */
  get level(): number {
    return this.#level;
  }

  /** Heartbeats and elections, in the unit that the machine of consensus counts. */
  get ticks(): { readonly heartbeatTicks: number; readonly electionTicks: number } {
    const { heartbeatMs, electionTimeoutMs } = this.#timing;
    return { heartbeatTicks: heartbeatMs / limits.tickMs, electionTicks: electionTimeoutMs / limits.tickMs };
  }

  /** Takes them from the state. True when {@link ticks} are others now. */
  read(): boolean {
    this.#level = this.#readLevel();
    const { heartbeatMs, electionTimeoutMs } = this.#timing;
    this.#timing = this.#view(timingOf);
    return this.#timing.heartbeatMs !== heartbeatMs || this.#timing.electionTimeoutMs !== electionTimeoutMs;
  }

  #readLevel(): number {
    return this.#view(clusterRow)?.level ?? this.#ownLevel;
  }
}
