import { monotonicMs } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { SleepWatch } from "./sleep-watch.ts";

/**
 * The deadline of all work here (J3). It is looked at before anything else is done, not only when its timer fires: a host that was
 * frozen past the deadline wakes up with the timer and with frames from before the freeze in any order, and must kill
 * first. A host that slept cannot tell how much of the lease went by on the others' clocks: its lease has ended.
 */
export class GuardLease {
  readonly #onEnded: () => void;
  readonly #sleep: SleepWatch;
  #endsAt = -Infinity;
  /** Leases that were asked for before this moment were asked for before the host slept. */
  #wokeAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onEnded` is called once per lease that ended; it is not called before the first one. */
  constructor(onEnded: () => void, sleep = new SleepWatch()) {
    this.#onEnded = onEnded;
    this.#sleep = sleep;
  }

  /** Ends the lease if its time has come. True while it goes on. */
  check(): boolean {
    if (this.#sleep.hasSlept()) {
      this.#wokeAt = monotonicMs();
      this.#endsAt = -Infinity;
    }
    if (monotonicMs() < this.#endsAt) return true;
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#onEnded();
    }
    return false;
  }

  /** Moves the deadline, on monotonicMs(), never back. One that has passed already, or was asked for before a sleep, grants nothing. */
  renew(endsAt: number): void {
    this.check();
    if (endsAt <= this.#endsAt || endsAt <= monotonicMs() || endsAt - limits.leaseMs < this.#wokeAt) return;
    this.#endsAt = endsAt;
    this.#wait();
  }

  /** In steps: a timer counts on monotonicMs() too, and would fire late by as long as the host slept. */
  #wait(): void {
    clearTimeout(this.#timer);
    // A timer may fire a fraction early; then it is set again for the rest.
    this.#timer = setTimeout(
      () => {
        if (this.check()) this.#wait();
      },
      Math.min(checkEveryMs, Math.ceil(this.#endsAt - monotonicMs())),
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const checkEveryMs = 1000;
