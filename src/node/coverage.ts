import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import type { LeaseTable } from "./lease.ts";

/** What handing on needs of the leader. */
export interface CoveragePorts {
  readonly self: NodeId;
  readonly leases: Pick<LeaseTable, "isFresh" | "coveredTo" | "cover">;
  isLeading(): boolean;
  /** Of this node's log. */
  lastIndex(): number;
  /** Entries up to there are committed. */
  committed(): number;
  /** Entries up to there are on that node's disk, by its own word to this leader; undefined: it gives none. */
  stored(node: NodeId): number | undefined;
  /** A node.lost of the node may be in the log, or on its way there. */
  isLosing(node: NodeId): boolean;
  /** The largest index that its lease may name while something is taken back from it (recalls.ts). */
  ceiling(node: NodeId, index: number): number;
  /** Tells the node that its lease names that index; fails when that is not known to have reached it. */
  tell(node: NodeId, index: number): Promise<unknown>;
}

/** Entries that assign something to a node, as far as it was not told that its lease names them. */
interface Expected {
  first: number;
  last: number;
}

/**
 * The leader's side of a shorter way to the start of a task. An attempt begins under a lease that names its fence (J1), and a lease that was asked for
 * before the attempt was assigned cannot: its node would have to ask anew once it has applied the assignment, and wait for a round trip and for the round
 * by which the leader confirms that it leads. Instead the leader tells it, as soon as the assignment is committed and the node has stored it, that the
 * lease it has names that entry.
 *
 * Why that is as good as a lease that was asked for. A lease says two things: until when, and up to which fence.
 * - *Until when* is left as it is: it is counted from when the node asked, and only asking moves it. So nothing of J3 and J4 is touched: whenever a
 *   node.lost is logged, by whichever leader, the leases of before have ended (lease.ts).
 * - *Up to which fence* keeps the leader from taking back what may have begun (recalls.ts). What is named here is noted before it is told, in the same
 *   step in which it is asked what may be named, as with a lease (grant.ts). So this leader never takes back what it has named, and never names what it
 *   takes back before it names that it did; what it names to a node never falls. A later leader need not know of it: the entry was committed before its
 *   election, so it is in its log, and what was in its log when it was elected it counts as begun. Nor need this one know what an earlier one took back: the
 *   entry named is of its own term, after all of that. Therefore it does not matter whether this node still
 *   leads when the word leaves, how long it is on its way, or how often it is said; it is about an entry that is committed, which no confirmation makes truer.
 * - A node believes a lease only when it has applied what that names, and so with this: whatever was taken from it before, it knows.
 *
 * Only to those whose word it is that they have stored the entry: who does not hear of it, or is not heard, has not begun it, and it can be taken back at
 * once. Who is not told, or not in time, asks.
 */
export class Coverage {
  readonly #ports: CoveragePorts;
  readonly #expected = new Map<NodeId, Expected>();
  /** Nodes that have not answered: one word to each at a time, which says what has gathered meanwhile. */
  readonly #telling = new Set<NodeId>();
  /** Nodes that do not know what they are told. */
  readonly #deaf = new Set<NodeId>();

  constructor(ports: CoveragePorts) {
    this.#ports = ports;
  }

  /** Another term has begun, or this one is over. */
  clear(): void {
    this.#expected.clear();
    this.#telling.clear();
    this.#deaf.clear();
  }

  /** The next entry is to assign something to these. A wrong guess costs a word: what is named is committed in any case. */
  expect(nodes: Iterable<NodeId>): void {
    const next = this.#ports.lastIndex() + 1;
    for (const node of nodes) {
      const expected = this.#expected.get(node);
      if (expected !== undefined) expected.last = next;
      else if (!this.#deaf.has(node)) this.#expected.set(node, { first: next, last: next });
    }
  }

  /** Something may have been committed, or stored by one of them. */
  look(): void {
    if (this.#expected.size === 0 || !this.#ports.isLeading()) return;
    const committed = this.#ports.committed();
    for (const [node, expected] of this.#expected) {
      const stored = node === this.#ports.self ? committed : this.#ports.stored(node);
      if (stored === undefined) this.#expected.delete(node);
      else if (!this.#telling.has(node)) this.#name(node, expected, Math.min(committed, stored));
    }
  }

  #name(node: NodeId, expected: Expected, known: number): void {
    const { first } = expected;
    if (known < first) return;
    if (known >= expected.last) this.#expected.delete(node);
    else expected.first = expected.last;
    const { leases } = this.#ports;
    if (known <= leases.coveredTo(node) || !leases.isFresh(node) || this.#ports.isLosing(node)) return;
    const index = this.#ports.ceiling(node, known);
    if (index < first) return; // it would be told nothing that it waits for
    leases.cover(node, index);
    void this.#tell(node, index);
  }

  async #tell(node: NodeId, index: number): Promise<void> {
    this.#telling.add(node);
    try {
      await this.#ports.tell(node, index);
    } catch (error) {
      // It asks by itself. A release of before will not know the next word either.
      if (error instanceof Fault && error.retry === "never") this.#deaf.add(node);
    }
    this.#telling.delete(node);
    this.look();
  }
}
