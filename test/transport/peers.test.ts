import { expect, test } from "bun:test";
import { join } from "node:path";
import { type ClientOptions, WebSocket } from "ws";
import { encode } from "../../src/lib/codec.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { Message, MessageOf } from "../../src/raft/types.ts";
import { decodeGreeting, makeHello } from "../../src/transport/handshake.ts";
import { encodeMessages } from "../../src/transport/frames.ts";
import { expectFree } from "../../src/transport/port.ts";
import { crossSign, makeAuthority } from "../../src/node/certificates.ts";
import { authority, credentials, stranger } from "./credentials.ts";
import { byHand, heartbeat, identity, pair, shown, Station } from "./support.ts";
import type { Channel } from "../../src/transport/types.ts";

async function faultOf(promise: Promise<unknown>): Promise<Fault> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(Fault);
  return error as Fault;
}

/** Node 2 in a process of its own, with its first line: the port. */
async function spawnStation(peerPort: number, port = 0) {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "station-process.ts"), "2", String(port), String(peerPort)],
    { stdout: "pipe", stderr: "inherit", env: { ...process.env, SKEIN_TEST_AUTHORITY: JSON.stringify(authority) } },
  );
  const first = await child.stdout.getReader().read();
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    await child.exited;
  };
  return { child, port: Number(new TextDecoder().decode(first.value)), end, [Symbol.asyncDispose]: end };
}

test("messages of every kind arrive as they were sent, in order", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  const envelope = { from: nodeId(1), to: nodeId(2), term: term(3) };
  const sent: Message[] = [
    { kind: "pre-vote-request", ...envelope, lastIndex: index(5), lastTerm: term(2) },
    { kind: "vote-response", ...envelope, granted: true },
    {
      kind: "append-request",
      ...envelope,
      previousIndex: index(4),
      previousTerm: term(2),
      commit: index(3),
      entries: [{ index: index(5), term: term(3), kind: "command", data: new Uint8Array([1, 2, 3]) }],
    },
    {
      kind: "append-rejection",
      ...envelope,
      rejected: index(4),
      hintIndex: index(2),
      hintTerm: term(1),
      repairing: false,
    },
    { kind: "timeout-now", ...envelope },
  ];
  for (const message of sent) one.peers.send(message);
  await two.until(() => two.messages.length === sent.length);
  expect(two.messages.map((message) => message.kind)).toEqual(sent.map((message) => message.kind));
  expect(two.messages[0]).toEqual(sent[0] as Message);
  const append = two.messages[2];
  expect(append?.kind === "append-request" && Array.from(append.entries[0]!.data)).toEqual([1, 2, 3]);
  expect(one.peers.stats().sent).toBe(sent.length);
  expect(two.peers.stats().received).toBe(sent.length);
});

test("requests are answered on both channels, also at once and out of order", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  two.answer = async (peer, method, body) => {
    if (body === 0) await Bun.sleep(5);
    return { peer, method, body };
  };
  await pair(one, two);
  const ask = (body: number, channel: "rpc" | "bulk") => one.peers.request(nodeId(2), "echo", body, { channel });
  const answers = await Promise.all([ask(0, "rpc"), ask(1, "rpc"), ask(2, "bulk"), ask(3, "bulk")]);
  expect(answers as unknown).toEqual([0, 1, 2, 3].map((body) => ({ peer: nodeId(1), method: "echo", body })));
});

test("an answer that is an error comes back as peer-refused with its message and retry policy", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  two.answer = () => Promise.reject(new Fault("disk-full", "no room here", "safe"));
  expect(await faultOf(one.peers.request(nodeId(2), "write", null))).toMatchObject({
    code: "peer-refused",
    message: "no room here",
    retry: "safe",
  });
  two.answer = () => Promise.reject(new Error("odd"));
  expect(await faultOf(one.peers.request(nodeId(2), "write", null))).toMatchObject({
    message: "odd",
    retry: "unknown",
  });
});

test("a request that is not answered in time may have happened", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  two.answer = () => new Promise(() => {});
  const fault = await faultOf(one.peers.request(nodeId(2), "write", null, { timeoutMs: 20 }));
  expect(fault).toMatchObject({ code: "peer-timeout", retry: "unknown" });
});

test("a request to nobody was safely not sent, and a message to nobody is counted as lost", async () => {
  await using one = await Station.open(1);
  expect(await faultOf(one.peers.request(nodeId(9), "write", null))).toMatchObject({
    code: "peer-unreachable",
    retry: "safe",
  });
  one.peers.send(heartbeat(1, 9));
  expect(one.peers.stats().lost).toBe(1);
});

test("a request made while the first dial is under way waits for it", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  two.knows({ id: 1, address: one.address });
  one.knows({ id: 2, address: two.address });
  expect(await one.peers.request(nodeId(2), "echo", "early")).toBe("early");
});

test("a killed peer is news, its requests end as unknown, and it is found again on the same port", async () => {
  await using one = await Station.open(1);
  await using first = await spawnStation(one.port);
  one.knows({ id: 2, address: `127.0.0.1:${first.port}` });
  await one.next("connected 2");
  expect(await one.peers.request(nodeId(2), "echo", 1)).toBe(1);
  first.child.kill("SIGSTOP");
  const open = faultOf(one.peers.request(nodeId(2), "echo", 2));
  await first.end();
  // Once for each direction.
  await one.next("disconnected 2");
  await one.next("disconnected 2");
  expect(await open).toMatchObject({ code: "peer-unreachable", retry: "unknown" });
  expect(one.peers.isConnected(nodeId(2))).toBe(false);
  await using second = await spawnStation(one.port, first.port);
  expect(second.port).toBe(first.port);
  await one.next("connected 2");
  expect(one.peers.isConnected(nodeId(2))).toBe(true);
});

test("a peer that does not read costs lost messages and refused requests, not memory", async () => {
  await using one = await Station.open(1);
  await using frozen = await spawnStation(one.port);
  one.knows({ id: 2, address: `127.0.0.1:${frozen.port}` });
  await one.next("connected 2");
  expect(await one.peers.request(nodeId(2), "echo", 1)).toBe(1);
  frozen.child.kill("SIGSTOP");
  const data = new Uint8Array(8 * 1024 * 1024);
  for (let round = 0; one.peers.stats().lost === 0 && round < 50; round++) {
    one.peers.send({
      kind: "append-request",
      from: nodeId(1),
      to: nodeId(2),
      term: term(1),
      previousIndex: index(round),
      previousTerm: term(0),
      commit: index(0),
      entries: [{ index: index(round + 1), term: term(1), kind: "command", data }],
    });
    await Promise.resolve();
  }
  expect(one.peers.stats().lost).toBe(1);
  const outcomes: Promise<Fault>[] = [];
  for (let round = 0; round < 9; round++) outcomes.push(faultOf(one.peers.request(nodeId(2), "echo", data)));
  expect(await outcomes.at(-1)).toMatchObject({ code: "peer-unreachable", retry: "safe" });
  await frozen.end();
  await Promise.all(outcomes);
});

test("a node of another cluster is refused for good, with the reason", async () => {
  const other = await credentials({ node: 2, cluster: "c2" });
  await using one = await Station.open(1);
  await using two = await Station.open(2, { cluster: "c2", credentials: () => other });
  one.knows({ id: 2, address: two.address });
  two.knows({ id: 1, address: one.address });
  await two.until(() => two.events.some((event) => event.startsWith("refused 1: it belongs to another cluster")));
  await one.until(() => one.events.some((event) => event.startsWith("refused 2: it belongs to another cluster")));
  expect(one.peers.isConnected(nodeId(2))).toBe(false);
});

test("without a certificate, or with one of an unknown authority or out of date, nobody comes as far as the handshake", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const { key, certificate, trusted } = identity(2).credentials();
  const outdated = await credentials({ node: 2, lifetimeMs: -1000 });
  const foreign = await credentials({ node: 2, by: stranger, trusted: [authority] });
  const heard = (options: ClientOptions): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`wss://${one.address}/raft`, options);
      socket.on("message", () => resolve("a challenge"));
      socket.on("error", () => resolve("nothing"));
      socket.on("close", () => resolve("nothing"));
    });
  expect(await heard({ key, cert: certificate, ca: [...trusted] })).toBe("a challenge");
  expect(await heard({ ca: [...trusted] })).toBe("nothing");
  expect(await heard(shown(foreign))).toBe("nothing");
  expect(await heard(shown(outdated))).toBe("nothing");
  expect(one.events).toEqual([]);
  const inTheClear = await fetch(`http://${one.address}/raft`).then(
    (response) => response.status,
    () => "nothing",
  );
  expect(inTheClear).not.toBe(101);
});

test("an acceptor of an unknown authority, or whose certificate has expired, is not talked to", async () => {
  const foreign = await credentials({ node: 2, by: stranger });
  await using two = await Station.open(2, { credentials: () => foreign });
  await using one = await Station.open(1);
  one.knows({ id: 2, address: two.address });
  await one.next("refused 2: its certificate is of an authority that is not this cluster's");
  const outdated = await credentials({ node: 3, lifetimeMs: -1000 });
  await using three = await Station.open(3, { credentials: () => outdated });
  one.knows({ id: 3, address: three.address });
  await one.until(() => one.logs.some((line) => line.includes("its certificate has expired")));
  expect(one.peers.isConnected(nodeId(3))).toBe(false);
});

test("a certificate lets its own node in and no other one, whatever the hello says", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" }, { id: 3, address: "127.0.0.1:1" });
  const asThree = identity(3, { credentials: () => identity(2).credentials() });
  const { last } = await byHand(one, "raft", asThree);
  expect(last).toMatchObject({
    kind: "refused",
    reason: "this node's certificate is node 2's, not node 3's",
    final: true,
  });
  // With a good certificate for TLS, and in the hello another node's, whose key it does not have.
  const stolen = { ...identity(2).credentials(), certificate: identity(3).credentials().certificate };
  const socket = new WebSocket(`wss://${one.address}/raft`, shown(identity(2).credentials()));
  const answer = await new Promise<ReturnType<typeof decodeGreeting>>((resolve) => {
    socket.on("message", (frame: Buffer) => {
      const greeting = decodeGreeting(frame);
      if (greeting.kind !== "challenge") return resolve(greeting);
      socket.send(makeHello(identity(3, { credentials: () => stolen }), nodeId(1), "raft", greeting.nonce));
    });
  });
  expect(answer).toMatchObject({ kind: "refused", reason: "this node does not have the key of its certificate" });
  expect(one.events).toEqual([]);
});

test("new credentials are shown and asked for from then on, while open sockets stay", async () => {
  const before = { now: identity(1).credentials() };
  await using one = await Station.open(1, { credentials: () => before.now });
  await using two = await Station.open(2);
  await pair(one, two);
  before.now = await credentials({ node: 1, by: stranger });
  one.peers.renewed();
  expect(await two.peers.request(nodeId(1), "echo", "the old socket")).toBe("the old socket");
  const moved = await credentials({ node: 3, by: stranger });
  await using three = await Station.open(3, { credentials: () => moved });
  one.knows({ id: 2, address: two.address }, { id: 3, address: three.address });
  three.knows({ id: 1, address: one.address });
  await three.next("connected 1");
  expect(await three.peers.request(nodeId(1), "echo", "a new one")).toBe("a new one");
  const outside = new WebSocket(`wss://${one.address}/raft`, shown(identity(2).credentials()));
  await new Promise((resolve) => outside.on("error", resolve));
  expect(two.peers.isConnected(nodeId(1))).toBe(true);
});

test("another node at the address is not taken for the wanted one", async () => {
  await using one = await Station.open(1);
  await using three = await Station.open(3);
  three.knows({ id: 1, address: one.address });
  one.knows({ id: 2, address: three.address });
  await one.until(() => one.logs.some((line) => line.includes("it is node 3, not node 2")));
  expect(one.peers.isConnected(nodeId(2))).toBe(false);
  expect(one.events).toEqual([]);
});

test("a node that is not known yet is let in once it is", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  two.knows({ id: 1, address: one.address });
  await two.until(() => two.logs.some((line) => line.includes("not a member that it knows of")));
  expect(two.events).toEqual([]);
  one.knows({ id: 2, address: two.address });
  await two.next("connected 1");
});

test("a node that may have been admitted after all that the other knows is let in, and says where it is", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  one.newer.add(2);
  two.knows({ id: 1, address: one.address });
  await two.next("connected 1");
  expect(await two.peers.request(nodeId(1), "echo", "me")).toBe("me");
});

test("a node that was removed is told so, and not that it may come back later", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  one.removed.add(2);
  two.knows({ id: 1, address: one.address });
  await two.next("removed by 1: node 2 was removed from the cluster");
});

test("a node that was removed is told so by its certificate of an authority that was replaced, which lets nobody in", async () => {
  const next = await makeAuthority("c1", Date.now(), 3_600_000);
  const crossed = await crossSign(authority, next.certificate);
  const now = { ...(await credentials({ by: next })), crossed: [crossed], former: [authority.certificate] };
  await using one = await Station.open(1, { credentials: () => now });
  one.knows({ id: 3, address: "127.0.0.1:1" });
  one.removed.add(2);
  // It believes the former authority alone, and is led to the present one.
  await using two = await Station.open(2);
  two.knows(one);
  await two.next("removed by 1: node 2 was removed from the cluster");
  // A member by its number, and one whose hello another node's key made.
  await using three = await Station.open(3);
  three.knows(one);
  await three.until(() => three.events.some((event) => event.startsWith("refused 1: this node is not believed")));
  const stolen = { ...identity(3).credentials(), certificate: identity(2).credentials().certificate };
  const socket = new WebSocket(`wss://${one.address}/raft`, {
    ...shown(identity(3).credentials()),
    ca: [next.certificate],
  });
  const answer = await new Promise<ReturnType<typeof decodeGreeting>>((resolve) => {
    socket.on("message", (frame: Buffer) => {
      const greeting = decodeGreeting(frame);
      if (greeting.kind !== "challenge") return resolve(greeting);
      socket.send(makeHello(identity(2, { credentials: () => stolen }), nodeId(1), "raft", greeting.nonce));
    });
  });
  expect(answer).toMatchObject({ kind: "refused", removed: false });
  expect([one.events, one.peers.isConnected(nodeId(2)), one.peers.isConnected(nodeId(3))]).toEqual([[], false, false]);
});

test("a node whose data is an older copy is told so, and is let in by nobody", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2, { incarnation: "old" });
  one.knows({ id: 2, address: two.address });
  two.knows({ id: 1, address: one.address });
  await two.next("a copy to 1: its data is an older copy: node 2 was started again since that was made");
});

test("a hello cannot be used on another challenge, channel or node", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const good = await byHand(one, "raft");
  expect(good.last?.kind).toBe("welcome");
  good.socket.terminate();
  const replayed = new WebSocket(`wss://${one.address}/raft`, shown(identity(2).credentials()));
  const answer = new Promise<ReturnType<typeof decodeGreeting>>((resolve) => {
    replayed.on("message", (frame: Buffer) => {
      const greeting = decodeGreeting(frame);
      if (greeting.kind === "challenge") replayed.send(makeHello(identity(2), nodeId(1), "raft", new Uint8Array(32)));
      else resolve(greeting);
    });
  });
  expect(await answer).toMatchObject({ kind: "refused", final: true });
  const wrongNode = await byHand(one, "raft", identity(2), 5);
  expect(wrongNode.last).toMatchObject({ kind: "refused", reason: "it is node 1, not node 5", final: false });
});

test("a message that claims another sender or receiver, or a snapshot that is not here, is dropped and counted", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const { socket } = await byHand(one, "raft");
  const configuration = { voters: [nodeId(1)], outgoing: [], learners: [], learnersNext: [] };
  const snapshot = { index: index(9), term: term(1), configuration };
  const claimed = { kind: "snapshot-request", from: nodeId(2), to: nodeId(1), term: term(1), snapshot } as const;
  socket.send(encodeMessages([heartbeat(3, 1, 1), heartbeat(2, 5, 2), claimed, heartbeat(2, 1, 3)]));
  await one.until(() => one.messages.length > 0);
  expect(one.messages).toEqual([heartbeat(2, 1, 3)]);
  expect(one.peers.stats()).toMatchObject({ received: 1, rejected: 3 });
  socket.terminate();
  await one.next("disconnected 2");
});

test.each<[string, Channel, (socket: WebSocket) => void, number]>([
  ["bytes that are no frame", "raft", (socket) => socket.send(new Uint8Array([0xc1, 1, 2])), 1008],
  ["text", "rpc", (socket) => socket.send("hello"), 1008],
  ["a request without a method", "rpc", (socket) => socket.send(encode([1])), 1008],
  ["a frame over the limit", "bulk", (socket) => socket.send(new Uint8Array(limits.frameBytes + 1)), 1009],
])("%s closes the socket and nothing else", async (_what, channel, send, code) => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  one.knows({ id: 2, address: two.address }, { id: 3, address: "127.0.0.1:1" });
  const { socket, closed } = await byHand(one, channel, identity(3));
  send(socket);
  expect([code, 1006]).toContain(await closed);
  expect(await two.peers.request(nodeId(1), "echo", "still here")).toBe("still here");
});

test("somebody without a hello, or with a long one, is shown the door", async () => {
  await using one = await Station.open(1);
  const socket = new WebSocket(`wss://${one.address}/rpc`, shown(identity(2).credentials()));
  const closed = new Promise<number>((resolve) => socket.on("close", (code: number) => resolve(code)));
  socket.on("open", () => socket.send(new Uint8Array(100_000)));
  expect(await closed).toBe(1008);
  const { key, certificate, trusted } = identity(2).credentials();
  const tls = { key, cert: certificate, ca: [...trusted] };
  expect((await fetch(`https://${one.address}/raft`, { tls })).status).toBe(426);
  expect((await fetch(`https://${one.address}/other`, { tls })).status).toBe(404);
});

test("the newest socket of a peer takes the place of the former one; a new incarnation is news", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const first = await byHand(one, "raft");
  const second = await byHand(one, "raft");
  expect(await first.closed).toBe(1000);
  expect(one.events).toEqual([]);
  await byHand(one, "raft", identity(2, { incarnation: "2" }));
  await one.next("disconnected 2");
  expect(await second.closed).toBe(1000);
});

test("a peer that is removed loses its sockets without being news", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  one.knows();
  await two.next("disconnected 1");
  expect(one.events).toEqual([]);
  expect(one.peers.isConnected(nodeId(2))).toBe(false);
  await two.until(() => two.logs.some((line) => line.includes("not a member that it knows of")));
});

test("closing tells the others, and nobody here", async () => {
  await using one = await Station.open(1);
  const two = await Station.open(2);
  await pair(one, two);
  await two.peers.close();
  await one.next("disconnected 2");
  expect(two.events).toEqual([]);
});

test("a renewed certificate is shown on new sockets, and nothing that is under way on the former ones is lost or news", async () => {
  const mine = { now: identity(2).credentials() };
  await using one = await Station.open(1);
  await using two = await Station.open(2, { credentials: () => mine.now });
  await pair(one, two);
  const waiting: (() => void)[] = [];
  one.answer = (_peer, _method, body) => new Promise((resolve) => waiting.push(() => resolve(body)));
  const before = two.peers.request(nodeId(1), "echo", "asked before");
  await one.waitFor(() => waiting.length === 1);
  const shown: string[] = [];
  mine.now = await credentials({ node: 2 });
  const { certificate } = mine.now;
  const watched = {
    ...mine.now,
    get certificate() {
      shown.push(certificate);
      return certificate;
    },
  };
  mine.now = watched;
  two.peers.renewed();
  for (let number = 0; number < 200; number++) {
    two.peers.send(heartbeat(2, 1, number));
    await Bun.sleep(1);
  }
  const after = two.peers.request(nodeId(1), "echo", "asked after");
  await one.waitFor(() => waiting.length === 2);
  for (const answer of waiting) answer();
  expect(await Promise.all([before, after])).toEqual(["asked before", "asked after"]);
  await one.until(() => one.messages.length === 200);
  expect(one.messages.map((message) => (message as MessageOf<"heartbeat-request">).round)).toEqual(
    Array.from({ length: 200 }, (_, number) => number),
  );
  expect(shown.length).toBeGreaterThan(2);
  expect([one.events, two.events]).toEqual([[], []]);
});

test("whoever is connected by the word of an authority that is believed no more is put out", async () => {
  const trusted = { now: [authority.certificate, stranger.certificate] };
  const own = await credentials({ node: 1, by: stranger });
  await using one = await Station.open(1, { credentials: () => ({ ...own, trusted: trusted.now }) });
  const moved = await credentials({ node: 3, by: stranger, trusted: [stranger] });
  await using three = await Station.open(3, { credentials: () => moved });
  one.knows({ id: 2, address: "127.0.0.1:1" }, { id: 3, address: three.address });
  three.knows({ id: 1, address: one.address });
  await three.next("connected 1");
  const old = await byHand(
    one,
    "raft",
    identity(2, { credentials: () => ({ ...identity(2).credentials(), trusted: trusted.now }) }),
  );
  expect(old.last?.kind).toBe("welcome");
  trusted.now = [stranger.certificate];
  one.peers.renewed();
  expect(await old.closed).toBe(1008);
  expect(three.peers.isConnected(nodeId(1))).toBe(true);
}, 60_000);

test("an address in use is a fault that names it and says what to do, and another one may be tried", async () => {
  await using one = await Station.open(1);
  const two = new Station(identity(2));
  const at = { host: "127.0.0.1", port: one.port };
  const fault = await faultOf(two.peers.listen(at));
  expect(fault.code).toBe("port");
  expect(fault.message).toContain(`127.0.0.1:${one.port} is in use`);
  expect(fault.message).toContain("--peer");
  expect(() => expectFree(at)).toThrow(/in use/);
  const { port } = await two.peers.listen({ ...at, port: 0 });
  await two.peers.close();
  expectFree({ ...at, port });
  expectFree({ ...at, port });
});
