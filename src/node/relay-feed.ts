import { monotonicMs } from "../lib/clock.ts";
import type { Configuration } from "../lib/configuration.ts";
import { Fault } from "../lib/fault.ts";
import { index as toIndex, type Index, type NodeId, term as toTerm, type Term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Entry } from "../raft/types.ts";
import type { EntryChain } from "./relay-chain.ts";
import type { FeedRefusal, Pull, PullAnswer } from "./relay-frames.ts";
import { isRelaying, makeRoom, mayFeed, type RelayLimits } from "./relay-tree.ts";

export interface FeederPorts {
  readonly self: NodeId;
  readonly limits: RelayLimits;
  readonly chain: EntryChain;
  configuration(): Configuration;
  /** Up to here it is committed, and its chain value known. */
  end(): number;
  /** Entries of [from, to); undefined: compacted. Throws Fault. */
  committedFrom(
    from: Index,
    to: Index,
    maxBytes: number,
  ): { readonly previousTerm: Term; readonly entries: readonly Entry[] } | undefined;
  isEvicted(at: Index): boolean;
  leadership(): { readonly term: Term; readonly leader: NodeId };
  /** Since the leader was heard; see FeederNews. */
  ageMs(): number;
  /** From this node's feeder to its root; empty for a voter. */
  path(): readonly NodeId[];
  /** That learner lacks what is compacted here. */
  wantSnapshot(child: NodeId): void;
}

/** A child that is not waiting and was not heard for this long is gone. */
const childGoneMs = 2 * limits.relaySilenceMs;
/** Reads of the log's file in one round: those who are at the end of the log must not wait for those who are far behind. */
const diskReadsPerFlush = 2;

interface Child {
  heardAt: number;
  after: number;
  /** Its question that waits for something to tell. */
  waiting:
    | { readonly chain: string; readonly answer: (answer: PullAnswer) => void; readonly since: number }
    | undefined;
}

/**
 * The feeding side: learners ask for what comes after what they have, and the question waits here until there is something, at most
 * limits.relayIdleMs. One question of each child is under way, so what is in flight is bounded by one answer each, and a child that cannot keep
 * up asks less often. What was committed within limits.relayFlushMs goes down together, encoded once for all who are at the same place.
 */
export class RelayFeeder {
  readonly #ports: FeederPorts;
  readonly #children = new Map<NodeId, Child>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerAt = Infinity;
  #flushedAt = -Infinity;
  #hasNews = false;
  #stopped = false;

  constructor(ports: FeederPorts) {
    this.#ports = ports;
  }

  /** Those who ask here. */
  get children(): readonly NodeId[] {
    this.#dropGone(monotonicMs());
    return [...this.#children.keys()];
  }

  /** The lowest entry that a child has; Infinity without any. What follows it is to be kept for a while. */
  get needed(): number {
    let needed = Infinity;
    for (const { after } of this.#children.values()) needed = Math.min(needed, after);
    return needed;
  }

  /** What that child had when it last asked; 0: it is none. */
  reached(node: NodeId): number {
    return this.#children.get(node)?.after ?? 0;
  }

  isChild(node: NodeId): boolean {
    return this.#children.has(node);
  }

  pull(child: NodeId, { after, chain, insists }: Pull): Promise<PullAnswer> {
    const now = monotonicMs();
    this.#dropGone(now);
    const why = this.#refusal(child, after, chain, insists);
    if (why !== undefined) {
      this.#forget(child);
      return Promise.resolve({ kind: "refused", why });
    }
    this.#children.get(child)?.waiting?.answer({ kind: "refused", why: "stopping" }); // nobody waits for it any more
    return new Promise((answer) => {
      this.#children.set(child, { heardAt: now, after, waiting: { chain, answer, since: now } });
      this.#schedule(this.#hasSomethingAfter(after) ? this.#flushedAt + limits.relayFlushMs : now + limits.relayIdleMs);
    });
  }

  /** Entries were committed here. */
  onCommitted(): void {
    if (this.#children.size > 0) this.#schedule(this.#flushedAt + limits.relayFlushMs);
  }

  /** Who leads, or where this node stands, is not what it was: told at once. */
  onNews(): void {
    this.#hasNews = true;
    if (this.#children.size > 0) this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const child of this.children) this.#forget(child);
  }

  #refusal(child: NodeId, after: number, chain: string, insists: boolean): FeedRefusal | undefined {
    const { self, chain: own, limits: relay } = this.#ports;
    const configuration = this.#ports.configuration();
    if (this.#stopped) return "stopping";
    // One that this node does not know of yet will be the next learner.
    if (!configuration.learners.includes(child)) {
      const wouldRelay = configuration.learners.length + 1 > relay.directLearners;
      if (!wouldRelay || configuration.voters.includes(child)) return "direct";
    } else if (!isRelaying(configuration, relay)) return "direct";
    if (this.#ports.path().includes(child)) return "loop";
    if (!mayFeed(self, child, configuration)) return "order";
    // The leader has enough to do, and feeds in its own way whom nobody else does.
    if (this.#ports.leadership().leader === self && configuration.voters.length > 1 && !insists) return "order";
    const known = own.at(after);
    if (chain !== "" && known !== "" && chain !== known) return "chain";
    const room = makeRoom([...this.#children.keys()], child, insists, relay);
    if (!room.ok) return "full";
    if (room.away !== undefined) this.#forget(room.away);
    return undefined;
  }

  #forget(child: NodeId): void {
    const waiting = this.#children.get(child)?.waiting;
    this.#children.delete(child);
    waiting?.answer({ kind: "refused", why: this.#stopped ? "stopping" : "full" });
  }

  #dropGone(now: number): void {
    for (const [node, { waiting, heardAt }] of this.#children)
      if (waiting === undefined && now - heardAt > childGoneMs) this.#children.delete(node);
  }

  #hasSomethingAfter(after: number): boolean {
    return this.#ports.end() > after;
  }

  /** A flush at that moment, or before. */
  #schedule(at: number): void {
    if (this.#stopped || at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#flush(), Math.max(0, at - monotonicMs()));
  }

  #flush(): void {
    const now = monotonicMs();
    this.#timerAt = Infinity;
    this.#flushedAt = now;
    const slices = new Map<number, ReturnType<FeederPorts["committedFrom"]>>();
    let reads = 0;
    let next = Infinity;
    for (const [node, child] of this.#children) {
      const { waiting, after } = child;
      if (waiting === undefined) continue;
      const isDue = this.#hasNews || now - waiting.since >= limits.relayIdleMs - 1;
      if (!this.#hasSomethingAfter(after) && !isDue) {
        next = Math.min(next, waiting.since + limits.relayIdleMs);
        continue;
      }
      if (!slices.has(after) && this.#ports.isEvicted(toIndex(after + 1)) && ++reads > diskReadsPerFlush) {
        next = Math.min(next, now + limits.relayFlushMs);
        continue;
      }
      child.waiting = undefined;
      child.heardAt = now;
      waiting.answer(this.#answer(node, after, slices));
    }
    this.#hasNews = false;
    if (next < Infinity) this.#schedule(next);
  }

  #answer(node: NodeId, after: number, slices: Map<number, ReturnType<FeederPorts["committedFrom"]>>): PullAnswer {
    const { chain, self } = this.#ports;
    const { term, leader } = this.#ports.leadership();
    const news = { term, leader, ageMs: Math.round(this.#ports.ageMs()), path: [self, ...this.#ports.path()] };
    // It is ahead: what it has is committed, and this node will come as far.
    const end = this.#ports.end();
    if (after > end) return { kind: "entries", ...news, previousTerm: toTerm(0), before: "", after: "", entries: [] };
    let slice = slices.get(after);
    if (slice === undefined) {
      const from = toIndex(after + 1);
      try {
        slice = this.#ports.committedFrom(
          from,
          toIndex(end + 1),
          this.#ports.isEvicted(from) ? limits.relayDiskReadBytes : limits.appendMessageBytes,
        );
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return { kind: "refused", why: "stopping" }; // a damaged entry here: another member has it
      }
      if (slice === undefined) {
        this.#ports.wantSnapshot(node);
        return { kind: "snapshot", ...news };
      }
      slices.set(after, slice);
    }
    const { entries, previousTerm } = slice;
    const last = entries.at(-1)?.index ?? after;
    return { kind: "entries", ...news, previousTerm, before: chain.at(after), after: chain.at(last), entries };
  }
}
