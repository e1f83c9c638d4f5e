import { monotonicMs, timerMsMax } from "../../lib/clock.ts";

/** The timeout of an attempt, counted from its start on the monotonic clock (J4). It can be moved while it has not passed. */
export class Countdown {
  readonly #since = monotonicMs();
  readonly #onEnd: () => void;
  #timeoutMs: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  /** `timeoutMs` undefined: it never ends. */
  constructor(timeoutMs: number | undefined, onEnd: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onEnd = onEnd;
    this.#wait();
  }

  get timeoutMs(): number | undefined {
    return this.#timeoutMs;
  }

  move(timeoutMs: number): void {
    if (this.#stopped) return;
    this.#timeoutMs = timeoutMs;
    this.#wait();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** In steps of what a timer can count. */
  #wait(): void {
    clearTimeout(this.#timer);
    if (this.#timeoutMs === undefined) return;
    const leftMs = this.#since + this.#timeoutMs - monotonicMs();
    this.#timer = setTimeout(
      () => {
        if (this.#since + this.#timeoutMs! > monotonicMs()) return this.#wait();
        this.stop();
        return this.#onEnd();
      },
      Math.min(Math.max(0, Math.ceil(leftMs)), timerMsMax),
    );
  }
}
