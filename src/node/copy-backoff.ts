import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { limits } from "../lib/limits.ts";

export interface CopyBackoffPorts {
  log(level: "info" | "warn", message: string): void;
  /** Milliseconds; absent: the system's monotonic clock. */
  readonly now?: () => number;
}

/** Who needs a snapshot asks again within seconds: a trouble that nobody asked about for so long is nobody's any more. */
const askedWithinMs = 20_000;

/**
 * Copies of the state for other members, when this node's disk has no room for them (storage/copy-guard.ts): who needs one asks for it again each second, and each
 * attempt may cost as much as a copy. So after one that failed the next ones are refused with the same words, for longer each time. People are told once.
 */
export class CopyBackoff {
  readonly #ports: CopyBackoffPorts;
  readonly #now: () => number;
  #why: Fault | undefined;
  #waitMs = 0;
  #notBefore = 0;
  #askedAt = -Infinity;

  constructor(ports: CopyBackoffPorts) {
    this.#ports = ports;
    this.#now = ports.now ?? monotonicMs;
  }

  /** Why no copy can be made for somebody who asks for one; undefined: it can, or nobody asks. */
  get trouble(): string | undefined {
    return this.#now() - this.#askedAt > askedWithinMs ? undefined : this.#why?.message;
  }

  /** Rejects as `copy` does, or did last. */
  async run<Value>(copy: () => Promise<Value>): Promise<Value> {
    this.#askedAt = this.#now();
    if (this.#why !== undefined && this.#now() < this.#notBefore) throw this.#why;
    try {
      const value = await copy();
      if (this.#why !== undefined) this.#ports.log("info", "a copy of the state could be made again");
      this.#why = undefined;
      this.#waitMs = 0;
      return value;
    } catch (error) {
      if (error instanceof Fault && isDisk(error)) this.#failed(error);
      throw error;
    }
  }

  #failed(error: Fault): void {
    const mostMs = limits.copyRetryMostMs;
    this.#waitMs = Math.min(mostMs, this.#waitMs === 0 ? limits.copyRetryMs : 2 * this.#waitMs);
    this.#notBefore = this.#now() + this.#waitMs;
    const isNews = this.#why?.code !== error.code;
    this.#why = error;
    if (!isNews) return;
    const again = `it is tried again, in the end every ${mostMs / 1000} s`;
    this.#ports.log("warn", `no member can be given the state of this node: ${error.message}; ${again}`);
  }
}

/** Has been told to people by {@link CopyBackoff}. */
export function isDisk(error: Fault): boolean {
  return error.code === "disk-full" || error.code === "disk";
}
