import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import type { Outcome } from "../lib/outcome.ts";
import { clusterRow } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Transport } from "../transport/types.ts";
import type { KnownPeers } from "./known-peers.ts";
import { knownLeader } from "./peer-answers.ts";

/** What telling the log of this node needs of its surroundings. */
export interface AnnouncerPorts {
  readonly self: NodeId;
  /** Logs what this node says of itself at every start. */
  announce(): Promise<Outcome<unknown>>;
  /** The log has this node no more. */
  onRemoved(reason: string): void;
  /** Whom this node has heard of as the leader. */
  heardLeader(): NodeId;
  readonly peers: Pick<KnownPeers, "nodes" | "counts">;
  readonly transport: Pick<Transport, "isConnected" | "request">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
}

const askMs = 50;
const answerMs = 1000;
const retryMs = 100;

/**
 * Tells the log where this node is, what it can do and what it understands: once a start, and again when it was declared lost. The leader dials the address
 * that it knows. A node that has a new one (or none in the log yet) hears of no leader by itself, so it asks whom it can reach, and sends its announcement
 * there.
 */
export class Announcer {
  readonly #ports: AnnouncerPorts;
  #announced = false;
  #announcing = false;
  #stopped = false;
  /** Whom another member named as the leader, while this node has not heard of one itself. Only a place to send writes to. */
  #hint: NodeId = nobody;

  constructor(ports: AnnouncerPorts) {
    this.#ports = ports;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Whom another member named as the leader; only while this node has not heard of one. */
  get hintedLeader(): NodeId {
    return this.#hint;
  }

  /** This node has heard itself who leads, or that nobody does. */
  onLeadership(): void {
    this.#hint = nobody;
  }

  /** Resolves when the log has it, or when there is no place for this node any more. */
  async announce(): Promise<void> {
    if (this.#announcing) return;
    this.#announcing = true;
    const asking = setInterval(() => void this.#askWhoLeads(), askMs);
    while (!this.#announced && !this.#stopped) {
      const outcome = await this.#ports.announce();
      if (outcome.ok) this.#announced = true;
      else if (outcome.why.code === "not-found" && this.#mayBeRemoved()) {
        this.#ports.onRemoved(outcome.why.message);
        break;
      } else await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
    clearInterval(asking);
    this.#announcing = false;
  }

  /** What it said before does not stand any more. */
  again(): void {
    if (this.#announcing) return;
    this.#announced = false;
    void this.announce();
  }

  /** It has a state, and no quorum needs its vote: whoever says that it is no member is to be believed. */
  #mayBeRemoved(): boolean {
    const { self, peers } = this.#ports;
    return this.#ports.view(clusterRow) !== undefined && !peers.counts(self);
  }

  async #askWhoLeads(): Promise<void> {
    const { self, peers, transport } = this.#ports;
    if (this.#ports.heardLeader() !== nobody) return;
    for (const node of peers.nodes) {
      if (!transport.isConnected(node)) continue;
      try {
        const named = knownLeader(await transport.request(node, "leader", null, { timeoutMs: answerMs }));
        if (named !== nobody && named !== self) this.#hint = named;
      } catch (error) {
        if (!(error instanceof Fault)) throw error; // the next one may answer, or this one later
      }
    }
  }
}
