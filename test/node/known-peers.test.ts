import { expect, test } from "bun:test";
import { type Configuration, emptyConfiguration } from "../../src/lib/configuration.ts";
import { nodeId, type NodeId } from "../../src/lib/ids.ts";
import { KnownPeers } from "../../src/node/known-peers.ts";
import { listNodes } from "../../src/state/queries.ts";
import type { NodeRow } from "../../src/state/types.ts";
import type { Peer } from "../../src/transport/types.ts";

const [self, second, third, fourth] = [nodeId(1), nodeId(2), nodeId(3), nodeId(4)];

const row = (id: NodeId, starts = 1): Partial<NodeRow> => ({
  id,
  peer: `host${id}:7401`,
  incarnation: `${starts}.000000000000`,
});

/** Node 1 of three voters, with sockets to all that it dials. */
function oneOfThree() {
  const world = {
    rows: [] as Partial<NodeRow>[],
    configuration: { ...emptyConfiguration, voters: [self, second, third] } as Configuration,
    peers: [] as readonly Peer[],
    asked: [] as string[],
  };
  const peers = new KnownPeers({
    self,
    starts: 1,
    remembered: [
      { node: second, address: "old2:7401" },
      { node: third, address: "old3:7401" },
    ],
    raft: {
      get configuration() {
        return world.configuration;
      },
      get committedConfiguration() {
        return world.configuration;
      },
    },
    transport: {
      setPeers: (told) => (world.peers = told),
      isConnected: () => true,
      request: (peer, method) => {
        world.asked.push(`${method} ${peer}`);
        return Promise.resolve(null);
      },
    },
    // Ids are given in order: nobody is newer than node 4.
    view: (query) => ((query as unknown) === listNodes ? world.rows : fourth) as never,
    address: () => "host1:7401",
    hasLeader: () => true,
    kept: () => "all",
  });
  const dialed = (): string[] => world.peers.map(({ address }) => address);
  return { peers, world, dialed };
}

test("members are dialed where identity.json remembers them, and where the log says as soon as it says anything", () => {
  const { peers, world, dialed } = oneOfThree();
  peers.read();
  expect(dialed()).toEqual(["old2:7401", "old3:7401"]);
  world.rows = [row(self), row(second), row(third), row(fourth)];
  peers.read();
  expect(dialed()).toEqual(["host2:7401", "host3:7401", "host4:7401"]);
  peers.stop();
});

test("a member that was removed is told so and met for a moment yet, and nobody learns of it any more", () => {
  const { peers, world } = oneOfThree();
  world.rows = [row(self), row(second), row(third), row(fourth)];
  peers.read();
  world.rows = world.rows.slice(0, 3);
  peers.onRemoved(fourth);
  expect(world.asked).toEqual([`removed ${fourth}`]);
  expect([...peers.nodes]).toEqual([second, third, fourth]);
  expect(peers.addresses().map(({ node }) => node)).not.toContain(fourth);
  peers.stop();
});

test("one that was removed and votes yet counts, is met, and is told only when no configuration has it", () => {
  const { peers, world } = oneOfThree();
  world.rows = [row(self), row(second), row(third)];
  peers.read();
  world.rows = world.rows.slice(0, 2);
  peers.onRemoved(third);
  peers.read();
  expect([peers.counts(third), [...peers.nodes], world.asked]).toEqual([true, [second, third], []]);
  world.configuration = { ...emptyConfiguration, voters: [self, second] };
  peers.onConfiguration();
  expect([peers.counts(third), world.asked]).toEqual([false, [`removed ${third}`]]);
  peers.stop();
});

test("what another member says of a later start is dialed, and nothing is after the end", () => {
  const { peers, world, dialed } = oneOfThree();
  world.rows = [row(self), row(second, 4), row(third, 4)];
  peers.read();
  peers.learn([{ node: second, address: "moved2:7401", starts: 5 }]);
  peers.learn([{ node: third, address: "before3:7401", starts: 3 }]);
  expect(dialed()).toEqual(["moved2:7401", "host3:7401"]);
  peers.stop();
  peers.learn([{ node: third, address: "moved3:7401", starts: 5 }]);
  expect(dialed()).toEqual(["moved2:7401", "host3:7401"]);
});
