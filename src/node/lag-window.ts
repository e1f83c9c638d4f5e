/**
 * Who is not further behind than so many milliseconds? Remembers how long the leader's log was at moments of the last while: a
 * node that has what the log held `windowMs` ago lags by less than that. All times are monotonic.
 */
export class LagWindow {
  readonly #windowMs: number;
  /** Oldest first; the first one is the newest that is old enough. */
  #samples: { readonly at: number; readonly lastIndex: number }[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** The index that a node must have at `now`. */
  required(now: number, lastIndex: number): number {
    const samples = this.#samples;
    if (samples.length === 0 || now - samples[samples.length - 1]!.at >= this.#windowMs / 10) {
      samples.push({ at: now, lastIndex });
    }
    while (samples.length > 1 && now - samples[1]!.at >= this.#windowMs) samples.shift();
    const oldest = samples[0]!;
    return now - oldest.at >= this.#windowMs ? oldest.lastIndex : 0;
  }

  clear(): void {
    this.#samples = [];
  }
}
