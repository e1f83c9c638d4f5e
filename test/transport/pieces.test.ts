import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { encode } from "../../src/lib/codec.ts";
import { Fault } from "../../src/lib/fault.ts";
import { index, nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import type { MessageOf } from "../../src/raft/types.ts";
import { decodeMessages, encodeMessages, partsOfLong } from "../../src/transport/frames.ts";
import { encodeGreeting, makeNonce } from "../../src/transport/handshake.ts";
import { Assembly, confirmation, expectConfirmation, isPiece, Lane } from "../../src/transport/pieces.ts";
import { byHand, heartbeat, identity, pair, Station } from "./support.ts";

/** Long frames go in pieces, and what is urgent goes between them. */

const long = 15 * 1024 * 1024;

function append(from: number, to: number, at: number, bytes: number): MessageOf<"append-request"> {
  const data = new Uint8Array(bytes);
  data[bytes - 1] = at;
  return {
    kind: "append-request",
    from: nodeId(from),
    to: nodeId(to),
    term: term(1),
    previousIndex: index(at - 1),
    previousTerm: term(1),
    commit: index(0),
    entries: [{ index: index(at), term: term(1), kind: "command", data }],
  };
}

/** "heartbeat-request", and of appends their entry, their length and what the last byte is. */
function told(station: Station): string[] {
  return station.messages.map((message) => {
    if (message.kind !== "append-request") return message.kind;
    const { index: at, data } = message.entries[0]!;
    return `entry ${at}: ${data.length} ${data.at(-1)}`;
  });
}

test("any frames come out of their pieces as they went in, whatever goes between, and no more is under way than is allowed", () => {
  const { pieceBytes } = limits;
  const few = limits as { pieceBytes: number };
  few.pieceBytes = 7;
  try {
    const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.array(fc.boolean()), (sent, confirmEarly) => {
        const wire: Uint8Array[] = [];
        const settled: number[] = [];
        const lane = new Lane((piece) => wire.push(piece));
        const assembly = new Assembly();
        const got: Uint8Array[] = [];
        const hear = (): void => {
          const frame = assembly.take(wire.shift()!);
          if (frame !== undefined) got.push(frame);
          lane.confirmed();
        };
        sent.forEach((frame, at) => {
          const cut = Math.floor(frame.length / 3);
          lane.push([frame.subarray(0, cut), frame.subarray(cut)], (isSent) => settled.push(isSent ? at : -1));
          expect(wire.length).toBeLessThanOrEqual(limits.piecesUnderWay);
          if (confirmEarly[at] === true && wire.length > 0) hear();
        });
        while (wire.length > 0) hear();
        expect(got).toEqual(sent.map((frame) => new Uint8Array(frame)));
        expect(settled).toEqual(sent.map((_frame, at) => at));
        expect([lane.isBusy, lane.bytes]).toEqual([false, 0]);
      }),
    );
  } finally {
    few.pieceBytes = pieceBytes;
  }
});

test("a long append has the same bytes in parts, of which one is its entry's own", () => {
  for (const at of [1, 70_000, 2 ** 40]) {
    const message = append(1, 2, at, limits.pieceBytes + 1);
    const parts = partsOfLong(message)!;
    expect(Buffer.compare(Buffer.concat(parts), encodeMessages([message]))).toBe(0);
    expect(parts[1]).toBe(message.entries[0]!.data);
  }
  expect(partsOfLong(append(1, 2, 1, limits.pieceBytes))).toBeUndefined();
  expect(partsOfLong(heartbeat(1, 2))).toBeUndefined();
});

test("a heartbeat that is sent after a long append is there before it; appends keep their order", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  one.peers.send(append(1, 2, 1, long));
  one.peers.send(append(1, 2, 2, 10));
  one.peers.send(heartbeat(1, 2));
  await two.until(() => two.messages.length === 3);
  expect(told(two)).toEqual(["heartbeat-request", `entry 1: ${long} 1`, "entry 2: 10 2"]);
  expect(one.peers.stats()).toMatchObject({ sent: 3, lost: 0 });
});

test("a short question is answered while a long one is on its way", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  const asked: unknown[] = [];
  two.answer = (_peer, method, body) => {
    asked.push(method);
    return Promise.resolve(body instanceof Uint8Array ? body.length : body);
  };
  await pair(one, two);
  const answers = [
    one.peers.request(nodeId(2), "propose", new Uint8Array(long), { timeoutMs: 120_000 }),
    one.peers.request(nodeId(2), "lease", 1, { timeoutMs: 120_000 }),
  ];
  expect(await Promise.all(answers)).toEqual([long, 1]);
  expect(asked).toEqual(["lease", "propose"]);
});

test("an append that waits to be sent is not sent again", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  for (let round = 0; round < 5; round++) one.peers.send(append(1, 2, 1, long));
  one.peers.send(append(1, 2, 2, 10));
  await two.until(() => two.messages.length === 2);
  expect(told(two)).toEqual([`entry 1: ${long} 1`, "entry 2: 10 2"]);
  // It has left, and may be lost after all.
  one.peers.send(append(1, 2, 1, long));
  await two.until(() => two.messages.length === 3);
});

test("a socket that closes in the midst of pieces takes them all along, says so, and the next one begins anew", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  one.peers.send(append(1, 2, 1, long));
  one.peers.send(append(1, 2, 2, 10));
  one.peers.send(heartbeat(1, 2));
  const half = two.until(() => two.messages.length === 1).then(() => two.knows());
  await half;
  await one.next("disconnected 2");
  expect(one.peers.stats()).toMatchObject({ sent: 1, lost: 2 });
  two.knows({ id: 1, address: one.address });
  await one.next("connected 2");
  one.peers.send(append(1, 2, 1, long));
  one.peers.send(append(1, 2, 2, 10));
  await two.until(() => two.messages.length === 3);
  expect(told(two)).toEqual(["heartbeat-request", `entry 1: ${long} 1`, "entry 2: 10 2"]);
});

test("a question whose pieces were under way when the socket closed may have been heard", async () => {
  await using one = await Station.open(1);
  await using two = await Station.open(2);
  await pair(one, two);
  two.answer = () => {
    two.knows();
    return Promise.resolve(null);
  };
  const question = one.peers.request(nodeId(2), "propose", new Uint8Array(long), { timeoutMs: 120_000 });
  const failed = question.catch((error: unknown) => error);
  one.peers.request(nodeId(2), "lease", 1, { timeoutMs: 120_000 }).catch(() => {});
  expect(await failed).toMatchObject({ code: "peer-unreachable", retry: "unknown" });
});

const first = (length: number, bytes: number): Uint8Array => {
  const piece = new Uint8Array(6 + bytes);
  piece.set([0xc1, 1]);
  new DataView(piece.buffer).setUint32(2, length);
  return piece;
};
const next = (bytes: number): Uint8Array => {
  const piece = new Uint8Array(2 + bytes);
  piece.set([0xc1, 2]);
  return piece;
};

test.each<[string, readonly Uint8Array[]]>([
  ["a frame that is announced as longer than frames may be", [first(limits.frameBytes + 1, 10)]],
  ["more than was announced, at once", [first(9, 10)]],
  ["more than was announced, later", [first(15, 10), next(6)]],
  ["pieces of nothing", [first(15, 10), next(0)]],
  ["a first piece of nothing", [first(15, 0)]],
  ["half a length", [new Uint8Array([0xc1, 1, 0, 0])]],
  ["a piece of no frame", [next(10)]],
  ["another frame in the midst of one", [first(15, 10), first(15, 10)]],
  ["a piece of no kind", [new Uint8Array([0xc1, 9, 1])]],
  ["a confirmation of what was not sent", [confirmation]],
])("%s closes the socket", async (_what, pieces) => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const { socket, closed } = await byHand(one, "raft");
  for (const piece of pieces) socket.send(piece);
  expect([1008, 1006]).toContain(await closed);
  expect(one.peers.stats().rejected).toBe(1);
});

test("of each kind of wrong piece the fault is the peer's", () => {
  for (const piece of [first(limits.frameBytes + 1, 1), next(3), confirmation, new Uint8Array([0xc1])])
    expect(() => new Assembly().take(piece)).toThrow(Fault);
  for (const frame of [next(3), new Uint8Array([0xc1]), new Uint8Array([0xc1, 3, 3])])
    expect(() => expectConfirmation(frame)).toThrow(Fault);
  expect(() => new Lane(() => {}).confirmed()).toThrow(Fault);
});

test("a version that does not put pieces together is sent whole frames, and sends them", async () => {
  await using one = await Station.open(1);
  const { key, certificate, trusted } = identity(2).credentials();
  const heard: Uint8Array[] = [];
  const arrived = Promise.withResolvers<void>();
  let isIn = false;
  const older = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { key, cert: certificate, ca: [...trusted], requestCert: true, rejectUnauthorized: true },
    fetch: (request, server) =>
      new URL(request.url).pathname === "/raft" && server.upgrade(request)
        ? undefined
        : new Response("no", { status: 404 }),
    websocket: {
      maxPayloadLength: limits.frameBytes,
      open: (socket) => void socket.sendBinary(encodeGreeting({ kind: "challenge", nonce: makeNonce() })),
      message: (socket, frame) => {
        if (isIn) {
          heard.push(new Uint8Array(frame as Buffer));
          if (heard.length === 2) arrived.resolve();
        } else socket.sendBinary(encode([2, 2, "1", 1])); // as its welcome was
        isIn = true;
      },
    },
  });
  one.knows({ id: 2, address: `127.0.0.1:${older.port}` });
  await one.next("connected 2");
  one.peers.send(append(1, 2, 1, long));
  one.peers.send(heartbeat(1, 2));
  await arrived.promise;
  expect(heard.some(isPiece)).toBe(false);
  expect(heard.flatMap((frame) => decodeMessages(frame)).map(({ kind }) => kind)).toEqual([
    "append-request",
    "heartbeat-request",
  ]);
  await older.stop(true);
  const { socket } = await byHand(one, "raft");
  socket.send(encodeMessages([append(2, 1, 1, long)]));
  await one.until(() => one.messages.length === 1);
  expect(told(one)).toEqual([`entry 1: ${long} 1`]);
  socket.terminate();
});
