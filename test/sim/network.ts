import { Fault } from "../../src/lib/fault.ts";
import type { NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Random } from "../../src/lib/prng.ts";
import type { TransportHooks } from "../../src/node/parts.ts";
import type { Message } from "../../src/raft/types.ts";
import { decodeMessages, encodeMessages } from "../../src/transport/frames.ts";
import { Caller, decodeRequest, encodeAnswer, failedAnswer } from "../../src/transport/rpc.ts";
import type { Transport } from "../../src/transport/types.ts";
import type { Handle, Runner, VirtualTime } from "./virtual-time.ts";

/**
 * The network between hosts, as the transport shows it: directed links, one dialed connection per direction with frames in order, lost with
 * the connection or with a full buffer. What a cut holds back comes late when the cut is held (as TCP does), or never. Requests use the
 * production's Caller and frames.
 */
export interface NetworkProfile {
  /** µs one way. */
  readonly delayMin: number;
  readonly delayMean: number;
  /** Of a frame of the raft channel. */
  readonly loss: number;
  readonly duplicate: number;
  /** Frames under way on one connection; more are lost. */
  readonly capacity: number;
  /** Messages travel as bytes. */
  readonly encodes: boolean;
}

/** Where a process is reached, and who it is. */
export interface Endpoint {
  readonly host: number;
  readonly runner: Runner;
  readonly node: NodeId;
  readonly incarnation: string;
}

const firstPause = 20_000;
const longestPause = 1_000_000;
const refusedPause = 5_000_000;
const dialTimeout = 1_000_000;
/** A peer that answers no pings is given up after this. */
const silentMicros = 6_000_000;

/** All hosts, and what lies between them. */
export class SimNetwork {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly profile: NetworkProfile;
  /** By address: who listens. */
  readonly listeners = new Map<string, SimTransport>();
  /** Cut links, "from>to". */
  readonly #cuts = new Map<string, { readonly holds: boolean; readonly since: number }>();
  /** Links that are slow for a while, "from>to": until when, and µs more. */
  readonly #clogs = new Map<string, { readonly until: number; readonly more: number }>();
  readonly #held = new Map<string, (() => void)[]>();
  readonly connections = new Set<Connection>();
  /** Told before a message leaves. */
  onSend: (from: Endpoint, messages: readonly Message[]) => void = () => {};
  /** Late troubles change nothing any more. */
  settled = false;
  frames = 0;
  lost = 0;
  duplicated = 0;
  overflowed = 0;
  heldFrames = 0;

  constructor(time: VirtualTime, random: Random, profile: NetworkProfile) {
    this.time = time;
    this.random = random;
    this.profile = profile;
  }

  cut(from: number, to: number, holds: boolean): void {
    const key = `${from}>${to}`;
    if (this.#cuts.has(key)) return;
    this.#cuts.set(key, { holds, since: this.time.now });
    this.time.after(silentMicros, undefined, () => this.#giveUp(from, to, key));
  }

  /** A cut that lasts is noticed by both ends: pings stay without an answer. */
  #giveUp(from: number, to: number, key: string): void {
    const cut = this.#cuts.get(key);
    if (cut === undefined || this.time.now - cut.since < silentMicros) return;
    this.#held.delete(key);
    for (const connection of this.connections) {
      const { dialer, acceptor } = connection;
      const isOver =
        (dialer.endpoint.host === from && acceptor.endpoint.host === to) ||
        (dialer.endpoint.host === to && acceptor.endpoint.host === from);
      if (isOver) connection.end(0, 0);
    }
  }

  heal(from: number, to: number): void {
    const key = `${from}>${to}`;
    if (!this.#cuts.delete(key)) return;
    const held = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const deliver of held) deliver();
  }

  healAll(): void {
    for (const key of Array.from(this.#cuts.keys())) {
      const [from, to] = key.split(">").map(Number) as [number, number];
      this.heal(from, to);
    }
    this.#clogs.clear();
  }

  clog(from: number, to: number, until: number, more: number): void {
    this.#clogs.set(`${from}>${to}`, { until, more });
  }

  isCut(from: number, to: number): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`);
  }

  hasCuts(): boolean {
    return this.#cuts.size > 0;
  }

  delay(from: number, to: number): number {
    const { delayMin, delayMean } = this.profile;
    const clog = this.#clogs.size === 0 ? undefined : this.#clogs.get(`${from}>${to}`);
    const more = clog !== undefined && clog.until > this.time.now ? clog.more : 0;
    return delayMin - Math.log(1 - this.random()) * delayMean + more;
  }

  /** Held until the link is whole again; false: lost. */
  hold(from: number, to: number, deliver: () => void): boolean {
    const key = `${from}>${to}`;
    if (this.#cuts.get(key)?.holds !== true) return false;
    const held = this.#held.get(key);
    if (held === undefined) this.#held.set(key, [deliver]);
    else if (held.length < this.profile.capacity) held.push(deliver);
    else return false;
    this.heldFrames += 1;
    return true;
  }
}

/** One dialed connection: frames of the dialer one way, answers the other. */
class Connection {
  readonly network: SimNetwork;
  readonly dialer: SimTransport;
  readonly acceptor: SimTransport;
  readonly link: Link;
  isOpen = true;
  #toAcceptor = { last: 0, under: 0 };
  #toDialer = { last: 0, under: 0 };

  constructor(network: SimNetwork, link: Link, dialer: SimTransport, acceptor: SimTransport) {
    this.network = network;
    this.link = link;
    this.dialer = dialer;
    this.acceptor = acceptor;
    network.connections.add(this);
  }

  /** In order; false when the buffer is full or the link is cut for good. */
  send(toAcceptor: boolean, deliver: () => void): boolean {
    const { network } = this;
    const from = (toAcceptor ? this.dialer : this.acceptor).endpoint;
    const to = (toAcceptor ? this.acceptor : this.dialer).endpoint;
    const lane = toAcceptor ? this.#toAcceptor : this.#toDialer;
    if (!this.isOpen) return false;
    network.frames += 1;
    if (lane.under >= network.profile.capacity) {
      network.overflowed += 1;
      return false;
    }
    lane.under += 1;
    const go = (): void => {
      lane.last = Math.max(lane.last + 1, network.time.now + network.delay(from.host, to.host));
      network.time.after(lane.last - network.time.now, to.runner, () => {
        lane.under -= 1;
        // What was on its way when the connection ended may still come; frames of the next one may overtake it.
        if (this.isOpen || network.random() < 0.5) deliver();
      });
    };
    if (!network.isCut(from.host, to.host)) go();
    else if (!network.hold(from.host, to.host, go)) {
      lane.under -= 1;
      network.lost += 1;
    }
    return true;
  }

  /** Ends it; each end hears of it after so many µs, where it hears at all (negative: never). */
  end(dialerAfter: number, acceptorAfter: number): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    const { network, dialer, acceptor, link } = this;
    network.connections.delete(this);
    if (dialerAfter >= 0) network.time.after(dialerAfter, dialer.endpoint.runner, () => dialer.onLinkEnded(link, this));
    if (acceptorAfter >= 0)
      network.time.after(acceptorAfter, acceptor.endpoint.runner, () => acceptor.onAcceptedEnded(this));
  }
}

/** What one process dials. */
class Link {
  readonly peer: NodeId;
  readonly address: string;
  connection: Connection | undefined;
  dialing = false;
  closed = false;
  pause = firstPause;
  timer: Handle | undefined;
  outbox: Message[] = [];
  openedAt = 0;
  readonly callers: { readonly rpc: Caller; readonly bulk: Caller };

  constructor(peer: NodeId, address: string, send: (channel: "rpc" | "bulk", frame: Uint8Array) => boolean) {
    this.peer = peer;
    this.address = address;
    const socketOf = (channel: "rpc" | "bulk") => {
      const link = (): Link => this;
      return {
        get isOpen(): boolean {
          return link().connection !== undefined;
        },
        get isDialing(): boolean {
          return link().dialing;
        },
        send: (frame: Uint8Array) => send(channel, frame),
      };
    };
    this.callers = {
      rpc: new Caller(socketOf("rpc"), `node ${peer}`),
      bulk: new Caller(socketOf("bulk"), `node ${peer}`),
    };
  }
}

/** The transport of one process. */
export class SimTransport implements Transport {
  readonly endpoint: Endpoint;
  readonly address: string;
  readonly #network: SimNetwork;
  readonly #hooks: TransportHooks;
  readonly #links = new Map<NodeId, Link>();
  #members: ReadonlySet<NodeId> = new Set();
  readonly #accepted = new Map<NodeId, Connection>();
  #counters = { sent: 0, received: 0, lost: 0, rejected: 0 };
  #closed = false;

  constructor(network: SimNetwork, endpoint: Endpoint, address: string, hooks: TransportHooks) {
    this.#network = network;
    this.endpoint = endpoint;
    this.address = address;
    this.#hooks = hooks;
  }

  listen(): Promise<{ readonly host: string; readonly port: number }> {
    this.#network.listeners.set(this.address, this);
    return Promise.resolve({ host: this.address, port: 1 });
  }

  setPeers(peers: readonly { readonly node: NodeId; readonly address: string }[]): void {
    if (this.#closed) return;
    this.#members = new Set(peers.map(({ node }) => node));
    const wanted = new Map(peers.filter(({ address }) => address !== "").map(({ node, address }) => [node, address]));
    for (const [node, link] of this.#links) {
      if (wanted.get(node) === link.address) continue;
      this.#links.delete(node);
      this.#closeLink(link);
      if (!this.#members.has(node)) {
        const accepted = this.#accepted.get(node);
        this.#accepted.delete(node);
        accepted?.end(this.#network.delay(this.endpoint.host, accepted.dialer.endpoint.host), -1);
      }
    }
    for (const [node, address] of wanted) {
      if (this.#links.has(node)) continue;
      const link: Link = new Link(node, address, (channel, frame) => this.#sendRequest(link, channel, frame));
      this.#links.set(node, link);
      this.#dial(link);
    }
  }

  #closeLink(link: Link): void {
    link.closed = true;
    this.#network.time.cancel(link.timer);
    const { connection } = link;
    link.connection = undefined;
    if (connection !== undefined)
      connection.end(-1, this.#network.delay(this.endpoint.host, connection.acceptor.endpoint.host));
    link.callers.rpc.closed();
    link.callers.bulk.closed();
    this.#counters.lost += link.outbox.length;
    link.outbox = [];
  }

  // ------------------------------------------------------------------------------------------------ dialing

  #dial(link: Link): void {
    if (link.closed || link.dialing || link.connection !== undefined) return;
    this.#network.time.cancel(link.timer);
    link.dialing = true;
    const network = this.#network;
    const { time } = network;
    const { runner } = this.endpoint;
    const fail = (pause: number): void => {
      if (!link.dialing || link.closed) return;
      link.dialing = false;
      link.callers.rpc.closed();
      link.callers.bulk.closed();
      link.pause = Math.min(link.pause * 2, longestPause);
      link.timer = time.after(pause * (0.5 + network.random()), runner, () => this.#dial(link));
    };
    const target = network.listeners.get(link.address);
    const there = target?.endpoint.host ?? -1;
    if (target === undefined || !target.endpoint.runner.alive) {
      // Nobody listens: refused at once where the host is there at all.
      link.timer = time.after(network.delay(this.endpoint.host, there) + 200, runner, () => fail(link.pause));
      return;
    }
    if (network.isCut(this.endpoint.host, there) || network.isCut(there, this.endpoint.host)) {
      link.timer = time.after(dialTimeout, runner, () => fail(link.pause));
      return;
    }
    // A frozen listener answers when it runs again; the dialer gives up before.
    link.timer = time.after(5 * dialTimeout, runner, () => fail(link.pause));
    time.after(2 * network.delay(this.endpoint.host, there), target.endpoint.runner, () => {
      const refusal = target.refusalOf(this.endpoint, link.peer);
      if (refusal !== undefined) {
        time.after(network.delay(there, this.endpoint.host), runner, () => {
          if (!link.dialing || link.closed) return;
          time.cancel(link.timer);
          const { isOldCopy = false } = refusal;
          if (refusal.final) this.#hooks.onRefused(link.peer, { ...refusal, isOldCopy, newer: undefined });
          fail(refusal.final ? refusedPause : link.pause);
        });
        return;
      }
      const connection = new Connection(network, link, this, target);
      target.accept(connection);
      time.after(network.delay(there, this.endpoint.host), runner, () => {
        if (link.closed || !link.dialing || !connection.isOpen) {
          connection.end(-1, 0);
          fail(link.pause);
          return;
        }
        time.cancel(link.timer);
        link.dialing = false;
        link.connection = connection;
        link.openedAt = time.now;
        this.#hooks.onConnected(link.peer);
        link.callers.rpc.opened();
        link.callers.bulk.opened();
      });
    });
  }

  refusalOf(
    dialer: Endpoint,
    meant: NodeId,
  ):
    | { readonly reason: string; readonly final: boolean; readonly removed: boolean; readonly isOldCopy?: boolean }
    | undefined {
    if (meant !== this.endpoint.node)
      return { reason: `this is node ${this.endpoint.node}, not ${meant}`, final: true, removed: false };
    if (this.#hooks.isOldCopy(dialer.node, dialer.incarnation))
      return { reason: `node ${dialer.node} has started again since`, final: true, removed: true, isOldCopy: true };
    if (this.#members.has(dialer.node) || this.#hooks.mayBeNewer(dialer.node)) return undefined;
    if (this.#hooks.wasRemoved(dialer.node))
      return { reason: `node ${dialer.node} was removed from the cluster`, final: true, removed: true };
    return { reason: `node ${dialer.node} is not a member that it knows of`, final: false, removed: false };
  }

  accept(connection: Connection): void {
    const peer = connection.dialer.endpoint.node;
    const former = this.#accepted.get(peer);
    this.#accepted.set(peer, connection);
    if (former !== undefined) {
      former.end(0, -1);
      const isOther = former.dialer.endpoint.incarnation !== connection.dialer.endpoint.incarnation;
      if (isOther && this.#links.has(peer)) this.#hooks.onDisconnected(peer);
    }
    const link = this.#links.get(peer);
    if (link !== undefined && !link.dialing) this.#dial(link);
  }

  onLinkEnded(link: Link, connection: Connection): void {
    if (link.connection !== connection) return;
    link.connection = undefined;
    this.#counters.lost += link.outbox.length;
    link.outbox = [];
    link.callers.rpc.closed();
    link.callers.bulk.closed();
    if (!this.#closed && !link.closed && this.#links.has(link.peer)) this.#hooks.onDisconnected(link.peer);
    if (link.closed) return;
    const wasSteady = this.#network.time.now - link.openedAt >= 1_000_000;
    if (wasSteady) link.pause = firstPause;
    const pause = wasSteady ? 0 : link.pause;
    link.timer = this.#network.time.after(pause, this.endpoint.runner, () => this.#dial(link));
  }

  onAcceptedEnded(connection: Connection): void {
    const peer = connection.dialer.endpoint.node;
    if (this.#accepted.get(peer) !== connection) return;
    this.#accepted.delete(peer);
    if (!this.#closed && this.#links.has(peer)) this.#hooks.onDisconnected(peer);
  }

  // ---------------------------------------------------------------------------------------------- messages

  send(message: Message): void {
    const link = this.#links.get(message.to);
    if (link?.connection === undefined || !this.endpoint.runner.alive) {
      this.#counters.lost++;
      return;
    }
    this.#network.onSend(this.endpoint, [message]);
    link.outbox.push(message);
    if (link.outbox.length === 1) queueMicrotask(() => this.#flush(link));
  }

  #flush(link: Link): void {
    const { connection, outbox } = link;
    link.outbox = [];
    if (connection === undefined || outbox.length === 0 || !this.endpoint.runner.alive) return;
    const network = this.#network;
    const { loss, duplicate, encodes } = network.profile;
    const target = connection.acceptor;
    const messages = encodes ? decodeMessages(encodeMessages(outbox)) : outbox;
    const deliver = (): void => target.#receive(this.endpoint.node, messages);
    if (loss > 0 && network.random() < loss) {
      network.lost += 1;
      this.#counters.lost += messages.length;
      return;
    }
    this.#counters.sent += messages.length;
    connection.send(true, deliver);
    if (duplicate > 0 && network.random() < duplicate) {
      network.duplicated += 1;
      network.time.after(network.delay(this.endpoint.host, target.endpoint.host) * 4, target.endpoint.runner, deliver);
    }
  }

  #receive(peer: NodeId, messages: readonly Message[]): void {
    if (!this.#members.has(peer) && !this.#hooks.mayBeNewer(peer)) return;
    for (const message of messages) {
      if (this.#closed) return;
      this.#counters.received++;
      const { time } = this.#network;
      time.trace(message.term);
      time.trace(kindNumbers.get(message.kind) ?? 0);
      this.#hooks.onMessage(message);
    }
  }

  // ---------------------------------------------------------------------------------------------- requests

  request(
    peer: NodeId,
    method: string,
    body: unknown,
    options: { readonly channel?: "rpc" | "bulk"; readonly timeoutMs?: number } = {},
  ): Promise<unknown> {
    const link = this.#links.get(peer);
    if (link === undefined)
      return Promise.reject(
        new Fault("peer-unreachable", `node ${peer} is not a member that this node knows of`, "safe"),
      );
    return link.callers[options.channel ?? "rpc"].request(method, body, options.timeoutMs ?? limits.rpcTimeoutMs);
  }

  #sendRequest(link: Link, channel: "rpc" | "bulk", frame: Uint8Array): boolean {
    const { connection } = link;
    if (connection === undefined || !this.endpoint.runner.alive) return false;
    const target = connection.acceptor;
    return connection.send(true, () => {
      const { id, method, body } = decodeRequest(frame);
      const answer = (bytes: Uint8Array): void => {
        if (!target.endpoint.runner.alive) return;
        connection.send(false, () => {
          if (link.connection === connection) link.callers[channel].onFrame(bytes);
        });
      };
      void (async () => {
        try {
          answer(encodeAnswer({ id, ok: true, body: await target.#hooks.onRequest(this.endpoint.node, method, body) }));
        } catch (error) {
          answer(encodeAnswer(failedAnswer(id, error)));
        }
      })();
    });
  }

  renewed(): void {}

  isConnected(peer: NodeId): boolean {
    return this.#links.get(peer)?.connection !== undefined;
  }

  stats(): { readonly sent: number; readonly received: number; readonly lost: number; readonly rejected: number } {
    return this.#counters;
  }

  /** In good order: the others hear of it. */
  close(): Promise<void> {
    const links = [...this.#links.values()];
    this.#end((to) => this.#network.delay(this.endpoint.host, to));
    for (const { callers } of links) {
      callers.rpc.closed();
      callers.bulk.closed();
    }
    return Promise.resolve();
  }

  /** The process is gone: its kernel, where that is left, tells those whom it can reach; the others notice the silence. */
  die(withHost: boolean): void {
    this.#end((to) =>
      withHost || this.#network.isCut(this.endpoint.host, to)
        ? silentMicros
        : this.#network.delay(this.endpoint.host, to),
    );
  }

  #end(after: (host: number) => number): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#network.listeners.get(this.address) === this) this.#network.listeners.delete(this.address);
    for (const link of this.#links.values()) {
      link.closed = true;
      this.#network.time.cancel(link.timer);
      link.connection?.end(-1, after(link.connection.acceptor.endpoint.host));
      link.connection = undefined;
    }
    this.#links.clear();
    for (const connection of this.#accepted.values()) connection.end(after(connection.dialer.endpoint.host), -1);
    this.#accepted.clear();
  }
}

const kindNumbers = new Map<string, number>(
  [
    "pre-vote-request",
    "pre-vote-response",
    "vote-request",
    "vote-response",
    "append-request",
    "append-response",
    "append-rejection",
    "heartbeat-request",
    "heartbeat-response",
    "snapshot-request",
    "timeout-now",
  ].map((kind, number) => [kind, number + 1]),
);
