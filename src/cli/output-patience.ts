/**
 * How long the rest of a job's output is waited for once the job is over: until nothing has come for so long. What is being written to somebody who reads slowly
 * has come, so the time does not run meanwhile.
 */
export class OutputPatience {
  readonly #ms: number;
  readonly #onEnd: () => void;
  /** Pieces that are being written. */
  #writing = 0;
  #isRunning = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number, onEnd: () => void) {
    this.#ms = ms;
    this.#onEnd = onEnd;
  }

  /** The job is over. */
  begin(): void {
    this.#isRunning = true;
    this.#restart();
  }

  /** A piece has come. */
  came(): void {
    this.#writing += 1;
    clearTimeout(this.#timer);
  }

  /** It is written. */
  written(): void {
    this.#writing -= 1;
    this.#restart();
  }

  end(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
  }

  #restart(): void {
    clearTimeout(this.#timer);
    if (this.#isRunning && this.#writing === 0) this.#timer = setTimeout(this.#onEnd, this.#ms);
  }
}
