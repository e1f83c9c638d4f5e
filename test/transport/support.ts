import { type ClientOptions, WebSocket } from "ws";
import { firstEpoch } from "../../src/lib/epoch.ts";
import { index, nodeId, term, type NodeId } from "../../src/lib/ids.ts";
import type { Message, MessageOf } from "../../src/raft/types.ts";
import type { NodeCredentials } from "../../src/transport/certificate.ts";
import { decodeGreeting, makeHello } from "../../src/transport/handshake.ts";
import { Peers } from "../../src/transport/peers.ts";
import type { Channel, PeerIdentity } from "../../src/transport/types.ts";
import { credentials } from "./credentials.ts";

/** The language of the transport tests: nodes with everything that happened to them, which can be awaited. */

const known = new Map(await Promise.all([1, 2, 3].map(async (node) => [node, await credentials({ node })] as const)));

export function identity(node: number, more: Partial<PeerIdentity> = {}): PeerIdentity {
  return {
    cluster: "c1",
    epoch: firstEpoch,
    node: nodeId(node),
    incarnation: "1",
    level: 1,
    credentials: () => known.get(node)!,
    ...more,
  };
}

/** The options of a client's socket that shows these credentials. */
export function shown({ key, certificate, trusted }: NodeCredentials): ClientOptions {
  return { key, cert: certificate, ca: [...trusted] };
}

export function heartbeat(from: number, to: number, round = 0): MessageOf<"heartbeat-request"> {
  return { kind: "heartbeat-request", from: nodeId(from), to: nodeId(to), term: term(1), commit: index(0), round };
}

export class Station {
  readonly peers: Peers;
  readonly id: NodeId;
  port = 0;
  readonly messages: Message[] = [];
  /** "connected 2", "disconnected 2", "refused 2: why". */
  readonly events: string[] = [];
  readonly logs: string[] = [];
  readonly removed = new Set<number>();
  readonly newer = new Set<number>();
  hasReachedEpoch = true;
  answer: (peer: NodeId, method: string, body: unknown) => Promise<unknown> = (_peer, _method, body) =>
    Promise.resolve(body);
  #waiting: { readonly done: () => boolean; readonly resolve: () => void }[] = [];

  constructor(who: PeerIdentity) {
    this.id = who.node;
    this.peers = new Peers({
      identity: who,
      onMessage: (message) => this.#happened(() => this.messages.push(message)),
      onConnected: (peer) => this.#happened(() => this.events.push(`connected ${peer}`)),
      onDisconnected: (peer) => this.#happened(() => this.events.push(`disconnected ${peer}`)),
      onRefused: (peer, { reason, removed, isOldCopy, newer }) => {
        const how = newer !== undefined ? "fenced by" : isOldCopy ? "a copy to" : removed ? "removed by" : "refused";
        this.#happened(() => this.events.push(`${how} ${peer}: ${reason}`));
      },
      hasReachedEpoch: () => this.hasReachedEpoch,
      wasRemoved: (node) => this.removed.has(node),
      mayBeNewer: (node) => this.newer.has(node),
      isOldCopy: (_node, incarnation) => incarnation === "old",
      onRequest: (peer, method, body) => this.answer(peer, method, body),
      log: (_level, message) => this.#happened(() => this.logs.push(message)),
    });
  }

  static async open(node: number, more: Partial<PeerIdentity> = {}, port = 0): Promise<Station> {
    const station = new Station(identity(node, more));
    station.port = (await station.peers.listen({ host: "127.0.0.1", port })).port;
    return station;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  knows(...others: readonly { readonly id: number; readonly address: string }[]): void {
    this.peers.setPeers(others.map(({ id, address }) => ({ node: nodeId(id), address })));
  }

  /** For what is no event of this station. */
  async waitFor(done: () => boolean): Promise<void> {
    while (!done()) await Bun.sleep(1);
  }

  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done, resolve }));
  }

  /** Waits for the event, and forgets it and what was before. */
  async next(event: string): Promise<void> {
    await this.until(() => this.events.includes(event));
    this.events.splice(0, this.events.indexOf(event) + 1);
  }

  #happened(record: () => void): void {
    record();
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => !one.done());
    for (const one of waiting) if (one.done()) one.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.peers.close();
  }
}

/** Two nodes with sockets to each other, both ways. */
export async function pair(one: Station, two: Station): Promise<void> {
  one.knows({ id: two.id, address: two.address });
  two.knows({ id: one.id, address: one.address });
  await Promise.all([one.next(`connected ${two.id}`), two.next(`connected ${one.id}`)]);
}

/** A socket that speaks the handshake by hand as node 2 and gives what closed it. */
export async function byHand(station: Station, channel: Channel, who = identity(2), to = 1) {
  const socket = new WebSocket(`wss://${station.address}/${channel}`, shown(who.credentials()));
  const closed = new Promise<number>((resolve) => socket.on("close", (code: number) => resolve(code)));
  const greetings: ReturnType<typeof decodeGreeting>[] = [];
  await new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    const onGreeting = (frame: Buffer): void => {
      const greeting = decodeGreeting(frame);
      greetings.push(greeting);
      if (greeting.kind === "challenge") socket.send(makeHello(who, nodeId(to), channel, greeting.nonce));
      else {
        socket.off("message", onGreeting);
        resolve();
      }
    };
    socket.on("message", onGreeting);
  });
  return { socket, closed, last: greetings.at(-1) };
}
