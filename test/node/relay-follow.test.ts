import { expect, test } from "bun:test";
import { nodeId, term } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { EntryChain } from "../../src/node/relay-chain.ts";
import { RelayFollower } from "../../src/node/relay-follow.ts";
import { encodePullAnswer } from "../../src/node/relay-frames.ts";
import type { Fed } from "../../src/raft/types.ts";

test("a learner that is to get the state hears who leads: consensus takes a snapshot of nobody", async () => {
  const heard = Promise.withResolvers<Fed>();
  const follower = new RelayFollower({
    self: nodeId(7),
    improveMs: limits.relayImproveMs,
    chain: new EntryChain(0, 0, { entries: () => [] }),
    isRelayed: () => true,
    feeders: () => [nodeId(2)],
    request: () =>
      Promise.resolve(
        encodePullAnswer({ kind: "snapshot", term: term(5), leader: nodeId(1), ageMs: 0, path: [nodeId(2)] }),
      ),
    feed: (fed) => {
      heard.resolve(fed);
      return "taken";
    },
    lost: () => {},
    room: () => Promise.resolve(),
    changed: () => {},
    log: () => {},
  });
  follower.start();
  expect(await heard.promise).toMatchObject({ term: 5, leader: 1, entries: [] });
  follower.stop();
});
