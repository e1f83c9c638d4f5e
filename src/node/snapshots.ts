import { Fault } from "../lib/fault.ts";
import { nobody, type NodeId } from "../lib/ids.ts";
import type { Raft } from "../raft/raft.ts";
import type { Message, SnapshotMeta } from "../raft/types.ts";
import type { JudgedState } from "../storage/snapshot-task.ts";
import type { Transport } from "../transport/types.ts";
import type { Divergence, Finding } from "./divergence.ts";
import { snapshotChunk } from "./peer-answers.ts";
import type { Quarantine } from "./quarantine.ts";
import { makeSnapshot } from "./snapshot-make.ts";
import { SnapshotReceiver, type Verdict } from "./snapshot-receive.ts";
import { type MadeSnapshot, SnapshotSender } from "./snapshot-send.ts";

/** What giving and taking whole states needs of its surroundings. */
export interface SnapshotsPorts {
  readonly self: NodeId;
  readonly cluster: string;
  readonly dataDir: string;
  readonly raft: Pick<Raft, "role" | "leader" | "term" | "commit" | "durableIndex" | "baseIndex" | "snapshotEnded">;
  readonly transport: Pick<Transport, "request">;
  readonly divergence: Pick<Divergence, "hashAt" | "vouch">;
  readonly quarantine: Pick<Quarantine, "isActive">;
  /** A learner that this node feeds with the log. */
  isChild(node: NodeId): boolean;
  /** A copy of the state as it is now, in a file. Throws Fault. */
  copy(purpose: "snapshot" | "backup"): Promise<MadeSnapshot>;
  /** Reads a state file whole and says what it is. Throws Fault. */
  check(path: string): Promise<JudgedState>;
  /** Feeds consensus. */
  step(message: Message): void;
  /** Something is to be drained. */
  schedule(): void;
  /** In quarantine: the received state takes the present one's place, and the log stays as it is. */
  reload(snapshot: SnapshotMeta): Promise<void>;
  /** Leader: that node says that its state is wrong from that entry on. */
  quarantined(node: NodeId, entry: number): void;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/**
 * Whole states, given to who lacks more of the log than is kept or has a wrong state, and taken. Here the parts meet: making a copy that others may have
 * (snapshot-make.ts), offering and sending it (snapshot-send.ts), receiving one (snapshot-receive.ts), and what consensus says to it. What the node does
 * when one has taken its state's place is in node.ts.
 */
export class Snapshots {
  readonly #ports: SnapshotsPorts;
  readonly sender: SnapshotSender;
  readonly receiver: SnapshotReceiver;

  constructor(ports: SnapshotsPorts) {
    const { cluster, raft, transport } = ports;
    this.#ports = ports;
    this.sender = new SnapshotSender({
      cluster,
      make: (peer) => this.make("snapshot", peer),
      baseIndex: () => raft.baseIndex,
      serves: (peer) => raft.role === "leader" || ports.isChild(peer),
      offer: async (peer, offer) => void (await transport.request(peer, "snapshot.offer", offer)),
      ended: (peer, sent) => {
        raft.snapshotEnded(peer, sent);
        ports.schedule();
      },
      log: ports.log,
    });
    this.receiver = new SnapshotReceiver({
      dataDir: ports.dataDir,
      cluster,
      oldest: () => (ports.quarantine.isActive ? raft.baseIndex : raft.commit + 1),
      check: (path) => ports.check(path),
      chunk: async (peer, id, number) =>
        snapshotChunk(await transport.request(peer, "snapshot.chunk", { id, number }, { channel: "bulk" })),
      done: async (peer, id, ok) => void (await transport.request(peer, "snapshot.done", { id, ok })),
      offerToRaft: (snapshot) => this.#offerToRaft(snapshot),
      log: ports.log,
    });
  }

  close(): void {
    this.sender.close();
    this.receiver.close();
  }

  /** A copy of the state, which is what this node has said that it is, and what others say as well if one of them is to get it. Throws Fault. */
  make(purpose: "snapshot" | "backup", receiver: NodeId): Promise<MadeSnapshot> {
    const { divergence, quarantine } = this.#ports;
    return makeSnapshot({
      copy: () => this.#ports.copy(purpose),
      isRight: ({ snapshot, hash }) =>
        !quarantine.isActive && [undefined, hash].includes(divergence.hashAt(snapshot.index)),
      vouch: ({ snapshot, hash }) =>
        purpose === "backup" ? Promise.resolve() : divergence.vouch(snapshot.index, hash, receiver),
    });
  }

  /** Leader: a node in quarantine asks for a state. Throws Fault when this one is not known to be right. */
  onWanted(node: NodeId, { index, quorum, from }: Finding & { readonly from: number }): void {
    const { raft, divergence, quarantine } = this.#ports;
    const own = divergence.hashAt(index);
    if (raft.role !== "leader" || quarantine.isActive || (own !== undefined && quorum !== "" && own !== quorum))
      throw new Fault("peer-refused", "this node has no state for others", "safe");
    this.#ports.quarantined(node, Math.max(1, index));
    this.sender.want(node, from);
  }

  /** A whole state that was received: consensus decides, once there is a leader to hear it from. */
  async #offerToRaft(snapshot: SnapshotMeta): Promise<Verdict> {
    const { self, raft, quarantine } = this.#ports;
    const { leader, baseIndex } = raft;
    if (leader === nobody) return "later";
    if (leader !== self)
      this.#ports.step({ kind: "snapshot-request", from: leader, to: self, term: raft.term, snapshot });
    // A log that was cut there before has not been told of the snapshot, and will not be.
    if (baseIndex !== snapshot.index && raft.baseIndex === snapshot.index) return "installing";
    // Never ahead of the log on this disk (D2): what is not synced here yet is asked for again.
    const isHere = snapshot.index <= Math.min(raft.commit, raft.durableIndex);
    if (quarantine.isActive && isHere) await this.#reload(snapshot);
    return "ended"; // the log had come as far meanwhile
  }

  /** In quarantine: the log is right and goes on, a right state of an entry that it holds takes the wrong one's place. */
  async #reload(snapshot: SnapshotMeta): Promise<void> {
    if (snapshot.index < this.#ports.raft.baseIndex) return;
    await this.#ports.reload(snapshot);
    this.#ports.schedule();
  }
}
