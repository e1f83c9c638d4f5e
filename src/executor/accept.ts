/**
 * What may start (J3): an attempt needs a lease that was granted after it was assigned, and that goes on. The grant names the leader's commit
 * index at that time; the node has applied that far, so whatever took the attempt away again would be known.
 */
export class Lease {
  #endsAt = -Infinity;
  #index = 0;

  /** `endsAt` on monotonicMs(); grants that were overtaken by a newer one change nothing. */
  grant(endsAt: number, index: number): void {
    this.#endsAt = Math.max(this.#endsAt, endsAt);
    this.#index = Math.max(this.#index, index);
  }

  get endsAt(): number {
    return this.#endsAt;
  }

  covers(fence: number, now: number): boolean {
    return now < this.#endsAt && fence <= this.#index;
  }
}
