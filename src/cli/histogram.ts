/** Each bucket is this much wider than the one before: a percentile is at most 1 % too high. */
const growth = 1.01;
const bucketsMax = 3000;
/** The first bucket ends here, in milliseconds. */
const firstMs = 0.001;

/** Latencies in buckets of growing width: bounded memory, percentiles within 1 %. */
export class Histogram {
  readonly #buckets = new Float64Array(bucketsMax);
  #count = 0;
  #maxMs = 0;

  add(latencyMs: number): void {
    const bucket = Math.ceil(Math.log(Math.max(latencyMs, firstMs) / firstMs) / Math.log(growth));
    this.#buckets[Math.min(bucket, bucketsMax - 1)]! += 1;
    this.#count += 1;
    if (latencyMs > this.#maxMs) this.#maxMs = latencyMs;
  }

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#maxMs;
  }

  /** Milliseconds that `share` (0..1) of the values do not exceed; 0 without values. */
  percentile(share: number): number {
    let left = share * this.#count;
    for (let bucket = 0; bucket < bucketsMax && this.#count > 0; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(firstMs * growth ** bucket, this.#maxMs);
    }
    return this.#maxMs;
  }
}
