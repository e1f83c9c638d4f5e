import { expect, test } from "bun:test";
import { clusterTolerance } from "../../src/cli/tolerance.ts";
import type { NodeView } from "../../src/state/answers.ts";

const nodes = (...states: string[]): NodeView[] =>
  states.map((state, at) => ({ id: at + 1, state }) as unknown as NodeView);

test("what a cluster bears is said with who is lost already, and that nobody knows where there is no leader", () => {
  const three = { leader: 1, voters: [1, 2, 3], voters_outgoing: [], nodes: nodes("up", "up", "up") };
  expect(clusterTolerance(three)).toBe("bears the loss of 1 voter");
  expect(clusterTolerance({ ...three, nodes: nodes("up", "lost", "up") })).toBe(
    "bears the loss of 1 voter; 1 of them is lost now",
  );
  expect(clusterTolerance({ ...three, leader: null })).toContain("a majority of them may be away already");
});
