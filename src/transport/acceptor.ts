import type { X509Certificate } from "node:crypto";
import type { Server, ServerWebSocket } from "bun";
import { issuerOf } from "./certificate.ts";
import { assert } from "../lib/assert.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import {
  checkHello,
  encodeGreeting,
  handshakeFrameBytes,
  handshakeTimeoutMs,
  makeNonce,
  type Rejection,
  renewal,
} from "./handshake.ts";
import { Assembly } from "./pieces.ts";
import { portFault } from "./port.ts";
import type { Channel, PeerIdentity } from "./types.ts";

/** A socket that a peer opened. Who it is, is known once the handshake is done. */
export interface Incoming {
  readonly channel: Channel;
  readonly challenge: Uint8Array;
  timer: ReturnType<typeof setTimeout> | undefined;
  peer: NodeId | undefined;
  incarnation: string;
  /** By which the peer was let in. */
  certificate: X509Certificate | undefined;
  /** The same process opens it in place of an open one, to show a new certificate. */
  readonly renews: boolean;
  /** Of a long frame that comes in pieces. */
  readonly assembly: Assembly;
  /** Answers under way. */
  running: number;
  /** A newer socket of the same peer took its place, or the peer is no member any more: its end is no news. */
  retired: boolean;
}

export type IncomingSocket = ServerWebSocket<Incoming>;

export interface AcceptorOptions {
  readonly identity: PeerIdentity;
  hasReachedEpoch(): boolean;
  isMember(node: NodeId): boolean;
  wasRemoved(node: NodeId): boolean;
  isOldCopy(node: NodeId, incarnation: string): boolean;
  onAccepted(peer: NodeId, channel: Channel): void;
  /** A frame of a peer that has proven who it is. False when it makes no sense: the socket is closed. */
  onFrame(socket: IncomingSocket, peer: NodeId, frame: Uint8Array): boolean;
  /** The peer's socket closed, or a new process of the same peer took its place. */
  onClosed(peer: NodeId, channel: Channel): void;
  onRejected(reason: string, from: string): void;
}

const closePolicy = 1008;
/** How long the former one is still listened to. */
const replacedMs = 15_000;
/** How long after a change of authorities whoever has not followed is put out. */
const unbelievedMs = 10_000;
const channels: ReadonlySet<string> = new Set<Channel>(["raft", "rpc", "bulk"]);
/** Closed when nothing, not even a ping, came for this long. */
const idleSeconds = 10;

/** The peer port, over mutual TLS: lets in members that prove who they are, one socket per peer and channel, the newest one. */
export class Acceptor {
  readonly #options: AcceptorOptions;
  readonly #sockets = new Map<string, IncomingSocket>();
  #server: Server<Incoming> | undefined;
  /** Listeners that credentials of before belonged to, with the sockets that they had accepted. */
  readonly #former = new Set<Server<Incoming>>();
  /** Sockets whose place one with a new certificate took, while what is under way on them comes to its end. */
  readonly #replaced = new Set<IncomingSocket>();
  /** Sockets whose handshake is not done. */
  #strangers = 0;
  #closed = false;

  constructor(options: AcceptorOptions) {
    this.#options = options;
  }

  /** Throws Fault "port", and may then be called again. */
  listen(at: { readonly host: string; readonly port: number }): { readonly host: string; readonly port: number } {
    assert(this.#server === undefined, "the peer port is open already");
    const { host, port } = at;
    try {
      this.#server = this.#serve(host, port);
    } catch (error) {
      throw portFault(error, host, port, "--peer");
    }
    return { host, port: this.#server.port ?? port };
  }

  /**
   * Listens with the credentials as they are now. The runtime knows no other way to change them: the listener is replaced within this
   * turn, and the sockets that the former one accepted stay open.
   */
  renewed(): void {
    const former = this.#server;
    if (former === undefined || this.#closed) return;
    const { hostname, port } = former;
    this.#former.add(former);
    void former.stop(false).then(() => this.#former.delete(former));
    this.#server = this.#serve(hostname!, port!);
    setTimeout(() => this.#expelUnbelieved(), unbelievedMs);
  }

  #serve(hostname: string, port: number): Server<Incoming> {
    const { key, certificate, trusted, crossed = [], former = [] } = this.#options.identity.credentials();
    return Bun.serve<Incoming>({
      hostname,
      port,
      tls: {
        key,
        // Whoever was removed long ago believes an authority of then.
        cert: [certificate, ...crossed].map((pem) => pem.trim()).join("\n"),
        // TLS lets those of former authorities come as far as the hello, which refuses them with the right words.
        ca: [...trusted, ...former],
        requestCert: true,
        rejectUnauthorized: true,
      },
      fetch: (request, server) => this.#upgrade(request, server),
      websocket: {
        maxPayloadLength: limits.frameBytes,
        backpressureLimit: limits.sendBufferBytes,
        closeOnBackpressureLimit: false,
        idleTimeout: idleSeconds,
        perMessageDeflate: false,
        open: (socket) => this.#onOpen(socket),
        message: (socket, frame) => this.#onMessage(socket, frame),
        close: (socket) => this.#onClose(socket),
      },
    });
  }

  /** Who is connected by the word of an authority that is believed no more had the time to show a certificate of the new one. */
  #expelUnbelieved(): void {
    const { trusted } = this.#options.identity.credentials();
    for (const socket of [...this.#sockets.values(), ...this.#replaced]) {
      const { certificate } = socket.data;
      if (certificate !== undefined && issuerOf(certificate, trusted) === undefined)
        socket.close(closePolicy, "its certificate is believed no more");
    }
  }

  /** Closes the sockets of a peer that is no member any more. */
  expel(peer: NodeId): void {
    for (const [key, socket] of this.#sockets) {
      if (socket.data.peer === peer) this.#retire(key, socket, "no member any more");
    }
    for (const socket of this.#replaced) if (socket.data.peer === peer) socket.close(1000, "no member any more");
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const [key, socket] of this.#sockets) this.#retire(key, socket, "this node stops");
    for (const server of [this.#server, ...this.#former]) await server?.stop(true);
  }

  #upgrade(request: globalThis.Request, server: Server<Incoming>): Response | undefined {
    const { pathname, search } = new URL(request.url);
    const channel = pathname.slice(1);
    if (!channels.has(channel)) return new Response("this is the peer port of a skein node\n", { status: 404 });
    if (this.#strangers >= 3 * limits.nodes) return new Response("too many handshakes at once\n", { status: 503 });
    const data: Incoming = {
      channel: channel as Channel,
      challenge: makeNonce(),
      timer: undefined,
      peer: undefined,
      incarnation: "",
      certificate: undefined,
      renews: search === `?${renewal}`,
      assembly: new Assembly(),
      running: 0,
      retired: false,
    };
    if (server.upgrade(request, { data })) return undefined;
    return new Response("this is the peer port of a skein node\n", { status: 426 });
  }

  #onOpen(socket: IncomingSocket): void {
    this.#strangers++;
    socket.data.timer = setTimeout(() => socket.close(closePolicy, "no hello"), handshakeTimeoutMs);
    socket.sendBinary(encodeGreeting({ kind: "challenge", nonce: socket.data.challenge }));
  }

  #onMessage(socket: IncomingSocket, frame: string | Uint8Array): void {
    const { peer, retired } = socket.data;
    if (retired || this.#closed) return;
    if (typeof frame === "string") {
      this.#malformed(socket);
    } else if (peer !== undefined) {
      if (!this.#options.onFrame(socket, peer, frame)) socket.close(closePolicy, "a frame that makes no sense");
    } else {
      this.#onHello(socket, frame);
    }
  }

  #onHello(socket: IncomingSocket, frame: Uint8Array): void {
    const { identity } = this.#options;
    const { channel, challenge } = socket.data;
    let checked: ReturnType<typeof checkHello>;
    try {
      if (frame.length > handshakeFrameBytes) return this.#malformed(socket);
      checked = checkHello(frame, identity, channel, challenge, Date.now());
    } catch {
      return this.#malformed(socket);
    }
    if ("reason" in checked) {
      // Its certificate may be of an authority that was replaced because it was removed: then that is what it is to hear.
      const isRemoved = checked.former !== undefined && this.#options.wasRemoved(checked.former);
      return this.#reject(socket, isRemoved ? removal(checked.former!) : checked);
    }
    const { hello, certificate } = checked;
    if (!this.#options.isMember(hello.node)) {
      if (this.#options.wasRemoved(hello.node)) return this.#reject(socket, removal(hello.node));
      // Our list may lag behind the log: it may try again.
      return this.#reject(socket, { reason: `node ${hello.node} is not a member that it knows of`, final: false });
    }
    if (this.#options.isOldCopy(hello.node, hello.incarnation)) {
      const reason = `its data is an older copy: node ${hello.node} was started again since that was made`;
      return this.#reject(socket, { reason, final: true, removed: true, isOldCopy: true });
    }
    clearTimeout(socket.data.timer);
    this.#strangers--;
    socket.data.peer = hello.node;
    socket.data.incarnation = hello.incarnation;
    socket.data.certificate = certificate;
    const key = `${hello.node}/${channel}`;
    const former = this.#sockets.get(key);
    this.#sockets.set(key, socket);
    if (former !== undefined && socket.data.renews && former.data.incarnation === hello.incarnation) {
      this.#replaced.add(former);
      setTimeout(() => former.close(1000, "a newer socket took its place"), replacedMs);
    } else if (former !== undefined) {
      former.data.retired = true;
      former.close(1000, "a newer socket took its place");
      // Another process of the same node: the one we knew is dead, which may be news.
      if (former.data.incarnation !== hello.incarnation) this.#options.onClosed(hello.node, channel);
    }
    const { node, incarnation, level } = identity;
    socket.sendBinary(encodeGreeting({ kind: "welcome", node, incarnation, level, takesPieces: true }));
    this.#options.onAccepted(hello.node, channel);
  }

  #reject(socket: IncomingSocket, rejection: Rejection): void {
    this.#options.onRejected(rejection.reason, socket.remoteAddress);
    const epoch = this.#options.hasReachedEpoch() ? rejection.epoch : undefined;
    socket.sendBinary(encodeGreeting({ kind: "refused", ...rejection, epoch }));
    socket.close(closePolicy, "refused");
  }

  #malformed(socket: IncomingSocket): void {
    this.#options.onRejected("its handshake makes no sense", socket.remoteAddress);
    socket.close(closePolicy, "a frame that makes no sense");
  }

  #onClose(socket: IncomingSocket): void {
    const { peer, channel, retired, timer } = socket.data;
    if (peer === undefined) {
      clearTimeout(timer);
      this.#strangers--;
      return;
    }
    if (this.#replaced.delete(socket)) return;
    const key = `${peer}/${channel}`;
    if (this.#sockets.get(key) === socket) this.#sockets.delete(key);
    if (!retired && !this.#closed) this.#options.onClosed(peer, channel);
  }

  #retire(key: string, socket: IncomingSocket, reason: string): void {
    this.#sockets.delete(key);
    socket.data.retired = true;
    socket.close(1000, reason);
  }
}

function removal(node: NodeId): Rejection {
  return { reason: `node ${node} was removed from the cluster`, final: true, removed: true };
}
