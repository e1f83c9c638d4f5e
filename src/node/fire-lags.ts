import type { AppliedEvent, FireLagCounts } from "./api.ts";

/** Upper bounds of the buckets, seconds. */
const bounds = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600] as const;

/** How late schedules fire, as this node has applied it: each node sees all fires of the mesh. */
export class FireLags {
  readonly #buckets = bounds.map(() => 0);
  #sum = 0;
  #count = 0;

  onApplied(events: readonly AppliedEvent[]): void {
    for (const { changes } of events)
      for (const change of changes) if (change.topic === "schedule" && change.kind === "fired") this.#add(change.lagMs);
  }

  #add(lagMs: number): void {
    const seconds = lagMs / 1000;
    const bucket = bounds.findIndex((bound) => seconds <= bound);
    if (bucket !== -1) this.#buckets[bucket]! += 1;
    this.#sum += seconds;
    this.#count += 1;
  }

  /** Since this process began; buckets as Prometheus has them, each with those of the smaller ones. */
  get counts(): FireLagCounts {
    let below = 0;
    const buckets = bounds.map((bound, at) => [bound, (below += this.#buckets[at]!)] as const);
    return { buckets, sum: this.#sum, count: this.#count };
  }
}
