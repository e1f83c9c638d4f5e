import { afterEach, describe, expect, test } from "bun:test";
import { index, nobody, nodeId, term } from "../../src/lib/ids.ts";
import { Driver } from "../../src/node/drive.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Append, Entry, Message, Ready } from "../../src/raft/types.ts";
import type { LogStore } from "../../src/storage/types.ts";

/** Everything that the driver does, in order, with a machine that gives what the test says. */
function rig() {
  const done: string[] = [];
  const readies: Ready[] = [];
  const fed: string[] = [];
  const raft = {
    role: "follower",
    leader: nobody,
    tick: () => {},
    step: () => {},
    hasReady: () => readies.length > 0,
    drain: () => readies.shift()!,
    appended: (token: number) => fed.push(`appended ${token}`),
    applied: (upTo: number) => fed.push(`applied ${upTo}`),
    disconnected: (peer: number) => fed.push(`disconnected ${peer}`),
    connected: (peer: number) => fed.push(`connected ${peer}`),
  } as unknown as Raft;
  const log = { append: (append: Append) => done.push(`append ${append.token}`) } as unknown as LogStore;
  const driver = new Driver(raft, log, {
    send: (message) => done.push(`send ${message.kind}`),
    apply: (entries) => done.push(`apply ${entries.map((entry) => entry.index).join()}`),
    install: (snapshot) => {
      done.push(`install ${snapshot.index}`);
      return Promise.resolve();
    },
    installed: () => done.push("installed"),
    onSnapshotsWanted: (peers) => done.push(`snapshots ${peers.join()}`),
    onReads: (reads) => done.push(`reads ${reads.length}`),
    onLeadership: (leadership) => done.push(`leadership ${leadership.role}`),
    onConfiguration: () => done.push("configuration"),
    onLogLost: (until) => done.push(`lost until ${until}`),
    beforeDrain: () => done.push("before"),
    afterDrain: () => {},
  });
  drivers.push(driver);
  const give = (ready: Partial<Ready>): void => {
    readies.push({
      append: undefined,
      messages: [],
      messagesAfterAppend: [],
      committed: [],
      snapshotsWanted: [],
      reads: [],
      leadership: undefined,
      configuration: undefined,
      ...ready,
    });
    driver.drain();
  };
  return { driver, done, fed, give };
}

const drivers: Driver[] = [];
afterEach(() => {
  for (const driver of drivers.splice(0)) driver.stop();
});

const envelope = { from: nodeId(1), to: nodeId(2), term: term(3) };
const vote: Message = { ...envelope, kind: "vote-response", granted: true };
const heartbeat: Message = { ...envelope, kind: "heartbeat-response", round: 1, slowDisk: false };
const append = (token: number): Append => ({ token, hardState: undefined, snapshot: undefined, entries: [] });
const entry: Entry = { index: index(7), term: term(3), kind: "noop", data: new Uint8Array(0) };

describe("the loop around consensus", () => {
  test("persists, sends, then applies and answers reads, in that order", () => {
    const { done, give } = rig();
    give({
      append: append(1),
      messages: [heartbeat],
      committed: [entry],
      reads: [{ ticket: 1, index: index(7) }],
      leadership: { role: "leader", term: term(3), leader: nodeId(1) },
    });
    expect(done).toEqual(["before", "append 1", "send heartbeat-response", "leadership leader", "apply 7", "reads 1"]);
  });

  test("a vote leaves when the disk has it, and not before (D4)", () => {
    const { driver, done, fed, give } = rig();
    give({ append: append(1), messagesAfterAppend: [vote] });
    expect(done).toEqual(["before", "append 1"]);
    driver.durable(1);
    expect(done).toEqual(["before", "append 1", "send vote-response", "before"]);
    expect(fed).toEqual(["appended 1"]);
  });

  test("what promises something without a write of its own waits for the write before it (D4)", () => {
    const { driver, done, give } = rig();
    give({ append: append(1) });
    give({ append: append(2) });
    give({ messagesAfterAppend: [vote] });
    driver.durable(1);
    expect(done).not.toContain("send vote-response");
    driver.durable(2);
    expect(done).toContain("send vote-response");
  });

  test("with nothing under way such a message leaves at once", () => {
    const { driver, done, give } = rig();
    give({ append: append(1) });
    driver.durable(1);
    give({ messagesAfterAppend: [vote] });
    expect(done).toContain("send vote-response");
  });

  test("held messages leave in order, each after its own write", () => {
    const { driver, done, give } = rig();
    give({ append: append(1), messagesAfterAppend: [vote] });
    give({ append: append(2), messagesAfterAppend: [heartbeat] });
    driver.durable(1);
    expect(done.filter((one) => one.startsWith("send"))).toEqual(["send vote-response"]);
    driver.durable(2);
    expect(done.filter((one) => one.startsWith("send"))).toEqual(["send vote-response", "send heartbeat-response"]);
  });

  test("a closed socket is fed and drained in the same turn", () => {
    const { driver, done, fed } = rig();
    driver.disconnected(nodeId(2));
    expect(fed).toEqual(["disconnected 2"]);
    expect(done).toEqual(["before"]);
  });

  test("a stopped driver drains nothing", () => {
    const { driver, done, give } = rig();
    driver.stop();
    give({ append: append(1), messages: [heartbeat] });
    expect(done).toEqual([]);
  });
});
