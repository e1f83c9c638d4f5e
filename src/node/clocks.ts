import { monotonicMs, wallMs } from "../lib/clock.ts";
import type { Configuration } from "../lib/configuration.ts";
import type { NodeId } from "../lib/ids.ts";
import { clockDifferences, isAhead, isClockOff } from "../scheduler/clock.ts";

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
  /** This node's wall clock less its monotonic one: another one after the wall clock was set. */
  readonly #ownAhead: () => number;
  readonly #monotonic: () => number;
  /** Leader: readings less this node's monotonic clock at their arrival, so that they outlive a jump of its own wall clock, and show it at once. */
  readonly #readings = new Map<NodeId, number[]>();
  #told = new Map<NodeId, number>();
  #leading = false;

  constructor(self: NodeId, wall: () => number = wallMs, monotonic: () => number = monotonicMs) {
    this.#self = self;
    this.#monotonic = monotonic;
    this.#ownAhead = () => wall() - monotonic();
  }

  /** Who was heard in an earlier term may have set its clock since. */
  lead(leading: boolean): void {
    this.#leading = leading;
    this.#readings.clear();
  }

  /** A node said what its clock showed when it asked. */
  heard(node: NodeId, said: unknown): void {
    if (node === this.#self || typeof said !== "number" || !Number.isFinite(said)) return;
    const readings = this.#readings.get(node) ?? [];
    readings.push(said - this.#monotonic());
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
    return clockDifferences(this.#offsets(readingsNeeded));
  }

  /**
   * Leader: of each half of the configuration a majority says that this node's clock is not ahead of theirs, and, where so many are known that
   * there is a middle one, so does that. One reading is enough: on its way it can only have come to look late. A single voter has nobody to ask.
   */
  isConfirmed({ voters, outgoing }: Configuration): boolean {
    const offsets = this.#offsets(1);
    if (offsets.size >= 3 && isAhead(clockDifferences(offsets).get(this.#self))) return false;
    return [voters, outgoing].every((half) => {
      const agreeing = half.filter((node) => offsets.has(node) && !isAhead(-offsets.get(node)!)).length;
      return half.length === 0 || agreeing > half.length / 2;
    });
  }

  /** Of those who were heard so often, and of this node: their clocks less this one's. */
  #offsets(readingsAtLeast: number): Map<NodeId, number> {
    const own = this.#ownAhead();
    const offsets = new Map<NodeId, number>([[this.#self, 0]]);
    for (const [node, readings] of this.#readings) {
      // Travelling makes a clock look late, never early: the one that travelled for the shortest time is the best.
      if (readings.length >= readingsAtLeast) offsets.set(node, Math.max(...readings) - own);
    }
    return offsets;
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
