import type { NodeId } from "../lib/ids.ts";
import { nobody } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { monotonicMs } from "../lib/clock.ts";
import type { ClockNews } from "./clocks.ts";

/**
 * Leases (J3, J4). A node may run work only while it holds one. It asks the leader every leaseRenewMs, and at once when new
 * assignments wait that the leader has not added to the one it has (coverage.ts); the leader confirms that it still leads *after* the request came, so a deposed leader grants
 * nothing. The node counts leaseMs from sending; the leader counts lostAfterMs from its grant, which is later. Hence:
 * end of the lease at the node < earliest node.lost of the leader.
 */
export interface LeasePorts {
  leader(): NodeId;
  isLeading(): boolean;
  /** By rpc; undefined: not granted (not leading, or the node is declared lost). */
  askLeader(leader: NodeId): Promise<LeaseGrant | undefined>;
  /** The same on this node, when it leads. */
  grantSelf(): Promise<LeaseGrant | undefined>;
  waitApplied(index: number, deadline: number): Promise<boolean>;
  /** Of this node's state. */
  applied(): number;
  /** The executor learns that it may run assignments with fence <= index until endsAt (monotonicMs). */
  granted(endsAt: number, index: number): void;
  /** And so far as well, for as long as it may. */
  covered(index: number): void;
  /** The state says that this node was declared lost, or does not know it: it must announce itself again. */
  onDeclaredLost(): void;
}

export type LeaseGrant =
  | { readonly kind: "granted"; readonly index: number; readonly clock?: ClockNews | undefined }
  | { readonly kind: "lost" };

/**
 * The asking side. Wishes that come while a request is under way are served by the next one; a renewal that is due and a new
 * leader wait for no answer, since the old leader may be frozen: its answer would come when the lease is over. A late
 * grant is taken all the same, because it is counted from when it was asked for.
 */
export class LeaseHolder {
  readonly #ports: LeasePorts;
  /** The newest run of #ask, which alone goes on asking. */
  #run = 0;
  #asking = false;
  #wanted = false;
  #endsAt = 0;
  /** What the leader named for the present lease and is not applied yet, in the order in which it was told. */
  #named: number[] = [];
  /** Who needs a lease now is about to have it. */
  #holdsBack = false;
  /** Set between start() and stop(): nothing is asked for before this node knows what it holds. */
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: LeasePorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#timer = setInterval(() => this.renew(), limits.leaseRenewMs);
    this.want();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#named = [];
  }

  /** Milliseconds left, 0 when there is none. */
  leftMs(): number {
    return Math.max(0, this.#endsAt - monotonicMs());
  }

  /** Asks, after the request under way if there is one. */
  want(): void {
    if (this.#timer === undefined || this.#holdsBack) return;
    this.#wanted = true;
    if (!this.#asking) void this.#ask();
  }

  /** Asks now, whatever is still owed. At most one request per renewal and change of leader is added. */
  renew(): void {
    this.#asking = false;
    this.want();
  }

  /**
   * The leader says that the lease names this, too (coverage.ts). Like an index that was asked for it counts once this node has applied it and has done
   * what those entries say: never in the middle of that.
   */
  cover(index: number): void {
    if (this.#timer === undefined) return;
    // Of more than fit in here the newest says it all, a little later.
    if (this.#named.length === limits.coversPending) this.#named.pop();
    this.#named.push(index);
    if (this.#isReached) queueMicrotask(() => this.#release());
  }

  /** Entries were applied, and `work` does what they say: what they take away is gone before what they reach is covered, and what they bring need not ask then. */
  onApplied(work: () => void): void {
    this.#holdsBack = this.#isReached;
    work();
    this.#holdsBack = false;
    this.#release();
  }

  get #isReached(): boolean {
    return this.#named.length > 0 && Math.min(...this.#named) <= this.#ports.applied();
  }

  #release(): void {
    if (!this.#isReached) return;
    const applied = this.#ports.applied();
    const reached = this.#named.filter((index) => index <= applied);
    this.#named = this.#named.filter((index) => index > applied);
    this.#ports.covered(Math.max(...reached));
  }

  async #ask(): Promise<void> {
    this.#asking = true;
    this.#run += 1;
    const run = this.#run;
    while (this.#wanted && run === this.#run) {
      this.#wanted = false;
      const leader = this.#ports.leader();
      if (leader === nobody) break; // the next tick, or the new leader, asks again
      const sentAt = monotonicMs();
      try {
        const grant = this.#ports.isLeading() ? await this.#ports.grantSelf() : await this.#ports.askLeader(leader);
        if (grant?.kind === "lost") this.#ports.onDeclaredLost();
        if (grant?.kind === "granted") await this.#take(sentAt + limits.leaseMs, grant.index);
      } catch {
        // Unreachable: the renewal that follows in leaseRenewMs, or the change of leader, is the retry.
      }
    }
    if (run === this.#run) this.#asking = false;
  }

  async #take(endsAt: number, index: number): Promise<void> {
    this.#endsAt = Math.max(this.#endsAt, endsAt);
    // Only with the state that the grant names does this node know what was taken from it before the grant.
    if (await this.#ports.waitApplied(index, endsAt)) this.#ports.granted(endsAt, index);
  }
}

/** The leader's side: when each node's lease was last granted, forgotten with the leadership. */
export class LeaseTable {
  readonly #grantedAt = new Map<NodeId, number>();
  /** From when on a node's silence counts: its last grant, or when it announced itself (it could not ask before). */
  readonly #quietSince = new Map<NodeId, number>();
  /** Nodes that were there at the last look; undefined: there was none since the election. */
  #met: ReadonlySet<NodeId> | undefined;
  #electedAt = 0;
  /** The largest index that a lease of the node names. */
  readonly #coveredTo = new Map<NodeId, number>();
  #electedIndex = 0;

  /** `lastIndex`: of its log. All that earlier leaders committed is in it, so no lease of theirs names a later one. */
  elected(lastIndex: number): void {
    this.#grantedAt.clear();
    this.#quietSince.clear();
    this.#met = undefined;
    this.#coveredTo.clear();
    this.#electedAt = monotonicMs();
    this.#electedIndex = lastIndex;
  }

  get electedAt(): number {
    return this.#electedAt;
  }

  /** `index`: what the lease names. */
  grant(node: NodeId, index: number): void {
    const now = monotonicMs();
    this.#grantedAt.set(node, now);
    this.#quietSince.set(node, now);
    this.cover(node, index);
  }

  /** The lease that the node has names this as well. It was no sign of life. */
  cover(node: NodeId, index: number): void {
    this.#coveredTo.set(node, Math.max(this.coveredTo(node), index));
  }

  /** No lease of the node covers an attempt with a later fence than this: it has not begun any such. */
  coveredTo(node: NodeId): number {
    return this.#coveredTo.get(node) ?? this.#electedIndex;
  }

  /** The node has announced itself through the log: it has the whole time again to ask for a lease. */
  announced(node: NodeId): void {
    this.#quietSince.set(node, monotonicMs());
  }

  /** These are there by the state, which may know of a node before this table is told that it was let in: its silence counts from now on, and not from the election. */
  meet(nodes: readonly NodeId[]): void {
    const before = this.#met;
    this.#met = new Set(nodes);
    if (before === undefined) return;
    for (const node of nodes) if (!before.has(node) && !this.#quietSince.has(node)) this.announced(node);
  }

  forget(node: NodeId): void {
    this.#grantedAt.delete(node);
  }

  /** Node -> monotonicMs since when it has been silent under this leader; absent: since the election. */
  get quietSince(): ReadonlyMap<NodeId, number> {
    return this.#quietSince;
  }

  /** Milliseconds until the node's lease ends, counted from its grant; 0 when it has none. */
  leftMs(node: NodeId): number {
    const at = this.#grantedAt.get(node);
    return at === undefined ? 0 : Math.max(0, Math.round(at + limits.leaseMs - monotonicMs()));
  }

  /** The node renewed lately enough to be given work. */
  isFresh(node: NodeId): boolean {
    const at = this.#grantedAt.get(node);
    return at !== undefined && monotonicMs() - at < limits.leaseMs;
  }
}
