import { WebSocket } from "ws";
import { monotonicMs } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import { namedIn } from "./certificate.ts";
import { decodeGreeting, handshakeTimeoutMs, makeHello, type Rejection, renewal } from "./handshake.ts";
import { expectConfirmation, isPiece, Lane, lengthOf } from "./pieces.ts";
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
/** How long answers are still taken from a socket whose place was taken. */
const replacedMs = 10_000;
/** TLS's words for a certificate that none of the believed authorities has issued. */
const unknownAuthority: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
/** Unanswered pings (peers.ts sends them) until the other side counts as silently gone. */
const pingsUnanswered = 2;

export interface SocketOptions {
  readonly identity: PeerIdentity;
  readonly peer: NodeId;
  /** host:port */
  readonly address: string;
  readonly channel: Channel;
  /** False: it is not dialed (again) by itself, and closed when that is found. */
  readonly isWanted: () => boolean;
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
  #isGreeted = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = firstPauseMs;
  #refused = false;
  /** On its way to take the place of the socket, and the one whose place was taken. */
  #successor: WebSocket | undefined;
  #replaced: WebSocket | undefined;
  /** Long frames on their way to a peer that takes them in pieces, on the socket and on the one whose place it took. */
  #lane: Lane | undefined;
  #formerLane: Lane | undefined;
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

  /** Dials now if it is wanted. */
  wake(): void {
    if (this.#options.isWanted()) this.dial();
  }

  /** Dials for a question, unless it has failed just now and a pause is kept. */
  ask(): void {
    if (this.#timer === undefined) this.dial();
  }

  /** Dials now if it is pausing: at start, and when there is a sign that the peer is back. */
  dial(): void {
    if (this.#phase !== "pausing") return;
    this.#phase = "dialing";
    this.#refused = false;
    clearTimeout(this.#timer);
    let socket: WebSocket;
    try {
      socket = this.#connect("");
    } catch {
      this.#lost();
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#drop(socket), handshakeTimeoutMs);
    socket.on("message", (data: unknown) => {
      if (this.#socket === socket) this.#onFrame(socket, data);
      // An answer to what was asked before a socket with a new certificate took this one's place.
      else if (this.#replaced === socket) this.#onFormer(socket, data);
    });
    this.#listen(socket);
  }

  /**
   * Shows the credentials as they are now: a second socket is dialed while the first one serves, and takes its place when it is let in. When it is
   * not, the first one goes on: it will be closed by the other side if it must.
   */
  renew(): void {
    if (this.#phase !== "open" || this.#successor !== undefined) return;
    let socket: WebSocket;
    try {
      socket = this.#connect(`?${renewal}`);
    } catch {
      return;
    }
    this.#successor = socket;
    const giveUp = (): void => {
      clearTimeout(timer);
      if (this.#successor !== socket) return;
      this.#successor = undefined;
      socket.terminate();
    };
    const timer = setTimeout(giveUp, handshakeTimeoutMs);
    socket.on("message", (data: unknown) => {
      if (this.#socket === socket) return this.#onFrame(socket, data);
      if (this.#replaced === socket) return this.#onFormer(socket, data);
      if (this.#successor !== socket) return;
      const { identity, peer, channel } = this.#options;
      try {
        const greeting = decodeGreeting(data as Uint8Array);
        if (greeting.kind === "challenge") socket.send(makeHello(identity, peer, channel, greeting.nonce));
        else if (greeting.kind === "welcome" && greeting.node === peer)
          this.#succeed(socket, timer, greeting.takesPieces);
        else giveUp();
      } catch {
        giveUp();
      }
    });
    socket.on("error", giveUp);
    socket.on("close", giveUp);
    this.#listen(socket);
  }

  #succeed(socket: WebSocket, timer: ReturnType<typeof setTimeout>, takesPieces: boolean): void {
    clearTimeout(timer);
    this.#successor = undefined;
    const former = this.#socket;
    if (this.#phase !== "open" || former === undefined) return socket.terminate();
    this.#endFormer();
    this.#replaced = former;
    this.#formerLane = this.#lane; // what it is in the midst of it brings to its end
    this.#socket = socket;
    this.#lane = this.#laneOf(socket, takesPieces);
    this.#pingsOut = 0;
    setTimeout(() => {
      if (this.#replaced === former) this.#endFormer();
    }, replacedMs);
  }

  #endFormer(): void {
    this.#replaced?.terminate();
    this.#formerLane?.closed();
    this.#replaced = undefined;
    this.#formerLane = undefined;
  }

  /** Nothing urgent is said on the bulk channel, and a piece waits for the one before it. */
  #laneOf(socket: WebSocket, takesPieces: boolean): Lane | undefined {
    if (!takesPieces || this.#options.channel === "bulk") return undefined;
    return new Lane((piece) => socket.send(piece));
  }

  #connect(query: string): WebSocket {
    const { address, channel, identity } = this.#options;
    const { key, certificate, trusted } = identity.credentials();
    return new WebSocket(`wss://${address}/${channel}${query}`, {
      perMessageDeflate: false,
      key,
      cert: certificate,
      ca: [...trusted],
      checkServerIdentity: (_host: string, { subjectaltname }: { readonly subjectaltname?: string }) =>
        this.#judge(subjectaltname),
    } as object); // its types do not have what the runtime calls
  }

  /** The end of a socket is news only while it is the one that is used. */
  #listen(socket: WebSocket): void {
    socket.on("pong", () => {
      this.#pingsOut = 0;
    });
    socket.on("error", (error: Error) => {
      if (this.#socket !== socket) return;
      this.#onError(error);
      this.#drop(socket);
    });
    socket.on("close", () => this.#drop(socket));
  }

  /** False when it is not open or its buffer is full: the frame is lost, whole. A long one goes in pieces, and what is sent after it may be there before it. */
  send(frame: Uint8Array): boolean {
    const socket = this.#socketFor(frame.length);
    if (socket === undefined) return false;
    if (this.#lane !== undefined && frame.length > limits.pieceBytes) this.#lane.push([frame], () => {});
    else socket.send(frame);
    return true;
  }

  /** The same of a frame that overtakes none that was sent so, in parts. `settle` is told once whether it has left; not where this is false. */
  sendInTurn(parts: readonly Uint8Array[], settle: (isSent: boolean) => void): boolean {
    const length = lengthOf(parts);
    const socket = this.#socketFor(length);
    if (socket === undefined) return false;
    if (this.#lane !== undefined && (this.#lane.isBusy || length > limits.pieceBytes)) {
      this.#lane.push(parts, settle);
      return true;
    }
    socket.send(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
    settle(true);
    return true;
  }

  /** Something waits to be sent in its turn. */
  get isBusy(): boolean {
    return this.#lane?.isBusy ?? false;
  }

  #socketFor(length: number): WebSocket | undefined {
    const socket = this.#socket;
    if (this.#phase !== "open" || socket === undefined || length > limits.frameBytes) return undefined;
    const waiting = socket.bufferedAmount + (this.#lane?.bytes ?? 0);
    return waiting + length > limits.sendBufferBytes ? undefined : socket;
  }

  /** Once a second: finds a peer that is gone without a word. Counts turns of our own loop, so that a slow node blames no other. */
  keepAlive(): void {
    if (this.#phase !== "open" || this.#socket === undefined) return;
    if (!this.#options.isWanted()) {
      this.#drop(this.#socket);
      return;
    }
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
    this.#lane?.closed();
    this.#lane = undefined;
    this.#successor?.terminate();
    this.#successor = undefined;
    this.#endFormer();
  }

  #onFrame(socket: WebSocket, data: unknown): void {
    if (!(data instanceof Uint8Array)) {
      this.#malformed(socket);
      return;
    }
    try {
      if (this.#phase === "open") {
        this.#pingsOut = 0;
        this.#hear(this.#lane, data);
      } else this.#onGreeting(socket, data);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#malformed(socket);
    }
  }

  /** The socket whose place was taken: what makes no sense there ends it alone. */
  #onFormer(socket: WebSocket, data: unknown): void {
    try {
      if (data instanceof Uint8Array) this.#hear(this.#formerLane, data);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#options.onMalformed();
      socket.terminate();
    }
  }

  #hear(lane: Lane | undefined, frame: Uint8Array): void {
    if (!isPiece(frame)) return this.#options.onFrame(frame);
    expectConfirmation(frame);
    lane?.confirmed();
  }

  #onGreeting(socket: WebSocket, frame: Uint8Array): void {
    const { identity, peer, channel } = this.#options;
    const greeting = decodeGreeting(frame);
    switch (greeting.kind) {
      case "challenge":
        this.#isGreeted = true;
        socket.send(makeHello(identity, peer, channel, greeting.nonce));
        break;
      case "refused":
        this.#refuse(greeting);
        this.#drop(socket);
        break;
      case "welcome":
        if (!this.#isGreeted || greeting.node !== peer) return this.#malformed(socket);
        this.#lane = this.#laneOf(socket, greeting.takesPieces);
        this.#opened();
        break;
    }
  }

  /** The acceptor's certificate must be the node's that is dialed: whatever listens at an address is no peer by that. */
  #judge(subjectAltName: string | undefined): Error | undefined {
    const { identity, peer } = this.#options;
    const named = namedIn(subjectAltName);
    const reason =
      named === undefined
        ? "its certificate names no node"
        : named.cluster !== identity.cluster
          ? "it belongs to another cluster"
          : named.node !== peer
            ? `it is node ${named.node}, not node ${peer}`
            : undefined;
    if (reason === undefined) return undefined;
    this.#refuse({ reason, final: named?.cluster !== identity.cluster });
    return new Error(reason);
  }

  /** What TLS found wrong with the acceptor; every other error is a dial that failed. */
  #onError(error: Error): void {
    const { code } = error as { readonly code?: unknown };
    if (code === "CERT_HAS_EXPIRED") this.#refuse({ reason: "its certificate has expired", final: false });
    else if (code === "CERT_NOT_YET_VALID")
      this.#refuse({ reason: "its certificate is not valid yet: compare the clocks of the two hosts", final: false });
    else if (typeof code === "string" && unknownAuthority.has(code))
      this.#refuse({ reason: "its certificate is of an authority that is not this cluster's", final: true });
  }

  #refuse(rejection: Rejection): void {
    this.#refused = rejection.final;
    this.#options.onRefused(rejection);
  }

  #opened(): void {
    this.#stopTimer();
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
    this.#lane?.closed();
    this.#lane = undefined;
    this.#lost();
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #lost(): void {
    this.#stopTimer();
    const wasOpen = this.#phase === "open";
    this.#phase = "pausing";
    this.#isGreeted = false;
    const wasSteady = wasOpen && monotonicMs() - this.#openedAt >= steadyMs;
    if (wasSteady) this.#pauseMs = firstPauseMs;
    const pauseMs = wasSteady ? 0 : this.#refused ? refusedPauseMs : this.#pauseMs * (0.5 + Math.random());
    if (!wasSteady) this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    if (this.#options.isWanted()) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#options.isWanted()) this.dial();
      }, pauseMs);
    }
    this.#options.onClosed(wasOpen);
  }
}
