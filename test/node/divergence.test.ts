import { describe, expect, test } from "bun:test";
import { digestOf } from "../../src/lib/hash.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { Divergence, type Finding } from "../../src/node/divergence.ts";
import { hashLevel } from "../../src/state/levels.ts";

/** Nodes 1 to n, of which 1 leads; each has applied entries as its own history says, whose hash after entry i is "history i". */
class Mesh {
  readonly nodes = new Map<NodeId, Divergence>();
  readonly odd: [node: NodeId, finding: Finding][] = [];
  readonly agreed: [node: NodeId, index: number][] = [];
  readonly logs: string[] = [];
  /** Met, though a question to it may fail. */
  readonly met = new Set<NodeId>();
  readonly silent = new Set<NodeId>();
  readonly quarantined = new Set<NodeId>();
  level = hashLevel;
  voters: NodeId[];
  /** Held until it is let go: what the leader asks, and what it tells. */
  hold: Promise<unknown> = Promise.resolve();

  constructor(count: number) {
    this.voters = Array.from({ length: count }, (_, at) => nodeId(at + 1));
    for (const self of this.voters) this.nodes.set(self, this.#open(self));
  }

  #open(self: NodeId): Divergence {
    return new Divergence({
      self,
      level: () => this.level,
      leader: () => nodeId(1),
      isLeading: () => self === 1,
      isQuarantined: () => this.quarantined.has(self),
      configuration: () => ({ voters: this.voters, outgoing: [], learners: [], learnersNext: [] }),
      report: async (to, report) => Promise.resolve(this.nodes.get(to)!.heard(self, report)),
      ask: async (node, index) => {
        await this.hold;
        if (this.silent.has(node)) throw new Error("silent");
        return this.nodes.get(node)!.hashAt(index);
      },
      isConnected: (node) => this.met.has(node),
      accuse: async (node, finding) => {
        await this.hold;
        if (this.nodes.get(node)!.isOddBy(finding)) this.odd.push([node, finding]);
      },
      onOdd: (finding) => this.odd.push([self, finding]),
      onAgreed: (node, index) => this.agreed.push([node, index]),
      log: (_level, message) => this.logs.push(message),
    });
  }

  node(number: number): Divergence {
    return this.nodes.get(nodeId(number))!;
  }

  get leader(): Divergence {
    return this.node(1);
  }

  /** What was under way has come to its end. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    for (const node of this.nodes.values()) node.close();
  }
}

function words(history: number, first: number, last: number): Uint32Array {
  return Uint32Array.from({ length: 2 * (last - first + 1) }, (_, at) =>
    at % 2 === 0 ? history : first + Math.floor(at / 2),
  );
}
const hash = (history: number, index: number): string => digestOf(history, index);
/** The leader has nobody to report to: whoever agrees with it says that it is right too, so that it leads in no quarantine of before. */
const both = (node: number, index: number): [NodeId, number][] => [
  [nodeId(node), index],
  [nodeId(1), index],
];

describe("hashes are compared after the same entry (S1)", () => {
  test("who differs from a quorum is accused, whichever entry it tells of", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 3 ? 9 : 1, 1, 20));
    expect(mesh.leader.heard(nodeId(2), { index: 12, hash: hash(1, 12) })).toBeUndefined();
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    await mesh.settle();
    expect(mesh.agreed).toEqual(both(2, 12));
    expect(mesh.odd).toEqual([[nodeId(3), { index: 15, quorum: hash(1, 15) }]]);
  });

  test("a leader that differs from the others finds that of itself, and accuses nobody", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 1 ? 9 : 1, 1, 20));
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(1, 15) });
    await mesh.settle();
    expect(mesh.odd).toEqual([[nodeId(1), { index: 15, quorum: hash(1, 15) }]]);
  });

  test("a report of an entry that the leader has not applied yet is compared when it has", async () => {
    const mesh = new Mesh(3);
    mesh.leader.onApplied(10, words(1, 1, 10));
    mesh.node(2).onApplied(20, words(1, 1, 20));
    mesh.node(3).onApplied(20, words(9, 1, 20));
    mesh.leader.heard(nodeId(2), { index: 20, hash: hash(1, 20) });
    mesh.leader.heard(nodeId(3), { index: 20, hash: hash(9, 20) });
    await Promise.resolve();
    expect([mesh.agreed, mesh.odd]).toEqual([[], []]);
    mesh.leader.onApplied(25, words(1, 11, 25));
    await mesh.settle();
    expect(mesh.agreed).toEqual(both(2, 20));
    expect(mesh.odd.map(([node]) => node)).toEqual([nodeId(3)]);
  });

  test("a report from before the node was given another state is held against nobody", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(1, 1, 20));
    // Node 3 had another history, has been reloaded since, and only now its old report arrives.
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    await mesh.settle();
    expect([mesh.odd, mesh.logs]).toEqual([[], []]);
  });

  test("an accusation that arrives when the node has another state already is not believed", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 3 ? 9 : 1, 1, 20));
    const finding = { index: 15, quorum: hash(1, 15) };
    expect(mesh.node(3).isOddBy(finding)).toBe(true);
    mesh.node(3).reset(30, hash(1, 30));
    expect(mesh.node(3).isOddBy(finding)).toBe(false);
    expect(mesh.node(3).isOddBy({ index: 30, quorum: hash(1, 30) })).toBe(false);
    await mesh.settle();
  });

  test("a report of an entry that nobody keeps a hash of any more says nothing", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).reset(100, hash(1, 100));
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    await mesh.settle();
    expect([mesh.odd, mesh.logs, mesh.agreed]).toEqual([[], [], []]);
  });

  test("nodes whose releases hash otherwise are not compared", async () => {
    const mesh = new Mesh(3);
    mesh.level = hashLevel - 1;
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number, 1, 20));
    mesh.leader.heard(nodeId(3), { index: 20, hash: hash(3, 20) });
    mesh.level = hashLevel;
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(21, words(1, 21, 21));
    mesh.leader.heard(nodeId(3), { index: 20, hash: hash(3, 20) });
    mesh.leader.heard(nodeId(3), { index: 21, hash: hash(1, 21) });
    await mesh.settle();
    expect([mesh.odd, mesh.logs, mesh.agreed]).toEqual([[], [], both(3, 21)]);
  });

  test("the voters' change while they are asked: nothing is judged by the old ones", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 3 ? 9 : 1, 1, 20));
    const held = Promise.withResolvers<void>();
    mesh.hold = held.promise;
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    mesh.voters = [nodeId(1), nodeId(3)];
    held.resolve();
    await mesh.settle();
    expect([mesh.odd, mesh.logs]).toEqual([[], []]);
  });
});

describe("where no quorum has one hash", () => {
  test("nobody is accused, it is told once in the log, and to whoever reports, until all agree again", async () => {
    const mesh = new Mesh(3);
    mesh.silent.add(nodeId(2));
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 3 ? 9 : 1, 1, 20));
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    await mesh.settle();
    const undecided = { index: 15, groups: [[nodeId(3)], [nodeId(1)]] };
    expect(mesh.odd).toEqual([]);
    expect(mesh.leader.heard(nodeId(2), { index: 14, hash: hash(1, 14) })).toEqual(undecided);
    expect(mesh.leader.undecided).toEqual(undecided);
    expect(mesh.logs).toEqual([expect.stringContaining("no quorum says which one is right: [3] [1]")]);
    mesh.node(3).reset(30, hash(1, 30));
    mesh.leader.onApplied(30, words(1, 21, 30));
    expect(mesh.leader.heard(nodeId(3), { index: 30, hash: hash(1, 30) })).toBeUndefined();
    expect(mesh.logs).toHaveLength(2);
  });

  test("a node in quarantine has no say", async () => {
    const mesh = new Mesh(3);
    for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 1 ? 1 : 9, 1, 20));
    mesh.quarantined.add(nodeId(2));
    mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
    await mesh.settle();
    expect(mesh.odd).toEqual([]);
    expect(mesh.leader.undecided?.groups).toEqual([[nodeId(3)], [nodeId(1)]]);
  });
});

describe("a state is given to others only if nobody has another one", () => {
  /** Of the leader's state after entry 20. */
  const copyOf = (mesh: Mesh, itsHash: string) => ({ index: 20, hash: itsHash, line: mesh.leader.line });
  const applied = (mesh: Mesh, odd: number, upTo: (number: number) => number = () => 20): void => {
    for (const [node] of mesh.nodes) {
      const last = upTo(node);
      mesh.nodes.get(node)!.onApplied(last, words(node === odd ? 9 : 1, 1, last));
    }
  };

  test("a voter that has another one is enough to keep it back, be it found or not who is wrong", async () => {
    const mesh = new Mesh(3);
    applied(mesh, 1);
    expect(mesh.leader.vouch(copyOf(mesh, hash(9, 20)), nodeId(3))).rejects.toThrow("another voter has another state");
    await mesh.settle();
  });

  test("a quorum with the same one need not wait for who is silent", async () => {
    const mesh = new Mesh(5);
    applied(mesh, 0);
    mesh.silent.add(nodeId(5));
    await mesh.leader.vouch(copyOf(mesh, hash(1, 20)), nodeId(4));
    await mesh.settle();
  });

  test("where nobody else can be asked it is given, or nobody would come back", async () => {
    const mesh = new Mesh(3);
    applied(mesh, 0);
    mesh.silent.add(nodeId(2));
    await mesh.leader.vouch(copyOf(mesh, hash(1, 20)), nodeId(3));
    await mesh.settle();
  });

  test("one that has just come back, so that the first question fails, is asked again", async () => {
    const mesh = new Mesh(3);
    applied(mesh, 1);
    mesh.silent.add(nodeId(2));
    mesh.met.add(nodeId(2));
    const vouched = mesh.leader.vouch(copyOf(mesh, hash(9, 20)), nodeId(3));
    vouched.catch(() => {});
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    mesh.silent.delete(nodeId(2));
    expect(vouched).rejects.toThrow("another voter has another state");
    await vouched.catch(() => {});
    await mesh.settle();
  });

  test("who is there and has not come as far is waited for, and heard", async () => {
    const mesh = new Mesh(3);
    applied(mesh, 0, (number) => (number === 2 ? 10 : 20));
    const vouched = mesh.leader.vouch(copyOf(mesh, hash(1, 20)), nodeId(3));
    await Promise.resolve();
    mesh.node(2).onApplied(20, words(9, 11, 20));
    expect(vouched).rejects.toThrow("another voter has another state");
    await vouched.catch(() => {});
    await mesh.settle();
  });

  test("a copy that took longer than hashes are remembered is judged by what came after it", async () => {
    const last = 20 + limits.hashesKept + 1;
    for (const history of [1, 9]) {
      const mesh = new Mesh(3);
      applied(mesh, history === 1 ? 0 : 1);
      const copy = copyOf(mesh, hash(history, 20));
      for (const number of [1, 2]) mesh.node(number).onApplied(last, words(number === 1 ? history : 1, 21, last));
      expect(mesh.leader.hashAt(20)).toBeUndefined();
      const vouched = mesh.leader.vouch(copy, nodeId(3)).then(
        () => "given",
        (error: Error) => error.message,
      );
      expect(await vouched).toStartWith(history === 1 ? "given" : "another voter has another state");
      await mesh.settle();
    }
  });

  test("a copy of a state that another one has replaced since is nobody's any more", async () => {
    const mesh = new Mesh(3);
    applied(mesh, 0);
    const copy = copyOf(mesh, hash(1, 20));
    expect(mesh.leader.isComparable(copy.line)).toBe(true);
    mesh.leader.reset(30, hash(1, 30));
    expect(mesh.leader.isComparable(copy.line)).toBe(false);
    expect(mesh.leader.vouch(copy, nodeId(3))).rejects.toThrow("a newer copy is made");
    await mesh.settle();
  });
});

test("who is no member any more does not keep a difference open", async () => {
  const mesh = new Mesh(3);
  mesh.silent.add(nodeId(2));
  for (const number of [1, 2, 3]) mesh.node(number).onApplied(20, words(number === 3 ? 9 : 1, 1, 20));
  mesh.leader.heard(nodeId(3), { index: 15, hash: hash(9, 15) });
  await mesh.settle();
  expect(mesh.leader.undecided?.groups).toHaveLength(2);
  mesh.voters = [nodeId(1), nodeId(2)];
  expect(mesh.leader.undecided).toBeUndefined();
});
