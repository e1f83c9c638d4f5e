import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Message, MessageOf } from "../raft/types.ts";
import { encodeEntries, encodeMessages, partsOfLong } from "./frames.ts";
import { Caller } from "./rpc.ts";
import { PeerSocket } from "./socket.ts";
import type { Rejection } from "./handshake.ts";
import { monotonicMs } from "../lib/clock.ts";
import type { Channel, Kept, PeerIdentity } from "./types.ts";

/** Counted over all peers; see Transport.stats. */
export interface Counters {
  sent: number;
  received: number;
  lost: number;
  rejected: number;
}

export interface LinkEvents {
  connected(): void;
  disconnected(): void;
  refused(channel: Channel, rejection: Rejection): void;
}

/** A socket that is not kept is closed when nothing was asked on it for so long. */
const idleMs = 60_000;

/** What this node says to one peer: three dialed sockets, the raft messages of this turn, and the requests under way. */
export class Link {
  readonly address: string;
  readonly #counters: Counters;
  readonly #raft: PeerSocket;
  readonly #callers: { readonly rpc: Caller; readonly bulk: Caller };
  readonly #channels: { readonly rpc: PeerSocket; readonly bulk: PeerSocket };
  readonly #sockets: readonly PeerSocket[];
  #outbox: Message[] = [];
  #outboxBytes = 0;
  /** Appends that have not left yet, because they are long or behind long ones. */
  readonly #waiting: MessageOf<"append-request">[] = [];
  #rounds = 0;
  #kept: Kept;
  /** When something was asked last (monotonicMs). */
  readonly #askedAt = { rpc: -Infinity, bulk: -Infinity };

  constructor(
    identity: PeerIdentity,
    peer: NodeId,
    address: string,
    kept: Kept,
    counters: Counters,
    events: LinkEvents,
  ) {
    this.address = address;
    this.#kept = kept;
    this.#counters = counters;
    const common = { identity, peer, address, onMalformed: () => void counters.rejected++ };
    this.#raft = new PeerSocket({
      ...common,
      channel: "raft",
      isWanted: () => this.#kept !== "none",
      onOpen: () => events.connected(),
      onClosed: (wasOpen) => {
        if (wasOpen) events.disconnected();
      },
      // Nothing is said on it in this direction: what a peer has to say travels on the socket that it opened.
      onFrame: () => void counters.rejected++,
      onRefused: (rejection) => events.refused("raft", rejection),
    });
    const asking = (channel: "rpc" | "bulk"): { socket: PeerSocket; caller: Caller } => {
      const socket: PeerSocket = new PeerSocket({
        ...common,
        channel,
        isWanted: () => this.#kept === "all" || monotonicMs() - this.#askedAt[channel] < idleMs,
        onOpen: () => caller.opened(),
        onClosed: () => caller.closed(),
        onFrame: (frame) => this.#onAnswer(socket, caller, frame),
        onRefused: (rejection) => events.refused(channel, rejection),
      });
      const caller = new Caller(socket, `node ${peer}`);
      return { socket, caller };
    };
    const rpc = asking("rpc");
    const bulk = asking("bulk");
    this.#callers = { rpc: rpc.caller, bulk: bulk.caller };
    this.#channels = { rpc: rpc.socket, bulk: bulk.socket };
    this.#sockets = [this.#raft, rpc.socket, bulk.socket];
  }

  get isConnected(): boolean {
    return this.#raft.isOpen;
  }

  /** Dials what is kept and not open: at start, and when the peer has just dialed us and so is there. */
  wake(): void {
    for (const socket of this.#sockets) socket.wake();
  }

  /** Opens what is to be kept from now on; what is not is closed when it is idle. */
  keep(kept: Kept): void {
    if (kept === this.#kept) return;
    this.#kept = kept;
    this.wake();
  }

  /** Changes over to sockets that show the credentials as they are now. */
  renew(): void {
    for (const socket of this.#sockets) socket.renew();
  }

  /** A voter and a learner that hear of each other by other ways need to know half as often that the socket is good. */
  keepAlive(): void {
    this.#rounds++;
    if (this.#kept === "raft" && this.#rounds % 2 === 0) return;
    for (const socket of this.#sockets) socket.keepAlive();
  }

  /** Messages of one turn share a frame. Appends keep their order; where they are long everything else goes before them. */
  send(message: Message): void {
    if (!this.#raft.isOpen) {
      this.#counters.lost++;
      return;
    }
    if (this.#waits(message)) return;
    this.#outbox.push(message);
    if (message.kind === "append-request") this.#outboxBytes += bytesOf(message);
    if (this.#outboxBytes >= limits.appendMessageBytes) this.#flush();
    else if (this.#outbox.length === 1) queueMicrotask(() => this.#flush());
  }

  request(channel: "rpc" | "bulk", method: string, body: unknown, timeoutMs: number): Promise<unknown> {
    this.#askedAt[channel] = monotonicMs();
    this.#channels[channel].ask();
    return this.#callers[channel].request(method, body, timeoutMs);
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
    this.#callers.rpc.closed();
    this.#callers.bulk.closed();
    this.#counters.lost += this.#outbox.length;
    this.#outbox = [];
  }

  #flush(): void {
    const outbox = this.#outbox;
    if (outbox.length === 0) return;
    const isShort = this.#outboxBytes <= limits.pieceBytes && !this.#raft.isBusy;
    this.#outbox = [];
    this.#outboxBytes = 0;
    if (isShort) return this.#count(outbox.length, this.#raft.send(encodeMessages(outbox)));
    const urgent = outbox.filter(({ kind }) => kind !== "append-request");
    if (urgent.length > 0) this.#count(urgent.length, this.#raft.send(encodeMessages(urgent)));
    for (const append of outbox.filter((message) => message.kind === "append-request")) {
      this.#waiting.push(append);
      const settle = (isSent: boolean): void => {
        this.#waiting.splice(this.#waiting.indexOf(append), 1);
        this.#count(1, isSent);
      };
      if (!this.#raft.sendInTurn(partsOfLong(append) ?? [encodeMessages([append])], settle)) settle(false);
    }
  }

  #count(messages: number, isSent: boolean): void {
    if (isSent) this.#counters.sent += messages;
    else this.#counters.lost += messages;
  }

  /**
   * The same is on its way already. A heartbeat that comes back before an append is there makes the leader send that again, since it may be lost: of 15 MB it would
   * be another 15 MB every time.
   */
  #waits(message: Message): boolean {
    if (this.#waiting.length === 0 || message.kind !== "append-request" || message.entries.length === 0) return false;
    const { term, previousIndex, entries } = message;
    return this.#waiting.some(
      (one) => one.term === term && one.previousIndex === previousIndex && one.entries.length === entries.length,
    );
  }

  #onAnswer(socket: PeerSocket, caller: Caller, frame: Uint8Array): void {
    try {
      caller.onFrame(frame);
    } catch {
      this.#counters.rejected++;
      socket.reset();
    }
  }
}

/** About. A long entry is not encoded to find that out. */
function bytesOf({ entries }: MessageOf<"append-request">): number {
  const long = entries.length === 1 ? entries[0]!.data.length : 0;
  return long > limits.pieceBytes ? long : encodeEntries(entries).length;
}
