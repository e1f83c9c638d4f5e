import { monotonicMs } from "../../lib/clock.ts";

/**
 * The deadline of all work here (J3). It is looked at before anything else is done, not only when its timer fires: a host that was
 * frozen past the deadline wakes up with the timer and with frames from before the freeze in any order, and must kill
 * first.
 */
export class GuardLease {
  readonly #onEnded: () => void;
  #endsAt = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onEnded` is called once per lease that ended; it is not called before the first one. */
  constructor(onEnded: () => void) {
    this.#onEnded = onEnded;
  }

  /** Ends the lease if its time has come. True while it goes on. */
  check(): boolean {
    if (monotonicMs() < this.#endsAt) return true;
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#onEnded();
    }
    return false;
  }

  /** Moves the deadline, on monotonicMs(), never back. One that has passed already grants nothing. */
  renew(endsAt: number): void {
    this.check();
    if (endsAt <= this.#endsAt || endsAt <= monotonicMs()) return;
    this.#endsAt = endsAt;
    this.#wait();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    // A timer may fire a fraction early; then it is set again for the rest.
    this.#timer = setTimeout(
      () => {
        if (this.check()) this.#wait();
      },
      Math.ceil(this.#endsAt - monotonicMs()),
    );
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
