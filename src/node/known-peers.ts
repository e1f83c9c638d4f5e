import type { NodeId } from "../lib/ids.ts";
import type { Raft } from "../raft/raft.ts";
import { listNodes, newestNode } from "../state/queries.ts";
import type { ReadTx } from "../state/tx.ts";
import type { Identity } from "../storage/types.ts";
import type { Kept, Transport } from "../transport/types.ts";
import { AddressBook, type KnownAddress } from "./address-book.ts";
import { AddressSpread } from "./address-spread.ts";
import { StillCounting } from "./still-counting.ts";

/** What knowing and dialing the members needs of its surroundings. */
export interface KnownPeersPorts {
  readonly self: NodeId;
  /** The number of this start of this node. */
  readonly starts: number;
  /** Where identity.json remembers the members to be. */
  readonly remembered: Identity["peers"];
  readonly raft: Pick<Raft, "configuration" | "committedConfiguration">;
  readonly transport: Pick<Transport, "setPeers" | "isConnected" | "request">;
  view<Value>(query: (tx: ReadTx) => Value): Value;
  /** Where others reach this node; "": it does not listen yet. */
  address(): string;
  /** Somebody leads, as far as this node has heard. */
  hasLeader(): boolean;
  /** How much of a member's sockets is kept open. */
  kept(node: NodeId): Kept;
}

/** How long a removed node's sockets are kept open. */
const departMs = 5000;

/**
 * Whom this node meets: the members by the applied state, those who may be newer than that, and those who were removed and are needed still or have yet to be
 * told. The book of where they are (address-book.ts), its exchange (address-spread.ts) and who counts yet (still-counting.ts) come together here, and what
 * comes of it is whom this node dials.
 */
export class KnownPeers {
  readonly #ports: KnownPeersPorts;
  readonly #book = new AddressBook();
  readonly #spread: AddressSpread;
  readonly #counting: StillCounting;
  /** Whom this node dials, and where. */
  #dialed = new Map<NodeId, string>();
  /** Removed, and dialed for a moment yet. */
  readonly #departing = new Set<NodeId>();
  /** Members that the state says are in quarantine, and since which entry. */
  #quarantined = new Map<NodeId, number>();
  #stopped = false;

  constructor(ports: KnownPeersPorts) {
    this.#ports = ports;
    this.#counting = new StillCounting({
      current: () => ports.raft.configuration,
      committed: () => ports.raft.committedConfiguration,
      released: (node) => {
        this.#tellRemoved(node);
        this.read();
      },
    });
    this.#spread = new AddressSpread({
      hasLeader: () => ports.hasLeader(),
      met: () => this.met(),
      exchange: (peer) => ports.transport.request(peer, "addresses", this.#book.list()),
      learn: (told) => this.learn(told),
      later: (action, ms) => {
        const timer = setTimeout(action, ms);
        return () => clearTimeout(timer);
      },
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#spread.stop();
  }

  /** Whom this node dials. */
  get nodes(): IterableIterator<NodeId> {
    return this.#dialed.keys();
  }

  /** Those of them that it has a socket to. */
  met(): NodeId[] {
    return [...this.#dialed.keys()].filter((node) => this.#ports.transport.isConnected(node));
  }

  /** Where all members are, this one too. */
  addresses(): KnownAddress[] {
    return this.#book.list();
  }

  /** That node may have been admitted after what this node knows. */
  isNewcomer(node: NodeId): boolean {
    return this.#book.isNewcomer(node);
  }

  /** A quorum may need its vote, member or not. */
  counts(node: NodeId): boolean {
    return this.#counting.counts(node);
  }

  /** The entry since which the state says that this member is in quarantine; undefined: it says nothing of the kind. */
  quarantinedSince(node: NodeId): number | undefined {
    return this.#quarantined.get(node);
  }

  /** That member has a socket to this one from now on. */
  onConnected(peer: NodeId): void {
    this.#spread.meets(peer);
  }

  /** Consensus has another configuration: who left it is released by it, and who is kept in touch with may be others. */
  onConfiguration(): void {
    this.dial();
    this.#counting.look();
  }

  /** More is committed, perhaps a configuration. */
  onCommitted(): void {
    this.#counting.look();
  }

  /** The state has that member no more. */
  onRemoved(node: NodeId): void {
    this.#counting.removed(node);
  }

  /** Somebody says that members are there: whom this node does not know to have moved since, it dials there. */
  learn(theirs: readonly KnownAddress[]): void {
    if (this.#stopped || !this.#book.learn(theirs)) return;
    this.dial();
    this.#spread.learnt();
  }

  /** Takes the members from the state. */
  read(): void {
    const { self, starts } = this.#ports;
    const rows = this.#ports.view(listNodes);
    this.#quarantined = new Map(
      rows.flatMap(({ id, quarantine }) => (quarantine === undefined ? [] : [[id, quarantine]])),
    );
    // A member's row is newer than what identity.json remembers; before the first entry only the latter is known.
    const members: KnownAddress[] =
      rows.length > 0
        ? rows.map((row) => ({ node: row.id, address: row.peer, starts: startsOf(row.incarnation) }))
        : this.#ports.remembered.map((peer) => ({ ...peer, starts: 0 }));
    const newest = rows.length > 0 ? this.#ports.view(newestNode) : Math.max(self, ...members.map(({ node }) => node));
    // One that was removed and votes yet is met as before; where it is, it says itself if nobody remembers.
    const counting = this.#counting.nodes().filter((node) => !members.some((member) => member.node === node));
    for (const node of counting) members.push({ node, address: "", starts: 0 });
    const own = { node: self, address: this.#ports.address(), starts };
    this.#book.setMembers([...members.filter(({ node }) => node !== self), own], newest);
    this.dial();
  }

  /** Has the sockets opened that are missing, and those of others closed. */
  dial(): void {
    const known = this.#book.addresses();
    for (const [node, address] of this.#dialed) {
      if (known.has(node)) continue;
      // A node that has just been removed is still told so: it learns of the entry before its sockets close.
      known.set(node, address);
      if (!this.#departing.has(node)) {
        this.#departing.add(node);
        setTimeout(() => {
          this.#departing.delete(node);
          this.#dialed.delete(node);
          if (!this.#stopped) this.dial();
        }, departMs);
      }
    }
    known.delete(this.#ports.self);
    this.#dialed = known;
    const { transport } = this.#ports;
    transport.setPeers([...known].map(([node, address]) => ({ node, address, kept: this.#ports.kept(node) })));
  }

  /** It may be in no configuration any more, and so hear nothing of the entry: whoever meets it says so, while its certificate is good yet. */
  #tellRemoved(node: NodeId): void {
    const { self, transport } = this.#ports;
    if (node !== self && transport.isConnected(node)) transport.request(node, "removed", null).catch(() => {}); // it is told when it dials
  }
}

/** The number of starts that an incarnation begins with. */
function startsOf(incarnation: string): number {
  return Number.parseInt(incarnation, 10) || 0;
}
