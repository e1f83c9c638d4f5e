import { Fault } from "../lib/fault.ts";
import type { NodeId } from "../lib/ids.ts";
import { limits } from "../lib/limits.ts";
import type { Message } from "../raft/types.ts";
import { Acceptor, type IncomingSocket } from "./acceptor.ts";
import { newerThan } from "./epoch-gate.ts";
import { decodeMessages } from "./frames.ts";
import { type Counters, Link } from "./link.ts";
import { confirmation, isPiece } from "./pieces.ts";
import { type Answer, decodeRequest, encodeAnswer, failedAnswer, type Request } from "./rpc.ts";
import type { Kept, Peer, Transport, TransportOptions } from "./types.ts";

/** Raft sockets hear more often of each other; this finds the other channels, and a peer that neither leads nor follows. */
const keepAliveMs = 2500;

/** The members as this node reaches them: a {@link Link} of dialed sockets to each, and an {@link Acceptor} for theirs. */
export class Peers implements Transport {
  readonly #options: TransportOptions;
  readonly #acceptor: Acceptor;
  readonly #links = new Map<NodeId, Link>();
  /** Those who are let in; a member whose address is not known yet dials us first. */
  #members: ReadonlySet<NodeId> = new Set();
  readonly #counters: Counters = { sent: 0, received: 0, lost: 0, rejected: 0 };
  /** The last refusal told of each peer: a dial a second would repeat it for ever. */
  readonly #told = new Map<string, string>();
  #keepAlive: ReturnType<typeof setInterval> | undefined;
  /** The certificate that open sockets were dialed with. */
  #shown = "";
  #closed = false;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#acceptor = new Acceptor({
      identity: options.identity,
      hasReachedEpoch: () => options.hasReachedEpoch(),
      isMember: (node) => this.#members.has(node) || options.mayBeNewer(node),
      wasRemoved: (node) => options.wasRemoved(node),
      isOldCopy: (node, incarnation) => options.isOldCopy(node, incarnation),
      onAccepted: (peer) => this.#links.get(peer)?.wake(),
      onFrame: (socket, peer, frame) => this.#onFrame(socket, peer, frame),
      onClosed: (peer, channel) => {
        if (channel === "raft") this.#disconnected(peer);
      },
      onRejected: (reason, from) => this.#onRejected(reason, from),
    });
  }

  listen(at: {
    readonly host: string;
    readonly port: number;
  }): Promise<{ readonly host: string; readonly port: number }> {
    return new Promise((resolve) => {
      const bound = this.#acceptor.listen(at);
      this.#keepAlive = setInterval(() => {
        for (const link of this.#links.values()) link.keepAlive();
      }, keepAliveMs);
      resolve(bound);
    });
  }

  setPeers(peers: readonly Peer[]): void {
    if (this.#closed) return;
    this.#members = new Set(peers.map(({ node }) => node));
    const wanted = new Map(peers.filter(({ address }) => address !== "").map((peer) => [peer.node, peer]));
    wanted.delete(this.#options.identity.node);
    for (const [node, link] of this.#links) {
      if (wanted.get(node)?.address === link.address) continue;
      this.#links.delete(node);
      link.close();
      if (!this.#members.has(node)) this.#acceptor.expel(node);
    }
    for (const { node, address, kept = "all" } of wanted.values()) {
      this.#links.get(node)?.keep(kept);
      if (this.#links.has(node)) continue;
      const link = this.#link(node, address, kept);
      this.#links.set(node, link);
      link.wake();
    }
  }

  send(message: Message): void {
    const link = this.#links.get(message.to);
    if (link === undefined) this.#counters.lost++;
    else link.send(message);
  }

  request(
    peer: NodeId,
    method: string,
    body: unknown,
    options: { readonly channel?: "rpc" | "bulk"; readonly timeoutMs?: number } = {},
  ): Promise<unknown> {
    const link = this.#links.get(peer);
    if (link === undefined) {
      return Promise.reject(
        new Fault("peer-unreachable", `node ${peer} is not a member that this node knows of`, "safe"),
      );
    }
    return link.request(options.channel ?? "rpc", method, body, options.timeoutMs ?? limits.rpcTimeoutMs);
  }

  isConnected(peer: NodeId): boolean {
    return this.#links.get(peer)?.isConnected ?? false;
  }

  renewed(): void {
    this.#acceptor.renewed();
    const { certificate } = this.#options.identity.credentials();
    if (certificate === this.#shown) return;
    this.#shown = certificate;
    for (const link of this.#links.values()) link.renew();
  }

  stats(): Readonly<Counters> {
    return { ...this.#counters };
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#keepAlive);
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    await this.#acceptor.close();
  }

  #link(peer: NodeId, address: string, kept: Kept): Link {
    return new Link(this.#options.identity, peer, address, kept, this.#counters, {
      connected: () => {
        this.#told.delete(`${peer}/raft`);
        this.#options.onConnected(peer);
      },
      disconnected: () => this.#disconnected(peer),
      refused: (channel, { reason, final, removed = false, isOldCopy = false, epoch }) => {
        // The three channels are refused for the same reason: the raft one speaks for all.
        const key = `${peer}/raft`;
        if (channel !== "raft" || this.#told.get(key) === reason) return;
        this.#told.set(key, reason);
        const newer = newerThan(epoch, this.#options.identity.epoch);
        if (final) this.#options.onRefused(peer, { reason, removed, isOldCopy, newer });
        else this.#options.log("info", `node ${peer} at ${address} does not let this node in yet: ${reason}`);
      },
    });
  }

  /** Called in the socket's close handler: a crash is news within milliseconds. A peer that was removed is none. */
  #disconnected(peer: NodeId): void {
    if (!this.#closed && this.#links.has(peer)) this.#options.onDisconnected(peer);
  }

  #onRejected(reason: string, from: string): void {
    this.#counters.rejected++;
    if (this.#told.get(from) === reason) return;
    if (this.#told.size > limits.nodes) this.#told.clear();
    this.#told.set(from, reason);
    this.#options.log("warn", `a peer from ${from} was not let in, because as seen from there ${reason}`);
  }

  #onFrame(socket: IncomingSocket, peer: NodeId, heard: Uint8Array): boolean {
    try {
      let frame: Uint8Array | undefined = heard;
      if (isPiece(heard)) {
        frame = socket.data.assembly.take(heard);
        // Whoever sends waits for it, and would wait for ever.
        if (socket.sendBinary(confirmation) === 0) return false;
        if (frame === undefined) return true;
      }
      if (socket.data.channel === "raft") {
        const messages = decodeMessages(frame);
        // Handed over outside of this try: an error of the core is a bug, not a malformed frame.
        queueMicrotask(() => this.#receive(peer, messages));
      } else {
        const request = decodeRequest(frame);
        queueMicrotask(() => void this.#answer(socket, peer, request));
      }
      return true;
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#counters.rejected++;
      this.#options.log("warn", `node ${peer} sent ${error.message} on its ${socket.data.channel} socket`);
      return false;
    }
  }

  #receive(peer: NodeId, messages: readonly Message[]): void {
    for (const message of messages) {
      if (this.#closed) return;
      // That a verified copy of the state is here is said by this node to itself alone, once it is so.
      const isOwn = message.kind === "snapshot-request";
      if (isOwn || message.from !== peer || message.to !== this.#options.identity.node) {
        this.#counters.rejected++;
        continue;
      }
      this.#counters.received++;
      this.#options.onMessage(message);
    }
  }

  async #answer(socket: IncomingSocket, peer: NodeId, request: Request): Promise<void> {
    if (socket.data.running >= limits.rpcPending) {
      this.#reply(
        socket,
        failedAnswer(request.id, new Fault("peer-refused", "too many requests at once: try again later", "safe")),
      );
      return;
    }
    socket.data.running++;
    let answer: Answer;
    try {
      answer = { id: request.id, ok: true, body: await this.#options.onRequest(peer, request.method, request.body) };
    } catch (error) {
      answer = failedAnswer(request.id, error);
    }
    socket.data.running--;
    this.#reply(socket, answer);
  }

  #reply(socket: IncomingSocket, answer: Answer): void {
    if (this.#closed || socket.readyState !== 1) return;
    let frame = encodeAnswer(answer);
    if (frame.length > limits.frameBytes) {
      const message = `the answer of ${frame.length} bytes is over the limit of ${limits.frameBytes}`;
      frame = encodeAnswer({ id: answer.id, ok: false, message, retry: "never" });
    }
    // 0: dropped past the backpressure limit. The one who asked must not wait for it: the socket's end tells it.
    if (socket.sendBinary(frame) === 0) socket.close(1013, "the peer does not read");
  }
}
