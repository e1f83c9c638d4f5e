import type { Configuration } from "../lib/configuration.ts";
import type { Epoch } from "../lib/epoch.ts";
import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Raft } from "../raft/raft.ts";
import type { Message, SnapshotMeta } from "../raft/types.ts";
import type { Transport } from "../transport/types.ts";
import { Backups } from "./backup.ts";
import { CopyBackoff } from "./copy-backoff.ts";
import { Divergence, type Finding } from "./divergence.ts";
import type { DutyPorts } from "./duties.ts";
import type { KnownPeers } from "./known-peers.ts";
import type { NodeParts } from "./parts.ts";
import { hashAnswer, snapshotChunk, undecidedAnswer } from "./peer-answers.ts";
import { Quarantine } from "./quarantine.ts";
import type { Reader } from "./read.ts";
import type { Relay } from "./relay.ts";
import type { Settings } from "./settings.ts";
import { makeSnapshot, notForOthers } from "./snapshot-make.ts";
import { SnapshotReceiver, type Verdict } from "./snapshot-receive.ts";
import { type MadeSnapshot, SnapshotSender } from "./snapshot-send.ts";

/** What keeping the state right and whole needs of its surroundings. */
export interface WholeStatePorts {
  readonly parts: Pick<
    NodeParts,
    "identity" | "dataDir" | "version" | "applied" | "stateHash" | "copyState" | "checkState" | "log"
  >;
  readonly epoch: Epoch;
  readonly raft: Pick<
    Raft,
    "role" | "leader" | "term" | "commit" | "progress" | "durableIndex" | "baseIndex" | "snapshotEnded" | "trustState"
  >;
  readonly transport: Pick<Transport, "request" | "isConnected">;
  readonly settings: Pick<Settings, "level">;
  readonly peers: Pick<KnownPeers, "quarantinedSince">;
  readonly relay: Pick<Relay, "isChild" | "reached">;
  readonly reader: Pick<Reader, "linearizable">;
  /** Leader: logs what is known of another node's state. */
  readonly propose: DutyPorts["propose"];
  /** Where questions for the leader go. */
  leader(): NodeId;
  /** Whom this node has heard of as the leader. */
  heardLeader(): NodeId;
  configuration(): Configuration;
  /** Epoch ms. */
  wallClock(): number;
  /** Feeds consensus. */
  step(message: Message): void;
  /** Something is to be drained. */
  schedule(): void;
  /** Less of the log is needed than before. */
  cutLog(): void;
  /** In quarantine: the received state takes the present one's place, and the log stays as it is. */
  reload(snapshot: SnapshotMeta): Promise<void>;
}

/**
 * This node's state as a whole: whether it is what a quorum has (divergence.ts), what becomes of it when it is not (quarantine.ts), and copies of it. Those
 * are made (snapshot-make.ts) for who lacks more of the log than is kept or has a wrong state (snapshot-send.ts), and for people (backup.ts); and received
 * (snapshot-receive.ts), where consensus has its say. What a node does when one has taken its state's place is in node.ts.
 */
export class WholeState {
  readonly #ports: WholeStatePorts;
  readonly divergence: Divergence;
  readonly quarantine: Quarantine;
  readonly sender: SnapshotSender;
  readonly receiver: SnapshotReceiver;
  readonly backups: Backups;
  readonly copies: CopyBackoff;
  /** Leader: a node.return of them is on its way into the log. */
  readonly #returning = new Set<NodeId>();

  constructor(ports: WholeStatePorts) {
    const { parts } = ports;
    this.#ports = ports;
    this.copies = new CopyBackoff({ log: parts.log });
    this.divergence = this.#compare();
    this.quarantine = this.#guard();
    this.sender = this.#give();
    this.receiver = this.#take();
    this.backups = new Backups({
      cluster: parts.identity.cluster,
      epoch: ports.epoch,
      node: parts.identity.node,
      name: parts.identity.name,
      version: parts.version,
      catchUp: () => ports.reader.linearizable(),
      copy: () => this.#copy("backup", nobody),
      now: () => ports.wallClock(),
    });
    this.divergence.reset(parts.applied, parts.stateHash);
  }

  #compare(): Divergence {
    const ports = this.#ports;
    const { parts, raft, transport } = ports;
    return new Divergence({
      self: parts.identity.node,
      level: () => ports.settings.level,
      leader: () => ports.leader(),
      isLeading: () => raft.role === "leader",
      isQuarantined: () => this.quarantine.isActive,
      configuration: () => ports.configuration(),
      report: async (to, report) => undecidedAnswer(await transport.request(to, "hash.report", report)),
      ask: async (node, at) => hashAnswer(await transport.request(node, "hash.at", at)),
      isConnected: (node) => transport.isConnected(node),
      accuse: async (node, finding) => void (await transport.request(node, "hash.odd", finding)),
      onOdd: (finding) => this.quarantine.begin(finding),
      onAgreed: (node, at) => this.#takeBack(node, at),
      log: parts.log,
    });
  }

  /** Leader: what the state says of a node's quarantine is over, once however many agree with it. */
  #takeBack(node: NodeId, at: number): void {
    const { peers, propose } = this.#ports;
    if (this.#returning.has(node) || at < (peers.quarantinedSince(node) ?? Infinity)) return;
    this.#returning.add(node);
    void propose("node.return", { node }).then(() => this.#returning.delete(node));
  }

  #guard(): Quarantine {
    const ports = this.#ports;
    const { parts, raft, transport } = ports;
    return new Quarantine({
      dataDir: parts.dataDir,
      leader: () => (raft.role === "leader" ? nobody : ports.leader()),
      isReceiving: () => this.receiver.isReceiving,
      want: async (to, finding) =>
        void (await transport.request(to, "snapshot.want", { ...finding, from: raft.baseIndex })),
      trustState: (isTrusted) => {
        raft.trustState(isTrusted);
        ports.schedule();
      },
      log: parts.log,
    });
  }

  #give(): SnapshotSender {
    const ports = this.#ports;
    const { parts, raft, transport } = ports;
    return new SnapshotSender({
      cluster: parts.identity.cluster,
      make: (peer) => this.#copy("snapshot", peer),
      isComparable: ({ line }) => line !== undefined && this.divergence.isComparable(line),
      vouch: async (made, peer) => {
        if (!this.#isRight(made)) throw notForOthers();
        await this.#vouch(made, peer);
        // Meanwhile a quorum may have said that it is wrong.
        if (!this.#isRight(made)) throw notForOthers();
      },
      baseIndex: () => raft.baseIndex,
      reached: (peer) => Math.max(ports.relay.reached(peer), raft.progress(peer)?.match ?? 0),
      isClose: (at) => raft.commit - at <= limits.promoteLagEntries,
      serves: (peer) => raft.role === "leader" || ports.relay.isChild(peer),
      offer: async (peer, offer) => void (await transport.request(peer, "snapshot.offer", offer)),
      released: () => ports.cutLog(),
      ended: (peer, sent) => {
        raft.snapshotEnded(peer, sent);
        ports.schedule();
      },
      log: parts.log,
    });
  }

  #take(): SnapshotReceiver {
    const { parts, raft, transport } = this.#ports;
    return new SnapshotReceiver({
      dataDir: parts.dataDir,
      cluster: parts.identity.cluster,
      oldest: () => (this.quarantine.isActive ? raft.baseIndex : raft.commit + 1),
      check: (path) => parts.checkState(path),
      chunk: async (peer, id, number) =>
        snapshotChunk(await transport.request(peer, "snapshot.chunk", { id, number }, { channel: "bulk" })),
      done: async (peer, id, ok) => void (await transport.request(peer, "snapshot.done", { id, ok })),
      offerToRaft: (snapshot) => this.#offerToRaft(snapshot),
      log: parts.log,
    });
  }

  close(): void {
    this.sender.close();
    this.receiver.close();
    this.divergence.close();
    this.quarantine.close();
  }

  /** A copy of the state, which is what this node has said that it is, and what others say as well if one of them is to get it. Throws Fault. */
  #copy(purpose: "snapshot" | "backup", receiver: NodeId): Promise<MadeSnapshot> {
    const { line } = this.divergence;
    const copy = async (): Promise<MadeSnapshot> => ({ ...(await this.#ports.parts.copyState(purpose)), line });
    return makeSnapshot({
      copy: () => (purpose === "backup" ? copy() : this.copies.run(copy)),
      isRight: (made) => this.#isRight(made),
      vouch: (made) => (purpose === "backup" ? Promise.resolve() : this.#vouch(made, receiver)),
    });
  }

  /** Throws Fault. */
  #vouch({ snapshot, hash, line = -1 }: MadeSnapshot, receiver: NodeId): Promise<void> {
    return this.divergence.vouch({ index: snapshot.index, hash, line }, receiver);
  }

  /** As far as this node knows itself. */
  #isRight({ snapshot, hash }: MadeSnapshot): boolean {
    return !this.quarantine.isActive && [undefined, hash].includes(this.divergence.hashAt(snapshot.index));
  }

  /** A quorum's hash is the leader's to tell, and nobody else's. Throws Fault: told again, once it is known here who leads. */
  onAccused(peer: NodeId, finding: Finding): void {
    if (peer !== this.#ports.heardLeader())
      throw new Fault("peer-refused", `node ${peer} does not lead, as far as this node knows`, "safe");
    if (this.divergence.isOddBy(finding)) this.quarantine.begin(finding);
  }

  /** Leader: a node in quarantine asks for a state. Throws Fault when this one is not known to be right. */
  onWanted(node: NodeId, { index, quorum, from }: Finding & { readonly from: number }): void {
    const { raft, peers } = this.#ports;
    const own = this.divergence.hashAt(index);
    if (raft.role !== "leader" || this.quarantine.isActive || (own !== undefined && quorum !== "" && own !== quorum))
      throw new Fault("peer-refused", "this node has no state for others", "safe");
    if (peers.quarantinedSince(node) === undefined)
      void this.#ports.propose("node.quarantine", { node, entry: Math.max(1, index) });
    this.sender.want(node, from);
  }

  /** A whole state that was received: consensus decides, once there is a leader to hear it from. */
  async #offerToRaft(snapshot: SnapshotMeta): Promise<Verdict> {
    const { parts, raft } = this.#ports;
    const self = parts.identity.node;
    const { leader, baseIndex } = raft;
    if (leader === nobody) return "later";
    if (leader !== self)
      this.#ports.step({ kind: "snapshot-request", from: leader, to: self, term: raft.term, snapshot });
    // A log that was cut there before has not been told of the snapshot, and will not be.
    if (baseIndex !== snapshot.index && raft.baseIndex === snapshot.index) return "installing";
    // Never ahead of the log on this disk (D2): what is not synced here yet is asked for again.
    const isHere = snapshot.index <= Math.min(raft.commit, raft.durableIndex);
    if (this.quarantine.isActive && isHere) await this.#reload(snapshot);
    return "ended"; // the log had come as far meanwhile
  }

  /** In quarantine: the log is right and goes on, a right state of an entry that it holds takes the wrong one's place. */
  async #reload(snapshot: SnapshotMeta): Promise<void> {
    if (snapshot.index < this.#ports.raft.baseIndex) return;
    await this.#ports.reload(snapshot);
    this.#ports.schedule();
  }
}
