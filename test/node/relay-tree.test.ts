import { expect, test } from "bun:test";
import type { Configuration } from "../../src/lib/configuration.ts";
import { type NodeId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { randomInteger, seededRandom } from "../../src/lib/prng.ts";
import {
  feedersOf,
  isFirstContact,
  isRelaying,
  keptTo,
  makeRoom,
  mayFeed,
  relayLimits,
} from "../../src/node/relay-tree.ts";

function configurationOf(voters: number, learners: readonly number[]): Configuration {
  return {
    voters: Array.from({ length: voters }, (_, at) => nodeId(at + 1)),
    outgoing: [],
    learners: learners.map(nodeId),
    learnersNext: [],
  };
}

const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, at) => from + at);

/** Learners that look for feeders as relay-follow.ts does and feeders that answer as relay-feed.ts does, without time or messages. */
class Forest {
  readonly feeder = new Map<NodeId, NodeId>();
  /** Of all when they were looked at last. */
  readonly #depths = new Map<NodeId, number>();
  readonly alive: Set<NodeId>;
  readonly leader: NodeId;
  configuration: Configuration;

  constructor(configuration: Configuration, leader: NodeId) {
    this.configuration = configuration;
    this.leader = leader;
    this.alive = new Set([...configuration.voters, ...configuration.learners]);
  }

  children(node: NodeId): NodeId[] {
    return [...this.feeder].filter(([, feeder]) => feeder === node).map(([child]) => child);
  }

  /** Gives how often somebody changed its feeder until nobody wants to any more. */
  settle(): number {
    let moves = 0;
    for (;;) {
      const lost = this.configuration.learners.find((node) => this.alive.has(node) && !this.#isFed(node));
      if (lost === undefined) return moves;
      expect(this.#attach(lost), `node ${lost} finds no feeder`).toBe(true);
      moves++;
      expect(moves).toBeLessThan(50 * this.alive.size);
    }
  }

  /** What follows a change without anybody's waiting: who has no feeder looks for one, and whose path has got longer by it tries the one that it should have. */
  follow(): void {
    const known = new Map(this.#depths);
    this.settle();
    for (const node of this.alive) {
      const before = known.get(node);
      if (before !== undefined && this.feeder.has(node) && this.depth(node) > before) this.improve([node]);
    }
    this.#remember();
  }

  #remember(): void {
    this.#depths.clear();
    for (const node of this.feeder.keys()) this.#depths.set(node, this.depth(node));
  }

  /** These try the feeder that they should have, once, as all learners do every now and then; who is sent away for it looks for another. */
  improve(learners: readonly NodeId[] = this.configuration.learners): void {
    for (const node of learners.filter((one) => this.alive.has(one))) {
      const ideal = feedersOf(node, this.configuration, this.leader, [], false, relayLimits)[0]!;
      if (this.feeder.get(node) === ideal || !this.alive.has(ideal)) continue;
      if (!mayFeed(ideal, node, this.configuration)) continue;
      const room = makeRoom(this.children(ideal), node, true, relayLimits);
      if (!room.ok) continue;
      if (room.away !== undefined) this.feeder.delete(room.away);
      this.feeder.set(node, ideal);
      this.settle();
    }
    this.#remember();
  }

  #isFed(node: NodeId): boolean {
    const feeder = this.feeder.get(node);
    return feeder !== undefined && this.alive.has(feeder) && mayFeed(feeder, node, this.configuration);
  }

  #attach(node: NodeId): boolean {
    this.feeder.delete(node);
    for (const insisting of [false, true]) {
      const feeders = feedersOf(node, this.configuration, this.leader, [], insisting, relayLimits);
      for (const feeder of feeders) {
        if (!this.alive.has(feeder)) continue;
        const insists = insisting || feeder === feeders[0];
        if (!mayFeed(feeder, node, this.configuration) || (feeder === this.leader && !insists)) continue;
        const room = makeRoom(this.children(feeder), node, insists, relayLimits);
        if (!room.ok) continue;
        if (room.away !== undefined) this.feeder.delete(room.away);
        this.feeder.set(node, feeder);
        return true;
      }
    }
    return false;
  }

  depth(node: NodeId): number {
    let hops = 0;
    for (let at = this.feeder.get(node); at !== undefined; at = this.feeder.get(at)) {
      hops++;
      if (hops > this.alive.size) throw new Error(`following the feeders of ${node} does not end`);
    }
    return hops;
  }

  check(): number {
    let deepest = 0;
    for (const node of this.configuration.learners)
      if (this.alive.has(node)) deepest = Math.max(deepest, this.depth(node));
    const children = new Map<NodeId, number>();
    for (const feeder of this.feeder.values()) children.set(feeder, (children.get(feeder) ?? 0) + 1);
    expect(Math.max(...children.values())).toBeLessThanOrEqual(relayLimits.fanOut);
    return deepest;
  }
}

test("95 learners below five voters: at most 8 each, two hops deep, and the leader feeds none", () => {
  const forest = new Forest(configurationOf(5, range(6, 95)), nodeId(3));
  expect(forest.settle()).toBe(95);
  expect(forest.check()).toBe(2);
  expect(forest.children(nodeId(3))).toEqual([]);
});

test("a thousand nodes stay within four hops, and one more moves nobody", () => {
  const forest = new Forest(configurationOf(5, range(6, 995)), nodeId(1));
  forest.settle();
  expect(forest.check()).toBeLessThanOrEqual(4);
  const before = new Map(forest.feeder);
  forest.configuration = configurationOf(5, range(6, 996));
  forest.alive.add(nodeId(1001));
  expect(forest.settle()).toBe(1);
  for (const [node, feeder] of before) expect(forest.feeder.get(node)).toBe(feeder);
});

/** Those in which it got deeper before room far down was left to who insists. */
const deepSeeds = [1, 193_330_268, 676_534_624];

test("joins, deaths, returns, demotions: always a forest, at most 8 each, nobody without a feeder, and four hops once all have tried their best one", () => {
  const newSeed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`seed ${newSeed}`);
  for (const seed of [newSeed, ...deepSeeds]) walk(seed);
});

function walk(seed: number): void {
  const random = seededRandom(seed);
  for (let round = 0; round < 20; round++) {
    const voters = randomInteger(random, 1, 7);
    const forest = new Forest(configurationOf(voters, range(voters + 1, randomInteger(random, 9, 120))), nodeId(1));
    let next = nodeId(voters + forest.configuration.learners.length + 1);
    for (let step = 0; step < 60; step++) {
      const learners = forest.configuration.learners;
      const one = learners[randomInteger(random, 0, learners.length - 1)]!;
      const what = randomInteger(random, 0, 4);
      if (what === 0) {
        forest.configuration = { ...forest.configuration, learners: [...learners, next] };
        forest.alive.add(next);
        next = nodeId(next + 1);
      } else if (what === 1) {
        forest.alive.delete(one);
        forest.feeder.delete(one);
      } else if (what === 2) forest.alive.add(one);
      else if (what === 3 && forest.configuration.voters.length > 1) {
        // A voter other than the leader becomes a learner: what it feeds may have smaller ids now.
        const demoted = forest.configuration.voters.at(-1)!;
        const voting = forest.configuration.voters.slice(0, -1);
        forest.configuration = { ...forest.configuration, voters: voting, learners: [...learners, demoted] };
      } else if (what === 4 && forest.alive.has(one)) {
        forest.configuration = {
          ...forest.configuration,
          voters: [...forest.configuration.voters, one],
          learners: learners.filter((node) => node !== one),
        };
        forest.feeder.delete(one);
      }
      forest.follow();
      expect(forest.check(), `seed ${seed} round ${round} step ${step}`).toBeLessThanOrEqual(5);
      forest.improve();
      // Eight to the third are more than there are here; holes cost one hop.
      expect(forest.check(), `seed ${seed} round ${round} step ${step}`).toBeLessThanOrEqual(4);
    }
  }
}

test("a small mesh keeps all of its sockets; in a large one learners keep none to each other, and of voters raft's alone", () => {
  const small = configurationOf(3, range(4, 8));
  expect(isRelaying(small, relayLimits)).toBe(false);
  expect(keptTo(nodeId(5), nodeId(6), small, relayLimits)).toBe("all");
  const large = configurationOf(5, range(6, 95));
  expect(isRelaying(large, relayLimits)).toBe(true);
  expect(keptTo(nodeId(1), nodeId(2), large, relayLimits)).toBe("all");
  expect(keptTo(nodeId(1), nodeId(50), large, relayLimits)).toBe("raft");
  expect(keptTo(nodeId(50), nodeId(1), large, relayLimits)).toBe("raft");
  expect(keptTo(nodeId(50), nodeId(51), large, relayLimits)).toBe("none");
});

test("who has just joined a large mesh meets a few of those that it was told of, the first ones, and all of a small one", () => {
  const met = (count: number): number[] => {
    const told = range(1, count).map(nodeId);
    return told.filter((node) => isFirstContact(node, told, relayLimits));
  };
  expect(met(100)).toEqual(range(1, limits.relayFirstContacts));
  expect(met(relayLimits.directLearners)).toEqual(range(1, relayLimits.directLearners));
});
