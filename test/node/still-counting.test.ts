import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { StillCounting } from "../../src/node/still-counting.ts";
import type { Configuration } from "../../src/raft/types.ts";

const votes = (voters: readonly number[], outgoing: readonly number[] = []): Configuration => ({
  voters: voters.map(nodeId),
  outgoing: outgoing.map(nodeId),
  learners: [nodeId(9)],
  learnersNext: [],
});

test("a voter that was removed is released when the configuration without it is committed, a learner at once", () => {
  let [current, committed] = [votes([1, 2, 3]), votes([1, 2, 3])];
  const released: number[] = [];
  const counting = new StillCounting({
    current: () => current,
    committed: () => committed,
    released: (node) => released.push(node),
  });
  counting.removed(nodeId(9));
  expect(released).toEqual([9]);
  counting.removed(nodeId(3));
  // Joint, joint and committed, left but not yet committed: each of them may still need its vote.
  for (const [next, sure] of [
    [votes([1], [1, 2, 3]), votes([1, 2, 3])],
    [votes([1], [1, 2, 3]), votes([1], [1, 2, 3])],
    [votes([1]), votes([1], [1, 2, 3])],
  ] as const) {
    [current, committed] = [next, sure];
    counting.look();
    expect(counting.counts(nodeId(3))).toBe(true);
    expect(counting.nodes()).toContain(nodeId(3));
    expect(released).toEqual([9]);
  }
  committed = votes([1]);
  counting.look();
  counting.look();
  expect(counting.counts(nodeId(3))).toBe(false);
  expect(released).toEqual([9, 3]);
});
