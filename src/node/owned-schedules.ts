import { monotonicMs } from "../lib/clock.ts";
import type { NodeId } from "../lib/ids.ts";
import { inTurns } from "../lib/turns.ts";
import { OwnerMoves, type Ring } from "../scheduler/owner-moves.ts";
import { listNodes } from "../state/queries.ts";
import { scheduleIds } from "../state/tables/schedule.ts";
import type { ReadTx } from "../state/tx.ts";

/** What counting schedules needs of its node. */
export interface OwnedSchedulesPorts {
  readonly self: NodeId;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  readonly log: (level: "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** Ids between two looks at the time. */
const idsAtOnce = 512;
/** Where schedules were set or removed they are counted again after so long, and not before the last count cost one part in so many of the time. */
const againMs = 2_000;
const restPerCount = 20;
/** So many are named in a line of the log. */
const pairsShown = 6;

/** How many schedules this node works out, and how many have gone from one member to another: for metrics and the log alone, counted beside all else in turns. */
export class OwnedSchedules {
  readonly #ports: OwnedSchedulesPorts;
  #isOn = false;
  /** By what was counted last, and by what it is to be counted; undefined: nothing yet. */
  #counted: Ring | undefined;
  #wanted: Ring | undefined;
  /** Schedules may have been set or removed since. */
  #isStale = false;
  #isCounting = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #countMs = 0;
  #owned: number | null = null;
  #moved = 0;

  constructor(ports: OwnedSchedulesPorts) {
    this.#ports = ports;
  }

  /** null: they have not been counted yet. */
  get owned(): number | null {
    return this.#owned;
  }

  /** Over all members, since this process began. */
  get moved(): number {
    return this.#moved;
  }

  start(): void {
    this.#isOn = true;
  }

  stop(): void {
    this.#isOn = false;
    clearTimeout(this.#timer);
  }

  /** The members are these from now on. */
  onMembers(ring: Ring): void {
    this.#wanted = ring;
    if (this.#isOn) void this.#count();
  }

  /** Some were set or removed, or nobody knows what has become of them. */
  onSchedules(): void {
    if (this.#isStale || !this.#isOn || this.#wanted === undefined) return;
    this.#isStale = true;
    if (!this.#isCounting) this.#countLater();
  }

  #countLater(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#count(), Math.max(againMs, restPerCount * this.#countMs));
  }

  /** One count at a time; what changes meanwhile is counted afterwards, from where this one has come to. */
  async #count(): Promise<void> {
    if (this.#isCounting) return;
    this.#isCounting = true;
    clearTimeout(this.#timer);
    try {
      do {
        this.#isStale = false;
        await this.#countAll(this.#wanted!);
      } while (this.#isOn && this.#wanted !== this.#counted);
    } finally {
      this.#isCounting = false;
    }
    if (this.#isOn && this.#isStale) this.#countLater();
  }

  async #countAll(ring: Ring): Promise<void> {
    const before = this.#counted ?? ring;
    const began = monotonicMs();
    const moves = new OwnerMoves(before, ring);
    await inTurns(this.#pages(moves));
    if (!this.#isOn) return;
    this.#countMs = monotonicMs() - began;
    this.#counted = ring;
    this.#owned = moves.willOwn.get(this.#ports.self) ?? 0;
    this.#moved += moves.moved;
    if (moves.moved > 0) this.#tell(before.members, ring.members, moves);
  }

  *#pages(moves: OwnerMoves): Generator<undefined, void, undefined> {
    for (let last = 0; this.#isOn;) {
      const from = last;
      const ids = this.#ports.view((tx) => scheduleIds(tx, from, idsAtOnce));
      moves.add(ids);
      if (ids.length < idsAtOnce) return;
      last = ids.at(-1)!;
      yield;
    }
  }

  #tell(before: readonly NodeId[], after: readonly NodeId[], moves: OwnerMoves): void {
    const names = new Map(this.#ports.view(listNodes).map(({ id, name }) => [id, name]));
    const nameOf = (id: NodeId): string => names.get(id) ?? `node ${id}`;
    const { pairs, schedules, moved, needless } = moves;
    const shown = pairs
      .slice(0, pairsShown)
      .map(([from, to, count]) => `${count} from ${nameOf(from)} to ${nameOf(to)}`);
    if (pairs.length > shown.length) shown.push(`and ${pairs.length - shown.length} more`);
    this.#ports.log(
      "info",
      `${moved} of ${schedules} schedules are worked out by other members now: ${shown.join(", ")}`,
      {
        before,
        after,
        moved,
        needless,
      },
    );
  }
}
