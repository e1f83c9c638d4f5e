import { afterEach, describe, expect, test } from "bun:test";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept, type Outcome, type Refusal } from "../../src/lib/outcome.ts";
import { Clocks } from "../../src/node/clocks.ts";
import { Duties, type DutyPorts } from "../../src/node/duties.ts";
import { LeaseTable } from "../../src/node/lease.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { admin, Cluster } from "../state/support.ts";

/** A leader of a real state, whose leases are all over; proposals are answered by the test. */
function rig(cluster = Cluster.of(2)) {
  const proposed: { readonly name: string; readonly input: unknown; settle(outcome: Outcome<unknown>): void }[] = [];
  class Silent extends LeaseTable {
    override get electedAt(): number {
      return super.electedAt - limits.lostAfterMs - 1;
    }
  }
  const ports: DutyPorts = {
    self: nodeId(1),
    leases: new Silent(),
    clocks: new Clocks(nodeId(1)),
    now: () => Date.now(),
    handOver: () => {},
    view: (query) => query(cluster.database),
    propose: (name, input) => {
      const { promise, resolve } = Promise.withResolvers<Outcome<unknown>>();
      proposed.push({ name, input, settle: resolve });
      return promise as never;
    },
    readLog: () => expect.unreachable(),
    lookAtSource: () => expect.unreachable(),
    drain: () => {},
    assigns: () => {},
    relieve: () => {},
    configuration: () => ({ voters: [nodeId(1), nodeId(2)], outgoing: [], learners: [], learnersNext: [] }),
    proposeConfiguration: () => {},
    lag: () => 0,
    isHere: () => true,
    lastIndex: () => 0,
    log: () => {},
  };
  const duties = new Duties(ports);
  started.push(duties);
  return { duties, proposed, leases: ports.leases, until: (count: number) => until(() => proposed.length >= count) };
}

/** Every node has asked for its lease. */
class Fresh extends LeaseTable {
  override isFresh(): boolean {
    return true;
  }
}

const started: Duties[] = [];
afterEach(() => {
  for (const duties of started.splice(0)) duties.stop();
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const unknown: Refusal = { code: "unavailable", message: "not known yet" };

describe("a node.lost on its way (J3)", () => {
  test("keeps the node from a lease for the rest of the term when its outcome is unknown: it may be in the log", async () => {
    const { duties, proposed, until } = rig();
    duties.start();
    await until(2);
    expect(proposed.map((one) => one.name)).toEqual(["node.lost", "node.lost"]);
    proposed[0]!.settle({ ok: false, why: unknown });
    proposed[1]!.settle({ ok: false, why: { ...unknown, retry: "safe" } });
    await until(3); // the one that was certainly not logged is proposed again
    expect(proposed[2]!.input).toEqual(proposed[1]!.input);
    expect([1, 2].map((node) => duties.isLosing(nodeId(node)))).toEqual([true, true]);
    proposed[2]!.settle(accept({ value: { attempts: 0 }, index: 9 }));
    await new Promise((resolve) => setImmediate(resolve));
    expect([1, 2].map((node) => duties.isLosing(nodeId(node)))).toEqual([true, false]);
  });

  test("of an earlier term says nothing about this one", async () => {
    const { duties, proposed, until } = rig();
    duties.start();
    await until(2);
    duties.stop();
    expect(duties.isLosing(nodeId(1))).toBe(false); // the next leadership waits from its own election
    duties.start();
    await until(4);
    proposed[0]!.settle(accept({ value: { attempts: 0 }, index: 9 }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(duties.isLosing(nodeId(1))).toBe(true);
  });
});

describe("what counts as a sign of life (J3)", () => {
  test("a node whose entry is applied and not reported yet is not lost: it was not there to be silent", async () => {
    const cluster = Cluster.of(2);
    const { duties, proposed, leases, until } = rig(cluster);
    duties.start();
    await until(2);
    const third = cluster.join(3);
    duties.onApplied([{ index: 1, at: 0, changes: [{ topic: "node", kind: "changed", node: nodeId(1) }] }]);
    while (!leases.quietSince.has(third)) await new Promise((resolve) => setTimeout(resolve, 5));
    // The look that met it is over: it would have said so.
    await new Promise((resolve) => setImmediate(resolve));
    expect(proposed.map(({ input }) => (input as { node: number }).node)).toEqual([1, 2]);
  });

  test("a node that announces itself has the whole time again; what others say of it gives it none", () => {
    const { duties, leases } = rig();
    duties.start();
    const told = (announced?: true): void => {
      const change = { topic: "node", kind: "changed", node: nodeId(2) } as const;
      duties.onApplied([{ index: 1, at: 0, changes: [announced === undefined ? change : { ...change, announced }] }]);
    };
    told();
    expect(leases.quietSince.has(nodeId(2))).toBe(false);
    told(true);
    expect(leases.quietSince.has(nodeId(2))).toBe(true);
  });
});

describe("a plan", () => {
  test("leaves at once when nothing else is under way, and names beforehand whom it assigns something", async () => {
    const cluster = Cluster.of(2);
    cluster.submit();
    const said: string[] = [];
    const left = Promise.withResolvers<void>();
    const duties = new Duties({
      self: nodeId(1),
      leases: new Fresh(),
      clocks: new Clocks(nodeId(1)),
      now: () => Date.now(),
      handOver: () => {},
      view: (query) => query(cluster.database),
      propose: (name) => {
        if (name === "unit.assign") said.push(name);
        return new Promise(() => {});
      },
      readLog: () => expect.unreachable(),
      lookAtSource: () => expect.unreachable(),
      drain: () => {
        said.push("drain");
        left.resolve();
      },
      assigns: (nodes) => said.push(`assigns ${[...nodes].join()}`),
      relieve: () => {},
      configuration: () => ({ voters: [nodeId(1), nodeId(2)], outgoing: [], learners: [], learnersNext: [] }),
      proposeConfiguration: () => {},
      lag: () => 0,
      isHere: () => true,
      lastIndex: () => 0,
      log: () => {},
    });
    started.push(duties);
    duties.start();
    await left.promise;
    expect(said).toEqual(["assigns 1", "unit.assign", "drain"]);
    // Now something is: the next plan goes with whatever comes in its turn.
    said.length = 0;
    const job = cluster.submit();
    duties.onApplied(cluster.events.slice(-1));
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(job).toBe(2);
    expect(said).toEqual(["assigns 2", "unit.assign"]);
  });
});

describe("an entry of many jobs", () => {
  test("lets others have their turn while the leader takes it in, and is planned once it is whole", async () => {
    const cluster = Cluster.of(2);
    const { turnMs } = limits;
    const few = limits as { turnMs: number };
    few.turnMs = 0; // the time of every turn is over after its first step
    try {
      const planned: number[] = [];
      let turns = 0;
      const duties: Duties = new Duties({
        self: nodeId(1),
        leases: new Fresh(),
        clocks: new Clocks(nodeId(1)),
        now: () => Date.now(),
        handOver: () => {},
        view: (query) => query(cluster.database),
        propose: (name, input) => {
          if (name === "unit.assign") planned.push((input as { units: readonly unknown[] }).units.length);
          return new Promise(() => {});
        },
        readLog: () => expect.unreachable(),
        lookAtSource: () => expect.unreachable(),
        drain: () => {},
        assigns: () => {},
        relieve: () => {},
        configuration: () => ({ voters: [nodeId(1), nodeId(2)], outgoing: [], learners: [], learnersNext: [] }),
        proposeConfiguration: () => {},
        lag: () => 0,
        isHere: () => true,
        lastIndex: () => 0,
        log: () => {},
      });
      started.push(duties);
      duties.start();
      const steps = 10;
      const jobs = Array.from({ length: steps * limits.viewStepJobs }, () => ({ run: "true" }));
      cluster.must("job.submit", { jobs: commandByName("job.submit").input.parse({ jobs }).jobs }, admin);
      duties.onApplied(cluster.events.slice(-1));
      while (planned.length === 0) {
        turns += 1;
        duties.onLease(); // a plan is asked for all the time
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(turns).toBeGreaterThanOrEqual(steps - 2);
      expect(planned).toEqual([8]);
      const last = jobId(jobs.length);
      expect(duties.inspect((view) => view.queued(last)?.held)).toBe(0);
    } finally {
      few.turnMs = turnMs;
    }
  });

  test("that is being taken in is whole for whoever looks at it", () => {
    const cluster = Cluster.of(2);
    const { turnMs } = limits;
    const few = limits as { turnMs: number };
    few.turnMs = 0;
    try {
      const { duties } = rig(cluster);
      duties.start();
      const jobs = Array.from({ length: 3 * limits.viewStepJobs }, () => ({ run: "true" }));
      cluster.must("job.submit", { jobs: commandByName("job.submit").input.parse({ jobs }).jobs }, admin);
      duties.onApplied(cluster.events.slice(-1));
      expect(duties.inspect((view) => view.queued(jobId(jobs.length))?.held)).toBe(0);
    } finally {
      few.turnMs = turnMs;
    }
  });
});

describe("work that the log does not take", () => {
  test("is given out again later, not in the same turn: what it is refused for may need other turns to pass", async () => {
    const cluster = Cluster.of(2);
    cluster.submit();
    let refused = 0;
    const first = Promise.withResolvers<void>();
    const again = Promise.withResolvers<void>();
    const duties = new Duties({
      self: nodeId(1),
      leases: new Fresh(),
      clocks: new Clocks(nodeId(1)),
      now: () => Date.now(),
      handOver: () => {},
      view: (query) => query(cluster.database),
      propose: (name) => {
        if (name !== "unit.assign") return new Promise(() => {});
        refused += 1;
        (refused === 1 ? first : again).resolve();
        return Promise.resolve({ ok: false, why: unknown }) as never;
      },
      readLog: () => expect.unreachable(),
      lookAtSource: () => expect.unreachable(),
      drain: () => {},
      assigns: () => {},
      relieve: () => {},
      configuration: () => ({ voters: [nodeId(1), nodeId(2)], outgoing: [], learners: [], learnersNext: [] }),
      proposeConfiguration: () => {},
      lag: () => 0,
      isHere: () => true,
      lastIndex: () => 0,
      log: () => {},
    });
    started.push(duties);
    duties.start();
    await first.promise;
    const turns = 20;
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(refused).toBeLessThan(turns / 2); // the timers of a busy machine may have gone off meanwhile
    await again.promise; // and not given up
  });
});
