import { expect, test } from "bun:test";
import { WebSocket } from "ws";
import { encode } from "../../src/lib/codec.ts";
import { limits } from "../../src/lib/limits.ts";
import { handshakeFrameBytes } from "../../src/transport/handshake.ts";
import { type Answer, Caller, decodeAnswer } from "../../src/transport/rpc.ts";
import { byHand, identity, shown, Station } from "./support.ts";

test("as many requests wait as the limit says; the next one was safely not sent, and there is room after an answer", async () => {
  const sent: Uint8Array[] = [];
  const socket = { isOpen: true, isDialing: false, send: (frame: Uint8Array) => sent.push(frame) > 0 };
  const caller = new Caller(socket, "node 2");
  const ask = (): Promise<string> =>
    caller.request("echo", null, 60_000).then(
      () => "answered",
      ({ code, retry }: { code: string; retry: string }) => `${code} ${retry}`,
    );
  const waiting = Array.from({ length: limits.rpcPending }, ask);
  expect(await ask()).toBe("peer-unreachable safe");
  expect(sent).toHaveLength(limits.rpcPending);
  caller.onFrame(encode([1, true, null]));
  expect(await waiting[0]).toBe("answered");
  waiting.push(ask());
  expect(sent).toHaveLength(limits.rpcPending + 1);
  caller.closed();
  expect(new Set(await Promise.all(waiting.slice(1)))).toEqual(new Set(["peer-unreachable unknown"]));
});

test("as many requests of one socket are worked on as the limit says; the next one is refused and does nothing", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const working: (() => void)[] = [];
  one.answer = () => new Promise((resolve) => working.push(() => resolve("done")));
  const { socket } = await byHand(one, "rpc");
  const answers: Answer[] = [];
  const heard = (count: number): Promise<void> =>
    new Promise((resolve) => {
      socket.on("message", () => {
        if (answers.length >= count) resolve();
      });
    });
  socket.on("message", (frame: Buffer) => answers.push(decodeAnswer(frame)));
  const ask = (id: number): void => socket.send(encode([id, "echo", null]));
  const refused = heard(1);
  const last = limits.rpcPending + 1;
  for (let id = 1; id <= last; id++) ask(id);
  await refused;
  expect(answers).toMatchObject([{ id: last, ok: false, retry: "safe" }]);
  expect(working).toHaveLength(limits.rpcPending);
  const answered = heard(2);
  working[0]!();
  await answered;
  expect(answers[1]).toMatchObject({ id: 1, ok: true });
  ask(last + 1);
  const later = heard(3);
  ask(last + 2); // one of the two has room
  await later;
  expect(answers[2]).toMatchObject({ id: last + 2, ok: false });
  expect(working).toHaveLength(limits.rpcPending + 1);
  socket.terminate();
});

test("as many strangers are at the door as the limit says; the next one is sent away until one of them leaves", async () => {
  await using one = await Station.open(1);
  const url = `wss://${one.address}/raft`;
  /** The socket when it is open, or the status that it was refused with. */
  const knock = (): Promise<WebSocket | number> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, shown(identity(2).credentials()));
      socket.on("unexpected-response", (_request, { statusCode }) => resolve(statusCode ?? 0));
      socket.on("error", reject);
      socket.on("message", () => resolve(socket));
    });
  const { nodes } = limits;
  const few = limits as { nodes: number };
  few.nodes = 2;
  try {
    const strangers = await Promise.all(Array.from({ length: 6 }, knock));
    expect(strangers.filter((one) => typeof one === "number")).toEqual([]);
    expect(await knock()).toBe(503);
    (strangers[0] as WebSocket).terminate();
    let next: WebSocket | number = 503;
    while (next === 503) next = await knock();
    expect(next).toBeInstanceOf(WebSocket);
    for (const socket of [...strangers, next]) (socket as WebSocket).terminate();
  } finally {
    few.nodes = nodes;
  }
});

test("a hello that is longer than a handshake may be is not read, though all in it is right", async () => {
  await using one = await Station.open(1);
  one.knows({ id: 2, address: "127.0.0.1:1" });
  const long = await byHand(one, "raft", identity(2, { incarnation: "i".repeat(handshakeFrameBytes) }));
  expect(long.last?.kind).toBe("challenge");
  expect(await long.closed).toBe(1008);
  const shorter = identity(2, { incarnation: "i".repeat(handshakeFrameBytes - 1000) });
  expect((await byHand(one, "raft", shorter)).last?.kind).toBe("welcome");
});
