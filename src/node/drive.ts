import { type Index, nobody, type NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { HeldMessages } from "./held-messages.ts";
import type { Raft } from "../raft/raft.ts";
import type {
  Append,
  Configuration,
  Entry,
  Leadership,
  Message,
  ReadReady,
  Ready,
  SnapshotMeta,
} from "../raft/types.ts";
import type { LogStore } from "../storage/types.ts";

/**
 * Step 6 of the walk: the one loop around the consensus machine. It feeds events, drains, and keeps the order that
 * raft/types.ts asks for: persist, send, release what waited for the disk, apply, answer reads. It owns no state of its
 * own but the messages that wait for a sync.
 */

export interface DriverPorts {
  send(message: Message): void;
  apply(entries: readonly Entry[]): void;
  onReads(reads: readonly ReadReady[]): void;
  /** Puts the state of that snapshot, which was received before, in the place of the present one. */
  install(snapshot: SnapshotMeta): Promise<void>;
  /** The log begins after the installed snapshot, durably. */
  installed(): void;
  /** These peers need a snapshot (leader only). */
  onSnapshotsWanted(peers: readonly NodeId[]): void;
  onLeadership(leadership: Leadership): void;
  onConfiguration(configuration: Configuration): void;
  /** Entries up to there, which this node has acknowledged, are not in its log: it is to end. */
  onLogLost(until: Index): void;
  /** Called before each drain: the proposer puts what has gathered into the machine (one entry per drain). */
  beforeDrain(): void;
  /** Called after each: something may be committed, or stored elsewhere, that was not before. */
  afterDrain(): void;
}

const { tickMs } = limits;
/** While a leader is known nothing happens faster than a heartbeat: so many ticks are given at once, and an idle node sleeps. */
const leaderTicks = 5;
/** A follower only waits for the leader's silence, which may be noticed this much later. */
const followerTicks = 10;
/** A learner that others feed waits for nothing. */
const fedTicks = 20;

/** The loop around one Raft machine. */
export class Driver {
  readonly raft: Raft;
  readonly #log: LogStore;
  readonly #ports: DriverPorts;
  /** Messages that promise something of the append with that token (D4). */
  readonly #held = new HeldMessages();
  #handed = 0;
  #durable = 0;
  #scheduled = false;
  #draining = false;
  /** Nothing is drained while a snapshot takes the state's place: what the machine says meanwhile waits in it. */
  #installing = false;
  /** The append that begins the log anew after it. */
  #installToken = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** How many ticks the timer that is set stands for. */
  #timerTicks = 0;
  #stopped = false;

  constructor(raft: Raft, log: LogStore, ports: DriverPorts) {
    this.raft = raft;
    this.#log = log;
    this.#ports = ports;
  }

  start(): void {
    this.#setTimer();
    this.schedule();
  }

  /**
   * A late timer gives no more ticks than one in time: after a stall of this process the messages that wait in its sockets are
   * heard before its clock has run on, and no election starts because of the stall.
   */
  #setTimer(): void {
    const { leader, role, isHearsay } = this.raft;
    const following = isHearsay ? fedTicks : followerTicks;
    const ticks = leader === nobody ? 1 : role === "leader" ? leaderTicks : role === "follower" ? following : 1;
    if (this.#stopped || this.#timerTicks === ticks) return;
    clearTimeout(this.#timer);
    this.#timerTicks = ticks;
    this.#timer = setTimeout(() => {
      this.#timerTicks = 0;
      for (let tick = 0; tick < ticks; tick++) this.raft.tick();
      this.drain();
      this.#setTimer();
    }, ticks * tickMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Feeds a peer's message; the answer leaves at the end of this turn of the loop, together with others. */
  step(message: Message): void {
    if (this.#stopped) return;
    this.raft.step(message);
    if (this.raft.lostUntil !== undefined) {
      this.stop();
      this.#ports.onLogLost(this.raft.lostUntil);
    } else if (this.raft.hasReady()) this.schedule();
    else this.#setTimer();
  }

  disconnected(peer: NodeId): void {
    this.raft.disconnected(peer);
    this.drain();
  }

  connected(peer: NodeId): void {
    this.raft.connected(peer);
    this.schedule();
  }

  /** The log store made everything up to `token` durable. */
  durable(token: number): void {
    this.#durable = token;
    this.raft.appended(token);
    if (this.#installToken > 0 && token >= this.#installToken && !this.#installing) {
      this.#installToken = 0;
      this.#ports.installed();
    }
    this.#release();
    this.drain();
  }

  applied(index: Index): void {
    this.raft.applied(index);
    if (this.raft.hasReady()) this.schedule();
  }

  /** Drains at the end of this turn of the loop: what arrives meanwhile shares one write and one frame. */
  schedule(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.drain();
    });
  }

  drain(): void {
    if (this.#stopped || this.#draining || this.#installing) return;
    this.#draining = true;
    try {
      this.#ports.beforeDrain();
      while (!this.#installing && this.raft.hasReady()) this.#carryOut(this.raft.drain());
      this.#ports.afterDrain();
    } finally {
      this.#draining = false;
    }
    this.#setTimer();
  }

  #carryOut(ready: Ready): void {
    if (ready.append !== undefined) {
      this.#handed = ready.append.token;
      if (ready.append.snapshot === undefined) this.#log.append(ready.append);
      else this.#install(ready.append, ready.append.snapshot);
    }
    for (const message of ready.messages) this.#ports.send(message);
    if (ready.messagesAfterAppend.length > 0) {
      this.#held.hold(this.#handed, ready.messagesAfterAppend);
      this.#release();
    }
    if (ready.configuration !== undefined) this.#ports.onConfiguration(ready.configuration);
    if (ready.leadership !== undefined) this.#ports.onLeadership(ready.leadership);
    if (ready.committed.length > 0) this.#ports.apply(ready.committed);
    if (ready.reads.length > 0) this.#ports.onReads(ready.reads);
    if (ready.snapshotsWanted.length > 0) this.#ports.onSnapshotsWanted(ready.snapshotsWanted);
  }

  /** State first, then log: ended in between, the node finds a state that is ahead of its log and begins the log anew after it. */
  #install(append: Append, snapshot: SnapshotMeta): void {
    this.#installing = true;
    this.#installToken = append.token;
    void this.#ports.install(snapshot).then(() => {
      this.#installing = false;
      if (this.#stopped) return;
      this.#log.append(append);
      this.drain();
    });
  }

  #release(): void {
    for (const message of this.#held.release(this.#durable)) this.#ports.send(message);
  }
}
