import { expect, test } from "bun:test";
import { Fault } from "../../src/lib/fault.ts";
import { nobody, nodeId } from "../../src/lib/ids.ts";
import { accept, type Outcome, refuse } from "../../src/lib/outcome.ts";
import { Announcer } from "../../src/node/announcer.ts";

const [self, silent, knowing] = [nodeId(1), nodeId(2), nodeId(3)];

/** A node that has started, knows two members, and has the state of a cluster. The log answers as `outcomes` say, the last one again and again. */
function started(outcomes: readonly Outcome<unknown>[]) {
  const world = {
    told: 0,
    removed: [] as string[],
    counts: false,
    hasState: true,
  };
  const announcer = new Announcer({
    self,
    announce: () => Promise.resolve(outcomes[Math.min(world.told++, outcomes.length - 1)]!),
    onRemoved: (reason) => world.removed.push(reason),
    heardLeader: () => nobody,
    peers: { nodes: [silent, knowing].values(), counts: () => world.counts },
    transport: {
      isConnected: () => true,
      request: (node) =>
        node === knowing ? Promise.resolve(knowing) : Promise.reject(new Fault("peer-timeout", "silent", "unknown")),
    },
    view: () => (world.hasState ? { level: 1 } : undefined) as never,
  });
  return { announcer, world };
}

const unavailable = refuse("unavailable", "no leader is known");
const unknown = refuse("not-found", "there is no node 1");

test("it is said again until the log has it, and then no more", async () => {
  const { announcer, world } = started([unavailable, unavailable, accept(null)]);
  await announcer.announce();
  await announcer.announce();
  expect(world.told).toBe(3);
});

test("what was declared lost says it again", async () => {
  const { announcer, world } = started([accept(null)]);
  await announcer.announce();
  announcer.again();
  expect(world.told).toBe(2);
});

test("who is no member ends, unless its vote is needed yet, or it has no state to be right about", async () => {
  const { announcer, world } = started([unknown]);
  await announcer.announce();
  expect(world.removed).toEqual(["there is no node 1"]);

  const voter = started([unknown, accept(null)]);
  voter.world.counts = true;
  await voter.announcer.announce();
  const newcomer = started([unknown, accept(null)]);
  newcomer.world.hasState = false;
  await newcomer.announcer.announce();
  expect([voter.world.removed, newcomer.world.removed]).toEqual([[], []]);
});

test("who hears of no leader sends it to whom another member names, and forgets that when it hears itself", async () => {
  const { announcer } = started([unavailable]);
  const announcing = announcer.announce();
  while (announcer.hintedLeader === nobody) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(announcer.hintedLeader).toBe(knowing);
  announcer.onLeadership();
  expect(announcer.hintedLeader).toBe(nobody);
  announcer.stop();
  await announcing;
});
