import { createHash } from "node:crypto";

const pointsEach = 32;

/**
 * The hash ring of OpenStack's tooz (`tooz.hashring.HashRing(members)`), point by point: for whoever comes from there and wants to see where their things would be, and what a change of the
 * members would move. Nothing that runs goes by it.
 */
export class ToozRing {
  /** Ascending; hexadecimal digits of one length, so that text is in the order of numbers. */
  readonly #points: readonly string[];
  /** Whose each point is, by its place. */
  readonly #members: readonly string[];

  constructor(members: readonly string[]) {
    const points = new Map<string, string>();
    for (const member of members) {
      const running = createHash("md5").update(member);
      for (let point = 0; point < pointsEach; point++) {
        running.update(member);
        points.set(running.copy().digest("hex"), member);
      }
    }
    const sorted = [...points].toSorted(([a], [b]) => (a < b ? -1 : 1));
    this.#points = sorted.map(([point]) => point);
    this.#members = sorted.map(([, member]) => member);
  }

  get size(): number {
    return this.#points.length;
  }

  /** undefined: there are no members. */
  of(key: string): string | undefined {
    return this.behind(toozPoint(key));
  }

  /** The member of the first point behind that one. */
  behind(at: string): string | undefined {
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (at < this.#points[middle]!) high = middle;
      else low = middle + 1;
    }
    return this.#members[low] ?? this.#members[0];
  }
}

/** Where a key is, on every ring. */
export function toozPoint(key: string): string {
  return createHash("md5").update(key).digest("hex");
}
