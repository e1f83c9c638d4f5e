import { monotonicMs } from "../lib/clock.ts";
import type { Configuration } from "../lib/configuration.ts";
import { type Index, nobody, type NodeId, type Term } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Raft } from "../raft/raft.ts";
import { bytesOf } from "../raft/log.ts";
import type { Entry, LogReader } from "../raft/types.ts";
import type { Kept } from "../transport/types.ts";
import { EntryChain } from "./relay-chain.ts";
import { RelayFeeder } from "./relay-feed.ts";
import { RelayFollower } from "./relay-follow.ts";
import { encodePullAnswer, type Position, type Pull } from "./relay-frames.ts";
import { RelayDirector } from "./relay-leader.ts";
import { RelayReporter } from "./relay-report.ts";
import { feedersOf, isFirstContact, isRelaying, keptTo, type RelayLimits } from "./relay-tree.ts";

export interface RelayPorts {
  readonly self: NodeId;
  readonly limits: RelayLimits;
  readonly raft: Raft;
  readonly reader: LogReader;
  readonly applied: number;
  leadership(): { readonly term: Term; readonly leader: NodeId };
  /** Members that this node was told of, best first, for when it knows no configuration. */
  told(): readonly NodeId[];
  isConnected(node: NodeId): boolean;
  /** Throws Fault. */
  request(peer: NodeId, method: string, body: unknown, timeoutMs: number): Promise<unknown>;
  wantSnapshot(child: NodeId): void;
  /** Something is to be drained. */
  schedule(): void;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/**
 * Learners are fed with committed entries by other members, so that the leader's cost does not grow with their number. Here the parts meet: the order
 * (relay-tree.ts), the check (relay-chain.ts), feeding (relay-feed.ts) and being fed (relay-follow.ts), what is told upward (relay-report.ts) and
 * what the leader does with it (relay-leader.ts). Consensus knows two things of it: a learner in the mode "relay" is not sent to, and feed() takes
 * committed entries. Nothing here counts in a quorum, and none of it is needed for one.
 */
export class Relay {
  readonly #ports: RelayPorts;
  readonly #chain: EntryChain;
  readonly #feeder: RelayFeeder;
  readonly #follower: RelayFollower;
  readonly #reporter: RelayReporter;
  readonly #director: RelayDirector;
  /** What was fed and is not durable, oldest first. */
  #backlog: { readonly last: number; readonly bytes: number }[] = [];
  #backlogBytes = 0;
  #roomWanted: (() => void) | undefined;
  #leaderlessSince: number | undefined;

  constructor(ports: RelayPorts) {
    const { self, raft } = ports;
    this.#ports = ports;
    this.#chain = new EntryChain(ports.applied, raft.baseIndex, ports.reader);
    this.#follower = new RelayFollower({
      self,
      improveMs: ports.limits.improveMs,
      chain: this.#chain,
      isRelayed: () => this.#isRelayed,
      feeders: (insists) =>
        feedersOf(self, raft.configuration, ports.leadership().leader, ports.told(), insists, ports.limits),
      request: (feeder, body) => ports.request(feeder, "relay.pull", body, limits.relaySilenceMs),
      feed: (fed) => {
        const outcome = raft.feed(fed);
        if (outcome === "taken") this.#fed(fed.entries);
        if (raft.hasReady()) ports.schedule();
        return outcome;
      },
      lost: () => {
        raft.forgetHearsay();
        if (raft.hasReady()) ports.schedule();
      },
      room: () => this.#room(),
      changed: () => {
        this.#feeder.onNews();
        this.#reporter.onTarget();
      },
      log: ports.log,
    });
    this.#feeder = new RelayFeeder({
      self,
      limits: ports.limits,
      chain: this.#chain,
      configuration: () => raft.configuration,
      end: () => this.#chain.head,
      committedFrom: (from, to, maxBytes) => raft.committedFrom(from, to, maxBytes),
      isEvicted: (at) => raft.isEvicted(at),
      leadership: () => ports.leadership(),
      ageMs: () => (this.#votes ? this.#leaderlessMs : this.#follower.ageMs),
      path: () => (this.#votes ? [] : this.#follower.path),
      wantSnapshot: (child) => ports.wantSnapshot(child),
    });
    this.#reporter = new RelayReporter({
      self,
      target: () => this.#reportTarget,
      own: () => (this.#votes ? undefined : Math.min(raft.commit, raft.durableIndex)),
      request: (target, body) => ports.request(target, "relay.report", body, limits.relaySilenceMs),
    });
    this.#director = new RelayDirector({
      limits: ports.limits,
      isLeading: () => raft.role === "leader",
      configuration: () => raft.configuration,
      progress: (node) => raft.progress(node),
      relayed: (learner, match) => raft.relayed(learner, match),
      feedDirectly: (learner) => {
        raft.feedDirectly(learner);
        ports.schedule();
      },
      isConnected: (node) => ports.isConnected(node),
      positions: () => this.#reporter.positions(),
      isHeard: (node) => this.#reporter.isHeard(node),
    });
  }

  start(): void {
    this.#follower.start();
    this.#reporter.start();
  }

  stop(): void {
    this.#follower.stop();
    this.#feeder.stop();
    this.#reporter.stop();
    this.#director.stop();
  }

  /** Entries that were committed, in order, as they are handed to apply. */
  onCommitted(entries: readonly Entry[]): void {
    this.#chain.advance(entries);
    this.#feeder.onCommitted();
  }

  /** The log has become durable further. */
  onDurable(): void {
    const { durableIndex } = this.#ports.raft;
    while (this.#backlog.length > 0 && this.#backlog[0]!.last <= durableIndex)
      this.#backlogBytes -= this.#backlog.shift()!.bytes;
    if (this.#backlogBytes < limits.relayBacklogBytes) this.#roomWanted?.();
    this.#reporter.moved();
  }

  onLeadership(): void {
    if (this.#ports.leadership().leader !== nobody) this.#leaderlessSince = undefined;
    else this.#leaderlessSince ??= monotonicMs();
    this.#feeder.onNews();
    this.#reporter.onTarget();
  }

  /** This node leads from now on, or no longer. */
  lead(isLeading: boolean): void {
    this.#director.lead(isLeading);
  }

  onConfiguration(): void {
    this.#follower.onChange();
    this.#director.watch();
  }

  /** The state goes on from a snapshot of this entry. */
  onInstalled(index: Index): void {
    this.#chain.reset(index);
    this.#backlog = [];
    this.#backlogBytes = 0;
    this.#roomWanted?.();
  }

  /** Another state took this one's place and the log stays: entries up to this one are handed out no more, be it that some never were. */
  onReloaded(index: Index): void {
    this.#chain.skipTo(index);
    this.#feeder.onCommitted();
  }

  /** Answers another member's question. */
  async onPull(peer: NodeId, pull: Pull): Promise<unknown> {
    return encodePullAnswer(await this.#feeder.pull(peer, pull));
  }

  /** How far those below another member are. */
  onReport(positions: readonly Position[]): null {
    this.#reporter.heard(positions);
    this.#director.watch();
    return null;
  }

  /** Learners that are to be promoted are fed by the leader itself from now on. */
  wantDirect(nodes: readonly NodeId[]): void {
    this.#director.wantDirect(nodes);
  }

  /** As a leader sees it; undefined: that learner is not fed by others, or nothing was heard of it. */
  lag(node: NodeId): number | undefined {
    return this.#director.lag(node);
  }

  /** The lowest entry that those whom this node feeds have. */
  get needed(): number {
    return this.#feeder.needed;
  }

  /** What a learner has that this node feeds; 0: it does not feed it. */
  reached(node: NodeId): number {
    return this.#feeder.reached(node);
  }

  isChild(node: NodeId): boolean {
    return this.#feeder.isChild(node);
  }

  /** Who feeds this node, and whom it feeds. */
  get status(): { readonly feeder: NodeId; readonly children: readonly NodeId[] } {
    return { feeder: this.#follower.feeder, children: this.#feeder.children };
  }

  /** The sockets to keep to another member. */
  kept(node: NodeId): Kept {
    const { raft, self, limits: relay } = this.#ports;
    // Just joined: it asks the members one after the other until one feeds it, and learns from the log whom it is to meet.
    const isNew = raft.configuration.voters.length === 0;
    if (isNew) return isFirstContact(node, this.#ports.told(), relay) ? "all" : "none";
    return keptTo(node, self, raft.configuration, relay);
  }

  get #configuration(): Configuration {
    return this.#ports.raft.configuration;
  }

  get #votes(): boolean {
    const { voters, outgoing } = this.#configuration;
    return voters.includes(this.#ports.self) || outgoing.includes(this.#ports.self);
  }

  get #isRelayed(): boolean {
    if (this.#votes) return false;
    // One that the configuration does not name is not there yet: whether others are to feed it, the entries that it lacks will tell.
    const isNamed = this.#configuration.learners.includes(this.#ports.self);
    return !isNamed || isRelaying(this.#configuration, this.#ports.limits);
  }

  /** A voter that hears no leader for long may be cut off from the others: those below it then look for another root. */
  get #leaderlessMs(): number {
    return this.#leaderlessSince === undefined ? 0 : monotonicMs() - this.#leaderlessSince;
  }

  get #reportTarget(): NodeId {
    if (!this.#votes) return this.#follower.feeder;
    const { leader } = this.#ports.leadership();
    return leader === this.#ports.self ? nobody : leader;
  }

  #fed(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const bytes = bytesOf(entries);
    this.#backlog.push({ last: entries.at(-1)!.index, bytes });
    this.#backlogBytes += bytes;
    this.#feeder.onCommitted();
  }

  async #room(): Promise<void> {
    while (this.#backlogBytes >= limits.relayBacklogBytes) {
      await new Promise<void>((resolve) => {
        this.#roomWanted = resolve;
      });
    }
  }
}
