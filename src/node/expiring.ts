import { monotonicMs } from "../lib/clock.ts";
import { jobsToExpire } from "../scheduler/expire.ts";
import type { DutyPorts } from "./duties.ts";

/** The time that passes here. */
export interface Timers {
  monotonicMs(): number;
  after(ms: number, run: () => void): void;
}

const ownTimers: Timers = { monotonicMs, after: (ms, run) => void setTimeout(run, ms) };

/** How often old jobs are looked for while there are none. */
const lookEveryMs = 4_000;

/**
 * A duty of the leader: finished jobs that are too old or too many go, some hundreds with each entry, one entry after the other for as long as there are more. Between two
 * it pauses for as long as the last one took, so that forgetting a million jobs leaves half of the time to those who wait for an answer, and keeps up with any
 * rate at which they end.
 */
export class Expiring {
  readonly #ports: Pick<DutyPorts, "view" | "propose" | "now">;
  readonly #timers: Timers;
  #isUnderWay = false;
  /** monotonicMs. */
  #lookAt = 0;

  constructor(ports: Pick<DutyPorts, "view" | "propose" | "now">, timers: Timers = ownTimers) {
    this.#ports = ports;
    this.#timers = timers;
  }

  /** Begins when it is time; goes on by itself for as long as `isLeading` says so and entries are taken. */
  look(isLeading: () => boolean): void {
    if (this.#isUnderWay || this.#timers.monotonicMs() < this.#lookAt || !isLeading()) return;
    this.#step(isLeading);
  }

  #step(isLeading: () => boolean): void {
    const jobs = this.#ports.view((tx) => jobsToExpire(tx, this.#ports.now()));
    this.#isUnderWay = jobs.length > 0;
    if (jobs.length === 0) {
      this.#lookAt = this.#timers.monotonicMs() + lookEveryMs;
      return;
    }
    const begun = this.#timers.monotonicMs();
    void this.#ports.propose("job.expire", { jobs }).then((outcome) => {
      // Nothing: by the log's clock, which may lag behind this one, it is not time yet.
      const isDone = outcome.ok && outcome.value.value.removed > 0;
      this.#timers.after(isDone ? this.#timers.monotonicMs() - begun : 0, () => {
        this.#isUnderWay = false;
        if (isDone && isLeading()) this.#step(isLeading);
      });
    });
  }
}
