import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { firstWord } from "../../src/node/first-word.ts";

test("a node that comes back waits for a leader, but not for ever, and not for itself alone", async () => {
  const of = (voters: readonly number[]) => {
    const looks = { count: 0, leaderAfter: Infinity };
    const node = {
      id: nodeId(1),
      status: () => ({ voters: voters.map(nodeId) }) as never,
      get hasLeader() {
        return ++looks.count > looks.leaderAfter;
      },
    };
    return { node, looks };
  };
  const alone = of([1]);
  await firstWord(alone.node);
  expect(alone.looks.count).toBe(0);
  const led = of([1, 2, 3]);
  led.looks.leaderAfter = 3;
  await firstWord(led.node);
  expect(led.looks.count).toBe(4);
  const lonely = of([1, 2, 3]);
  await firstWord(lonely.node);
  expect(lonely.looks.count).toBeGreaterThan(1);
});
