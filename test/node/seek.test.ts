import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import type { KnownAddress } from "../../src/node/address-book.ts";
import { type SeenCluster, seekMembers } from "../../src/node/seek.ts";

/** Asks everybody in each round, until all `rounds` are over; gives what was found. */
async function seek(
  answers: Readonly<Record<string, SeenCluster | undefined>>,
  rounds = 1,
  isLed = (_left: number): boolean => false,
): Promise<KnownAddress[][]> {
  const found: KnownAddress[][] = [];
  let left = rounds;
  await seekMembers(
    "ours",
    { number: 1, id: "0a0b0c0d" },
    {
      addresses: () => Object.keys(answers),
      ask: (address) => Promise.resolve(answers[address]),
      isLed: () => isLed(left),
      isOver: () => left === 0,
      found: (addresses) => found.push([...addresses]),
      pause: () => {
        left -= 1;
        return Promise.resolve();
      },
    },
  );
  return found;
}

test("every member that answers says where the others are, and since which start", async () => {
  const first = {
    cluster: "ours",
    nodes: [
      { id: 1, peer: "a:1", starts: 2, name: "a" },
      { id: 2, peer: "", starts: 0 },
    ],
  };
  const second = { cluster: "ours", nodes: [{ id: 2, peer: "b:1", starts: 7 }] };
  expect(await seek({ one: first, gone: undefined, two: second }, 2)).toEqual([
    [{ node: nodeId(1), address: "a:1", starts: 2 }],
    [{ node: nodeId(2), address: "b:1", starts: 7 }],
    [{ node: nodeId(1), address: "a:1", starts: 2 }],
    [{ node: nodeId(2), address: "b:1", starts: 7 }],
  ]);
});

test("a leader that was heard and is gone again, having moved before it could tell of this node, is sought anew", async () => {
  const answers = { one: { cluster: "ours", nodes: [{ id: 1, peer: "a:1", starts: 2 }] } };
  expect(await seek(answers, 5, (left) => left === 4 || left === 3)).toHaveLength(3);
});

test("one that does not tell of starts is believed where nothing else is known", async () => {
  const found = await seek({ one: { cluster: "ours", nodes: [{ id: 3, peer: "c:1" }] } });
  expect(found).toEqual([[{ node: nodeId(3), address: "c:1", starts: 0 }]]);
});

test("another cluster's answer, and one that is none, say nothing", async () => {
  const nodes = [{ id: 1, peer: "a:1", starts: 1 }];
  const wrong: readonly unknown[] = [
    { cluster: "theirs", nodes },
    { nodes },
    null,
    "ours",
    { cluster: "ours" },
    { cluster: "ours", epoch: "0", nodes },
    { cluster: "ours", nodes: {} },
    { cluster: "ours", nodes: [null] },
    { cluster: "ours", nodes: [{ id: "1", peer: "a:1", starts: 1 }] },
    { cluster: "ours", nodes: [{ id: 1, peer: "a b", starts: 1 }] },
    { cluster: "ours", nodes: [{ id: 1, peer: "a:1", starts: -1 }] },
    { cluster: "ours", nodes: [{ id: 1, peer: "a:1", starts: 2 ** 22 }] },
  ];
  for (const answer of wrong) expect(await seek({ one: answer as SeenCluster })).toEqual([]);
});

test("what cannot be understood of an answer costs the rest of it nothing", async () => {
  const nodes = [null, { id: 1, peer: "a b", starts: 1 }, { id: 2, peer: "b:1", starts: 1 }];
  for (const epoch of [undefined, "1.0a0b0c0d", "2.0a0b0c0d"]) {
    const found = await seek({ one: { cluster: "ours", epoch, nodes } });
    expect(found).toEqual([[{ node: nodeId(2), address: "b:1", starts: 1 }]]);
  }
});
