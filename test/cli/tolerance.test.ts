import { expect, test } from "bun:test";
import { clusterTolerance } from "../../src/cli/tolerance.ts";
import type { NodeView } from "../../src/state/answers.ts";

const nodes = (...states: string[]): NodeView[] =>
  states.map((state, at) => {
    const isSilent = state === "silent";
    const silent = state === "unknown" ? null : isSilent || state === "lost";
    return { id: at + 1, state: state === "lost" ? "lost" : "up", silent } as unknown as NodeView;
  });

test("what a cluster bears is said with who is lost already, and that nobody knows where there is no leader", () => {
  const three = { leader: 1, voters: [1, 2, 3], voters_outgoing: [], nodes: nodes("up", "up", "up") };
  expect(clusterTolerance(three)).toBe("bears the loss of 1 voter");
  expect(clusterTolerance({ ...three, nodes: nodes("up", "lost", "up") })).toBe(
    "bears the loss of 1 voter; 1 of them is lost now",
  );
  expect(clusterTolerance({ ...three, leader: null })).toContain("a majority of them may be away already");
  // The state says of a dead voter that it is up until it is held for lost: the leader knows better.
  const five = { ...three, voters: [1, 2, 3, 4, 5] };
  expect(clusterTolerance({ ...five, nodes: nodes("up", "silent", "lost", "up", "silent") })).toBe(
    "bears the loss of 2 voters; 1 of them is lost now; 2 of them are silent now",
  );
  // A learner is no voter; one of before still counts.
  expect(clusterTolerance({ ...three, nodes: nodes("up", "up", "up", "silent") })).toBe("bears the loss of 1 voter");
  expect(
    clusterTolerance({ ...three, voters_outgoing: [1, 2, 4], nodes: nodes("up", "up", "up", "silent") }),
  ).toContain("1 of them is silent now");
  expect(clusterTolerance({ ...three, nodes: nodes("unknown", "unknown", "unknown") })).toBe(
    "bears the loss of 1 voter; but node 1, which leads, has not said in time who of them answers it",
  );
});
