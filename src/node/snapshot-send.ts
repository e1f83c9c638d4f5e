import { closeSync, openSync, readSync, rmSync } from "node:fs";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { Index, NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import { isDisk } from "./copy-backoff.ts";
import { LogHold, type LogHoldPorts } from "./log-hold.ts";

/** What is offered to a peer: a whole state of that index, to be asked for in chunks. */
export interface SnapshotOffer {
  readonly id: string;
  readonly cluster: string;
  readonly snapshot: SnapshotMeta;
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly sha256: string;
  /** The rolling hash of the state at that index. */
  readonly hash?: string | undefined;
}

/** A copy of the state that was made for sending. */
export interface MadeSnapshot {
  readonly path: string;
  readonly snapshot: SnapshotMeta;
  readonly bytes: number;
  readonly sha256: string;
  readonly hash: string;
  /** Which line of this node's states it was copied from (divergence.ts); a copy that is not to be compared has none. */
  readonly line?: number | undefined;
}

export interface SnapshotSendPorts extends LogHoldPorts {
  readonly cluster: string;
  /** Copies the state as it is now into a file, that peer being the first to get it. Throws Fault. */
  make(peer: NodeId): Promise<MadeSnapshot>;
  /** That peer may have it as well: the voters are asked again, among them who was to get it first (S1). Throws Fault. */
  vouch(made: MadeSnapshot, peer: NodeId): Promise<void>;
  /** The state that it was copied from is this node's still, with what came after: only then can the voters be asked about it. */
  isComparable(made: MadeSnapshot): boolean;
  /** A log that goes back to this index follows on from a snapshot of it. */
  baseIndex(): number;
  /** This node leads, or feeds that one: a snapshot of its is worth while. */
  serves(peer: NodeId): boolean;
  /** Throws Fault. */
  offer(peer: NodeId, offer: SnapshotOffer): Promise<void>;
  /** Less of the log is needed than before: at rest nothing else would have it cut. */
  released(): void;
  /** Tells consensus: it arrived up to that index, or did not. */
  ended(peer: NodeId, sent: Index | undefined): void;
  readonly log: (level: "info" | "warn", message: string, fields?: Readonly<Record<string, unknown>>) => void;
}

/** A chunk as it travels. */
export interface SnapshotChunk {
  readonly data: Uint8Array;
  readonly crc: number;
}

/** Between a failure and the next offer, which costs a copy of the state at worst. */
const retryMs = 1000;
/** A receiver that asked for no chunk for so long may have been started anew, and be in need of the offer. */
const quietMs = 2000;
/** A file that nobody asks for is kept this long for the next one. */
const keepMs = 30_000;

/**
 * The side that has the state. A peer that consensus cannot serve from the log is offered a file and asks for its chunks on the bulk socket, at
 * its own pace and never faster than limits.snapshotBytesPerSecond; what is said on the raft socket waits for none of it. One file serves all that
 * ask, a few at once, as long as the log follows on from it.
 */
export class SnapshotSender {
  readonly #ports: SnapshotSendPorts;
  #file: Promise<MadeSnapshot> | undefined;
  #made: MadeSnapshot | undefined;
  /** Receivers under way: when each last asked. */
  readonly #receivers = new Map<NodeId, { askedAt: number }>();
  /** Those who wait for one under way to end. */
  readonly #waiting = new Set<NodeId>();
  /** When (monotonicMs) what was sent so far is within the rate. */
  #paidUntil = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #unusedSince = 0;
  #closed = false;
  readonly #hold: LogHold;
  /** What was needed of the log at the last look. */
  #neededBefore = Infinity;

  constructor(ports: SnapshotSendPorts) {
    this.#ports = ports;
    this.#hold = new LogHold(ports);
  }

  /** A learner that this node feeds, and that says again and again that it needs one. */
  wantStill(peer: NodeId): void {
    const askedAt = this.#receivers.get(peer)?.askedAt ?? -Infinity;
    if (monotonicMs() - askedAt > quietMs) this.want(peer);
  }

  /** Consensus wants one for that peer, or the peer itself does: of entry `from` or later. */
  want(peer: NodeId, from = 0): void {
    if (this.#closed) return;
    if (!this.#receivers.has(peer) && this.#receivers.size >= limits.snapshotReceivers) {
      this.#waiting.add(peer);
      return;
    }
    this.#waiting.delete(peer);
    this.#receivers.set(peer, { askedAt: monotonicMs() });
    this.#hold.begin(peer, this.#ports.baseIndex());
    this.#neededBefore = Math.min(this.#neededBefore, this.#ports.baseIndex());
    this.#timer ??= setInterval(() => this.#watch(), retryMs);
    void this.#offer(peer, from);
  }

  /** The lowest index that the log must still follow on from, for those under way and those who catch up. */
  get needed(): number {
    return this.#hold.needed;
  }

  async #offer(peer: NodeId, from: number): Promise<void> {
    try {
      const made = await this.#current(peer, from);
      const { snapshot, bytes, sha256, hash } = made;
      if (this.#receivers.has(peer)) this.#hold.begin(peer, snapshot.index);
      const { chunkBytes, cluster } = { chunkBytes: limits.snapshotChunkBytes, cluster: this.#ports.cluster };
      await this.#ports.offer(peer, { id: idOf(made), cluster, snapshot, bytes, chunkBytes, sha256, hash });
      this.#ports.log("info", `node ${peer} gets a snapshot`, { index: snapshot.index, bytes });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      // Where the disk has no room, a log that is kept for a snapshot that cannot be made would take what is left.
      if (isDisk(error)) this.#hold.end(peer);
      else this.#ports.log("warn", `node ${peer} cannot be given a snapshot yet: ${error.message}`);
      setTimeout(() => this.#end(peer, undefined), retryMs);
    }
  }

  async #current(peer: NodeId, from: number): Promise<MadeSnapshot> {
    const oldest = Math.max(from, this.#ports.baseIndex());
    if (this.#made !== undefined && this.#made.snapshot.index < oldest) this.#forget();
    if (this.#file === undefined) return await this.#make(peer);
    const made = await this.#file;
    if (!this.#ports.isComparable(made)) {
      const isInUse = [...this.#receivers.keys()].some((receiver) => receiver !== peer);
      if (isInUse)
        throw new Fault(
          "data",
          "another state took the place of the one that others are being given: a newer copy is made after it",
          "safe",
        );
      this.#forget();
      return await this.#make(peer);
    }
    await this.#ports.vouch(made, peer);
    return made;
  }

  #make(peer: NodeId): Promise<MadeSnapshot> {
    this.#file = this.#ports.make(peer).then(
      (made) => {
        this.#made = made;
        return made;
      },
      (error: unknown) => {
        this.#file = undefined;
        throw error;
      },
    );
    return this.#file;
  }

  /** Throws Fault "peer-refused" for a file that is not there any more: the receiver begins anew with the next offer. */
  async chunk(peer: NodeId, id: string, number: number): Promise<SnapshotChunk> {
    this.#offered(peer, id);
    await this.#pace();
    const made = this.#offered(peer, id); // it may have come to its end meanwhile
    const at = number * limits.snapshotChunkBytes;
    const data = new Uint8Array(Math.max(0, Math.min(limits.snapshotChunkBytes, made.bytes - at)));
    const handle = openSync(made.path, "r");
    try {
      readSync(handle, data, 0, data.length, at);
    } finally {
      closeSync(handle);
    }
    return { data, crc: Bun.hash.crc32(data) };
  }

  /** The file under that name, for a receiver that is under way. */
  #offered(peer: NodeId, id: string): MadeSnapshot {
    const made = this.#made;
    const receiver = this.#receivers.get(peer);
    if (made === undefined || idOf(made) !== id || receiver === undefined) {
      throw new Fault("peer-refused", `snapshot ${id} is not offered any more`, "never");
    }
    receiver.askedAt = monotonicMs();
    return made;
  }

  /** Resolves when one more chunk is within the rate. */
  async #pace(): Promise<void> {
    const now = monotonicMs();
    const waitMs = this.#paidUntil - now;
    this.#paidUntil =
      Math.max(now, this.#paidUntil) + (limits.snapshotChunkBytes / limits.snapshotBytesPerSecond) * 1000;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }

  /** The receiver has it all, or gave up. */
  done(peer: NodeId, id: string, ok: boolean): void {
    const made = this.#made;
    this.#end(peer, ok && made !== undefined && idOf(made) === id ? made.snapshot.index : undefined);
  }

  #end(peer: NodeId, sent: Index | undefined): void {
    if (!this.#receivers.delete(peer) || this.#closed) return;
    this.#unusedSince = monotonicMs();
    if (sent === undefined) this.#hold.end(peer);
    else this.#hold.arrived(peer, sent);
    this.#ports.ended(peer, sent);
    this.#nextTurn();
  }

  #nextTurn(): void {
    for (const peer of this.#waiting) {
      if (this.#receivers.size >= limits.snapshotReceivers) return;
      this.#waiting.delete(peer);
      if (this.#ports.serves(peer)) this.want(peer);
    }
  }

  #watch(): void {
    const now = monotonicMs();
    for (const [peer, { askedAt }] of this.#receivers) {
      if (!this.#ports.serves(peer)) {
        this.#receivers.delete(peer);
        this.#hold.end(peer);
      } else if (now - askedAt > limits.snapshotIdleMs) this.#end(peer, undefined);
    }
    this.#nextTurn();
    const { needed } = this.#hold;
    if (needed > this.#neededBefore) this.#ports.released();
    this.#neededBefore = needed;
    if (this.#receivers.size > 0 || needed < Infinity || now - this.#unusedSince < keepMs) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#forget();
  }

  #forget(): void {
    if (this.#made !== undefined) rmSync(this.#made.path, { force: true });
    this.#made = undefined;
    this.#file = undefined;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#receivers.clear();
    this.#waiting.clear();
    this.#forget();
  }
}

function idOf(made: MadeSnapshot): string {
  return `${made.snapshot.index}-${made.sha256.slice(0, 16)}`;
}
