import { monotonicMs } from "../../lib/clock.ts";
import { sinceBootMs } from "./processes.ts";

/**
 * Notices that the host was asleep: monotonicMs() stands still meanwhile, the clock since boot goes on. A stopped process or a busy host is
 * not taken for it, because both clocks go on then. Where the clock since boot is unknown nothing is noticed.
 */
export class SleepWatch {
  readonly #sinceBootMs: () => number | undefined;
  /** How far the clock since boot was seen ahead. */
  #aheadMs: number;

  constructor(clock: () => number | undefined = sinceBootMs) {
    this.#sinceBootMs = clock;
    this.#aheadMs = this.#read();
  }

  /** True once after each sleep. Takes some microseconds. */
  hasSlept(): boolean {
    const aheadMs = this.#read();
    const slept = aheadMs > this.#aheadMs + noiseMs;
    this.#aheadMs = Math.max(this.#aheadMs, aheadMs);
    return slept;
  }

  /** In this order: what comes between the two readings can only make it less. */
  #read(): number {
    const boot = this.#sinceBootMs();
    return boot === undefined ? 0 : boot - monotonicMs();
  }
}

/** The clock since boot has steps of 10 ms, and this process may have waited between the first two readings. */
const noiseMs = 500;
