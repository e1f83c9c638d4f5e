import type { NodeId } from "../lib/ids.ts";

/** Who owns what, by whatever rule. */
export interface Ring {
  readonly members: readonly NodeId[];
  of(schedule: number): NodeId | undefined;
}

/** Of how many schedules the owner is another one, where the list of members is another one: added up over ids as they are read. */
export class OwnerMoves {
  readonly #before: Ring;
  readonly #after: Ring;
  #schedules = 0;
  #moved = 0;
  /** How many each has, and how many each will have. */
  readonly owned = new Map<NodeId, number>();
  readonly willOwn = new Map<NodeId, number>();
  readonly #pairs = new Map<NodeId, Map<NodeId, number>>();

  constructor(before: Ring, after: Ring) {
    this.#before = before;
    this.#after = after;
  }

  add(schedules: Iterable<number>): this {
    for (const id of schedules) {
      const from = this.#before.of(id);
      const to = this.#after === this.#before ? from : this.#after.of(id);
      this.#schedules += 1;
      if (from !== undefined) countOne(this.owned, from);
      if (to !== undefined) countOne(this.willOwn, to);
      if (from === to) continue;
      this.#moved += 1;
      if (from === undefined || to === undefined) continue;
      const pairs = this.#pairs.get(from) ?? new Map<NodeId, number>();
      this.#pairs.set(from, pairs);
      countOne(pairs, to);
    }
    return this;
  }

  get schedules(): number {
    return this.#schedules;
  }

  get moved(): number {
    return this.#moved;
  }

  /** From whom to whom, most first. */
  get pairs(): readonly (readonly [from: NodeId, to: NodeId, schedules: number])[] {
    const pairs = [...this.#pairs].flatMap(([from, to]) => [...to].map(([id, count]) => [from, id, count] as const));
    return pairs.toSorted((a, b) => b[2] - a[2] || a[0] - b[0] || a[1] - b[1]);
  }

  /** Between two that were there before and stay: nothing is gained by these. */
  get needless(): number {
    const [before, after] = [new Set(this.#before.members), new Set(this.#after.members)];
    return this.pairs.reduce((sum, [from, to, count]) => sum + (after.has(from) && before.has(to) ? count : 0), 0);
  }
}

/** The share of all that has to move, where everybody has as many before and afterwards: what leaves with its owner, and what those that stay have too many of. */
export function idealMoved(before: readonly NodeId[], after: readonly NodeId[]): number {
  if (before.length === 0) return after.length === 0 ? 0 : 1;
  const staying = before.filter((id) => after.includes(id)).length;
  if (after.length === 0) return 1;
  return (before.length - staying) / before.length + staying * Math.max(0, 1 / before.length - 1 / after.length);
}

/** How much more than everybody's share the one has that has most; null: there is nothing to have. */
export function maxOverMean(counts: readonly number[]): number | null {
  const sum = counts.reduce((all, count) => all + count, 0);
  return sum === 0 ? null : (Math.max(...counts) * counts.length) / sum;
}

function countOne(counts: Map<NodeId, number>, id: NodeId): void {
  counts.set(id, (counts.get(id) ?? 0) + 1);
}
