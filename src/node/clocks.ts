import type { NodeId } from "../lib/ids.ts";
import { clockDifferences, isClockOff } from "../scheduler/clock.ts";

/** Of each node the newest so many readings are kept. */
const readingsKept = 4;
/** Fewer are no ground for a judgement: one may have waited in a queue for long. */
const readingsNeeded = 2;

/** What a leader tells with a lease: how far the asker's wall clock is from the median, and whose are off (J4). */
export interface ClockNews {
  readonly own: number | null;
  readonly off: readonly (readonly [node: NodeId, differenceMs: number])[];
}

/** The members' wall clocks as this node knows them: as the leader by what they say with their leases, else by what the leader tells. */
export class Clocks {
  readonly #self: NodeId;
  /** Leader: readings less this node's own clock at their arrival. */
  readonly #readings = new Map<NodeId, number[]>();
  #told = new Map<NodeId, number>();
  #leading = false;

  constructor(self: NodeId) {
    this.#self = self;
  }

  /** Readings are against this node's clock, which may have been set since it led before. */
  lead(leading: boolean): void {
    this.#leading = leading;
    this.#readings.clear();
  }

  /** A node said what its clock showed when it asked; `now` is what this node's shows. */
  heard(node: NodeId, said: unknown, now: number): void {
    if (node === this.#self || typeof said !== "number" || !Number.isFinite(said)) return;
    const readings = this.#readings.get(node) ?? [];
    readings.push(said - now);
    if (readings.length > readingsKept) readings.shift();
    this.#readings.set(node, readings);
  }

  /** Who is silent has no say in the median. */
  keepOnly(isAlive: (node: NodeId) => boolean): void {
    for (const node of this.#readings.keys()) if (!isAlive(node)) this.#readings.delete(node);
  }

  /** The leader's word. */
  tell(news: ClockNews | undefined): void {
    if (news === undefined) return;
    this.#told = new Map(news.off);
    if (news.own !== null) this.#told.set(this.#self, news.own);
  }

  /** Difference from the median, of those of whom it is known here: all of the living to the leader, the ones that are off to the others. */
  differences(): ReadonlyMap<NodeId, number> {
    if (!this.#leading) return this.#told;
    const offsets = new Map<NodeId, number>([[this.#self, 0]]);
    for (const [node, readings] of this.#readings) {
      // Travelling makes a clock look late, never early: the one that travelled for the shortest time is the best.
      if (readings.length >= readingsNeeded) offsets.set(node, Math.max(...readings));
    }
    return clockDifferences(offsets);
  }

  /** For the node's answer to a wish for a lease. */
  newsFor(node: NodeId): ClockNews {
    const differences = this.differences();
    return {
      own: differences.get(node) ?? null,
      off: [...differences].filter(([, differenceMs]) => isClockOff(differenceMs)),
    };
  }
}
