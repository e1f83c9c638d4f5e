import { WebSocket } from "ws";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import {
  checkWelcome,
  decodeGreeting,
  handshakeTimeoutMs,
  makeHello,
  type Hello,
  type Rejection,
} from "./handshake.ts";
import type { Channel, PeerIdentity } from "./types.ts";

/**
 * One dialed socket to one peer, kept up for as long as the peer is a member: dials, proves itself, and dials again when it
 * closes: at once after one that had been open (the process may already be back), then with jittered, growing pauses.
 */

const firstPauseMs = 20;
const longestPauseMs = 1000;
/** After a refusal for good: somebody may yet put the address right. */
const refusedPauseMs = 5000;
/** A socket that closed sooner after it opened than this counts as a failed dial, so that two nodes cannot spin. */
const steadyMs = 1000;
/** Unanswered pings (peers.ts sends them) until the other side counts as silently gone. */
const pingsUnanswered = 2;

export interface SocketOptions {
  readonly identity: PeerIdentity;
  readonly peer: NodeId;
  /** host:port */
  readonly address: string;
  readonly channel: Channel;
  readonly onOpen: () => void;
  readonly onFrame: (frame: Uint8Array) => void;
  /** Also after a dial that failed; `wasOpen` tells them apart. Not called for close(). */
  readonly onClosed: (wasOpen: boolean) => void;
  readonly onRefused: (rejection: Rejection) => void;
  readonly onMalformed: () => void;
}

/** See above: one per peer and channel. */
export class PeerSocket {
  readonly #options: SocketOptions;
  #phase: "pausing" | "dialing" | "open" | "closed" = "pausing";
  #socket: WebSocket | undefined;
  #hello: Hello | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = firstPauseMs;
  #refused = false;
  #pingsOut = 0;
  #openedAt = 0;

  constructor(options: SocketOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** True while a dial is under way: what is to be sent may wait for it. */
  get isDialing(): boolean {
    return this.#phase === "dialing";
  }

  /** Dials now if it is pausing: at start, and when there is a sign that the peer is back. */
  dial(): void {
    if (this.#phase !== "pausing") return;
    this.#phase = "dialing";
    this.#refused = false;
    clearTimeout(this.#timer);
    const { address, channel } = this.#options;
    let socket: WebSocket;
    try {
      socket = new WebSocket(`ws://${address}/${channel}`, { perMessageDeflate: false });
    } catch {
      this.#lost();
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#drop(socket), handshakeTimeoutMs);
    socket.on("message", (data: unknown) => {
      if (this.#socket === socket) this.#onFrame(socket, data);
    });
    socket.on("pong", () => {
      this.#pingsOut = 0;
    });
    socket.on("error", () => this.#drop(socket));
    socket.on("close", () => this.#drop(socket));
  }

  /** False when it is not open or its buffer is full: the frame is lost, whole. */
  send(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#phase !== "open" || socket === undefined) return false;
    if (frame.length > limits.frameBytes || socket.bufferedAmount + frame.length > limits.sendBufferBytes) return false;
    socket.send(frame);
    return true;
  }

  /** Once a second: finds a peer that is gone without a word. Counts turns of our own loop, so that a slow node blames no other. */
  keepAlive(): void {
    if (this.#phase !== "open" || this.#socket === undefined) return;
    if (this.#pingsOut >= pingsUnanswered) {
      this.#drop(this.#socket);
      return;
    }
    this.#pingsOut++;
    this.#socket.ping();
  }

  /** Closes what is open and dials again (after a frame that made no sense). */
  reset(): void {
    if (this.#socket !== undefined) this.#drop(this.#socket);
  }

  close(): void {
    this.#phase = "closed";
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.terminate();
  }

  #onFrame(socket: WebSocket, data: unknown): void {
    if (!(data instanceof Uint8Array)) {
      this.#malformed(socket);
      return;
    }
    if (this.#phase === "open") {
      this.#pingsOut = 0;
      this.#options.onFrame(data);
      return;
    }
    try {
      this.#onGreeting(socket, data);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#malformed(socket);
    }
  }

  #onGreeting(socket: WebSocket, frame: Uint8Array): void {
    const { identity, peer, channel } = this.#options;
    const greeting = decodeGreeting(frame);
    switch (greeting.kind) {
      case "challenge": {
        const made = makeHello(identity, peer, channel, greeting.nonce);
        this.#hello = made.hello;
        socket.send(made.frame);
        break;
      }
      case "refused":
        this.#refused = greeting.final;
        this.#options.onRefused(greeting);
        this.#drop(socket);
        break;
      case "welcome":
        if (this.#hello === undefined || !checkWelcome(greeting, identity, this.#hello)) {
          this.#refused = true;
          this.#options.onRefused({ reason: "it cannot prove that it has the cluster key", final: true });
          this.#drop(socket);
          break;
        }
        this.#opened();
        break;
    }
  }

  #opened(): void {
    clearTimeout(this.#timer);
    this.#phase = "open";
    this.#openedAt = monotonicMs();
    this.#pingsOut = 0;
    this.#options.onOpen();
  }

  #malformed(socket: WebSocket): void {
    this.#options.onMalformed();
    this.#drop(socket);
  }

  /** The end of one socket, however it is learnt; every further event of it is ignored. */
  #drop(socket: WebSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    socket.terminate();
    this.#lost();
  }

  #lost(): void {
    clearTimeout(this.#timer);
    const wasOpen = this.#phase === "open";
    this.#phase = "pausing";
    this.#hello = undefined;
    const wasSteady = wasOpen && monotonicMs() - this.#openedAt >= steadyMs;
    if (wasSteady) this.#pauseMs = firstPauseMs;
    const pauseMs = wasSteady ? 0 : this.#refused ? refusedPauseMs : this.#pauseMs * (0.5 + Math.random());
    if (!wasSteady) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    this.#timer = setTimeout(() => this.dial(), pauseMs);
    this.#options.onClosed(wasOpen);
  }
}
