/**
 * What may start (J1, J3): an attempt needs a lease that names its assignment, and that goes on. What it names was committed, and the node has applied that
 * far, so whatever took the attempt away again would be known.
 */
export class Lease {
  #endsAt = -Infinity;
  #index = 0;

  /** `endsAt` on monotonicMs(); grants that were overtaken by a newer one change nothing. */
  grant(endsAt: number, index: number): void {
    this.#endsAt = Math.max(this.#endsAt, endsAt);
    this.#index = Math.max(this.#index, index);
  }

  /** It names that as well, and ends when it did. */
  cover(index: number): void {
    this.#index = Math.max(this.#index, index);
  }

  get endsAt(): number {
    return this.#endsAt;
  }

  covers(fence: number, now: number): boolean {
    return now < this.#endsAt && fence <= this.#index;
  }
}
