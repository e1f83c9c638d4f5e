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

test("a learner whose feeder gets another feeder itself, further down, tries the one that it should have at once", async () => {
  const tried = Promise.withResolvers<void>();
  let asked = 0;
  let refusals = 0;
  const follower = new RelayFollower({
    self: nodeId(17),
    // Nobody is tried for being due now and then.
    improveMs: 3_600_000,
    chain: new EntryChain(0, 0, { entries: () => [] }),
    isRelayed: () => true,
    feeders: () => [nodeId(2), nodeId(3)],
    request: async (feeder) => {
      await Bun.sleep(1);
      if (feeder === 2) {
        refusals += 1;
        // First when nobody feeds it, then when 3 does and 2 is avoided no more, and then since the path is longer.
        if (refusals === 3) tried.resolve();
        return encodePullAnswer({ kind: "refused", why: "full" });
      }
      if (refusals === 2) asked += 1;
      const path = asked > 3 ? [nodeId(3), nodeId(5), nodeId(4)] : [nodeId(3), nodeId(4)];
      const news = { term: term(5), leader: nodeId(1), ageMs: 0, path };
      return encodePullAnswer({ kind: "entries", ...news, previousTerm: term(0), before: "", after: "", entries: [] });
    },
    feed: () => "taken",
    lost: () => {},
    room: () => Promise.resolve(),
    changed: () => {},
    log: () => {},
  });
  follower.start();
  await tried.promise;
  expect(follower.path).toHaveLength(3);
  follower.stop();
});
