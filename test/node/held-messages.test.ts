import { expect, test } from "bun:test";
import { index, nodeId, type NodeId, term } from "../../src/lib/ids.ts";
import { HeldMessages } from "../../src/node/held-messages.ts";
import type { Message } from "../../src/raft/types.ts";

const self = nodeId(2);
const to = (peer: NodeId, inTerm = 3) => ({ from: self, to: peer, term: term(inTerm) });
const leader = to(nodeId(1));

test("a disk that hangs while the leader goes on asking holds one answer of a kind, not one per question", () => {
  const held = new HeldMessages();
  for (let question = 1; question <= 100_000; question++)
    held.hold(1, [
      { kind: "append-response", ...leader, match: index(Math.min(question, 40)) },
      { kind: "heartbeat-response", ...leader, round: question, slowDisk: question > 5 },
    ]);
  expect(held.release(0)).toEqual([]);
  expect(held.release(1)).toEqual([
    { kind: "append-response", ...leader, match: index(40) },
    { kind: "heartbeat-response", ...leader, round: 100_000, slowDisk: true },
  ]);
  expect(held.release(1)).toEqual([]);
});

test("what says more is kept, whoever said it last: the higher match, the newer round, the vote", () => {
  const held = new HeldMessages();
  const said: Message[] = [
    { kind: "append-response", ...leader, match: index(9) },
    { kind: "append-response", ...leader, match: index(7) },
    { kind: "heartbeat-response", ...leader, round: 4, slowDisk: false },
    { kind: "heartbeat-response", ...leader, round: 3, slowDisk: false },
    { kind: "vote-response", ...leader, granted: true },
    { kind: "vote-response", ...leader, granted: false },
  ];
  for (const message of said) held.hold(5, [message]);
  expect(held.release(5)).toEqual([said[0]!, said[2]!, said[4]!]);
});

test("a later term's word replaces an earlier one's, another peer's stands beside it, and each write releases its own", () => {
  const held = new HeldMessages();
  const granted: Message = { kind: "vote-response", ...to(nodeId(1), 3), granted: true };
  const refused: Message = { kind: "vote-response", ...to(nodeId(1), 4), granted: false };
  const other: Message = { kind: "vote-response", ...to(nodeId(3), 4), granted: true };
  held.hold(1, [granted]);
  held.hold(2, [granted, refused]);
  held.hold(2, [other]);
  expect(held.release(1)).toEqual([granted]);
  expect(held.release(9)).toEqual([refused, other]);
});
