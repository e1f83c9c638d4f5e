import { monotonicMs } from "../lib/clock.ts";
import type { Configuration } from "../lib/configuration.ts";
import { index, type Index, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { PeerProgress } from "../raft/types.ts";
import type { Position } from "./relay-frames.ts";
import { isRelaying, type RelayLimits } from "./relay-tree.ts";

export interface DirectorPorts {
  readonly limits: RelayLimits;
  isLeading(): boolean;
  configuration(): Configuration;
  progress(node: NodeId): PeerProgress | undefined;
  relayed(learner: NodeId, match: Index): void;
  feedDirectly(learner: NodeId): void;
  isConnected(node: NodeId): boolean;
  positions(): readonly Position[];
  isHeard(node: NodeId): boolean;
}

/** So long a learner that is to vote is fed by the leader, and has to come close meanwhile. */
const directMs = 30_000;

/**
 * The leader's side: which learners it feeds itself. Those of which reports say that somebody feeds them, it does not; those of which nothing is
 * heard for limits.relayUnheardMs it does, so that a tree that breaks costs speed and no more. One that is to be promoted is fed directly first: what
 * counts towards a quorum is acknowledged to the leader, and never hearsay.
 */
export class RelayDirector {
  readonly #ports: DirectorPorts;
  /** Since when a learner is without a report; since the election or its admission at first. */
  readonly #quietSince = new Map<NodeId, number>();
  readonly #directUntil = new Map<NodeId, number>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: DirectorPorts) {
    this.#ports = ports;
  }

  lead(isLeading: boolean): void {
    this.#quietSince.clear();
    this.#directUntil.clear();
    clearInterval(this.#timer);
    this.#timer = isLeading ? setInterval(() => this.watch(), limits.relayReportMs) : undefined;
    if (isLeading) this.watch();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** These learners are to be promoted. */
  wantDirect(nodes: readonly NodeId[]): void {
    const now = monotonicMs();
    for (const node of nodes) {
      if (!this.#ports.configuration().learners.includes(node)) continue;
      this.#directUntil.set(node, now + directMs);
      if (this.#ports.progress(node)?.mode === "relay") this.#ports.feedDirectly(node);
    }
  }

  /** Entries that a relayed learner is not known to have, as of the last report; undefined: nothing was heard of it lately. */
  lag(node: NodeId): number | undefined {
    return this.#ports.isHeard(node) ? this.#ports.progress(node)?.lag : undefined;
  }

  /** After a report, and now and then. */
  watch(): void {
    if (!this.#ports.isLeading()) return;
    const now = monotonicMs();
    const configuration = this.#ports.configuration();
    const relaying = isRelaying(configuration, this.#ports.limits);
    const heard = new Map(this.#ports.positions().map(({ node, match }) => [node, match]));
    for (const learner of configuration.learners) {
      const match = heard.get(learner);
      const since = this.#quietSince.get(learner);
      // One that is not there is fed by nobody; when it is back it looks for a feeder first.
      const isThere = this.#ports.isConnected(learner);
      if (match !== undefined || since === undefined || !isThere) this.#quietSince.set(learner, now);
      const isDirect = !relaying || (this.#directUntil.get(learner) ?? 0) > now;
      const isRelayed = this.#ports.progress(learner)?.mode === "relay";
      if (match !== undefined && !isDirect) this.#ports.relayed(learner, index(match));
      else if (isRelayed && (isDirect || (isThere && now - (since ?? now) > limits.relayUnheardMs)))
        this.#ports.feedDirectly(learner);
    }
    for (const map of [this.#quietSince, this.#directUntil])
      for (const node of map.keys()) if (!configuration.learners.includes(node)) map.delete(node);
  }
}
