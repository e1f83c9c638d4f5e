import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { jobId } from "../../src/lib/ids.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { placementOf } from "../../src/state/queries.ts";
import { foreseenJobs } from "../../src/state/rehearsal.ts";
import { foresee } from "../../src/scheduler/foresee.ts";
import { admin, announcement, Cluster } from "../state/support.ts";
import { Leader, perNode } from "./leader.ts";

/** A leader of so many nodes of four slots each, that packs. */
function packing(nodes: number): Leader {
  const cluster = Cluster.of(nodes);
  cluster.level = 3;
  cluster.must("cluster.placement", { placement: "pack" }, admin);
  return new Leader(cluster);
}

describe("packing", () => {
  test("fills a node before it begins another, with slots and without", () => {
    const leader = packing(3);
    leader.cluster.submit({ count: 6 });
    expect(perNode(leader.place())).toEqual([4, 2, 0]);
    leader.cluster.submit({ driver: "noop", run: undefined, count: 9 });
    expect(perNode(leader.place())).toEqual([8, 1, 0]);
  });

  test("keeps whole nodes free, so that what needs one has it", () => {
    const leader = packing(3);
    leader.cluster.submit({ count: 3 });
    leader.place();
    leader.cluster.submit({ slots: 4 });
    leader.cluster.submit({ slots: 4 });
    expect(leader.place()).toEqual(["2/0.1@2", "3/0.1@3"]);
  });

  test("takes a node that is used before a smaller one that is idle, and of used ones that with the least room that is enough", () => {
    const leader = packing(2);
    leader.cluster.must("node.seen", { node: leader.cluster.join(3), ...announcement(3), level: 3, slots: 2 });
    leader.cluster.submit({ on: "number=1" });
    leader.cluster.submit({ on: "number=2", count: 2 });
    leader.place();
    leader.cluster.submit({ slots: 2 });
    expect(leader.place()).toEqual(["3/0.1@2"]);
    leader.cluster.submit({ slots: 2 });
    expect(leader.place()).toEqual(["4/0.1@1"]);
    leader.cluster.submit({ slots: 2 });
    expect(leader.place()).toEqual(["5/0.1@3"]);
  });

  test("still tries another node after a failure", () => {
    const leader = packing(2);
    leader.cluster.submit({ retries: { max: 1, backoff: "0s" } });
    expect(leader.place()).toEqual(["1/0.1@1"]);
    leader.finish(1, 0, 1, 1, "failed");
    expect(leader.place()).toEqual(["1/0.2@2"]);
  });

  test("begins and ends while jobs wait, and the next leader goes on with it", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.level = 3;
    leader.cluster.submit({ count: 3 });
    expect(perNode(leader.place())).toEqual([1, 1, 1]);
    leader.cluster.must("cluster.placement", { placement: "pack" }, admin);
    leader.cluster.submit({ count: 3 });
    expect(perNode(leader.place())).toEqual([3, 0, 0]);
    leader.cluster.submit({ count: 2 });
    expect(perNode(new Leader(leader.cluster).place())).toEqual([0, 2, 0]);
    leader.cluster.must("cluster.placement", { placement: "spread" }, admin);
    expect(placementOf(leader.cluster.database)).toBe("spread");
    leader.cluster.submit({ count: 2 });
    expect(perNode(new Leader(leader.cluster).place())).toEqual([0, 0, 2]);
  });
});

describe("nodes that are equally free", () => {
  test.each([
    ["slots", {}],
    ["io tasks", { driver: "noop", run: undefined }],
  ])("are given single tasks that come one by one in turn (%s)", (_what, spec) => {
    const leader = new Leader(Cluster.of(3));
    const nodes = Array.from({ length: 9 }, () => {
      const job = leader.cluster.submit(spec);
      const [name] = leader.place();
      const node = Number(name!.split("@")[1]);
      leader.finish(job, 0, 1, node);
      return node;
    });
    expect(nodes).toEqual([1, 2, 3, 1, 2, 3, 1, 2, 3]);
  });

  test("and of those the freest is still the first, and packing fills one of them", () => {
    const leader = new Leader(Cluster.of(3));
    leader.cluster.submit({ on: "number=1" });
    leader.place();
    leader.finish(1, 0, 1, 1);
    leader.cluster.submit({ on: "number=2" });
    leader.place();
    // Node 3 was given nothing yet, node 1 something longer ago than node 2, which is not as free.
    leader.cluster.submit({ count: 2 });
    expect(leader.place()).toEqual(["3/0.1@3", "3/1.1@1"]);
    const packed = packing(3);
    const nodes = [1, 2, 3].map(() => {
      const job = packed.cluster.submit();
      const [name] = packed.place();
      packed.finish(job, 0, 1, 1);
      return name;
    });
    expect(nodes).toEqual(["1/0.1@1", "2/0.1@1", "3/0.1@1"]);
  });
});

describe("a drained node", () => {
  test("is given nothing more, and its running work goes on: what fails of it is tried elsewhere", () => {
    const leader = new Leader(Cluster.of(2));
    const { cluster } = leader;
    const job = cluster.submit({ on: "number=2", count: 2, retries: { max: 1, backoff: "0s" } });
    cluster.submit({ count: 3, retries: { max: 1, backoff: "0s" } });
    expect(perNode(leader.place())).toEqual([3, 2, 0]);
    cluster.must("node.drain", { node: 2 }, admin);
    cluster.submit({ count: 3 });
    expect(leader.place()).toEqual(["3/0.1@1"]);
    leader.finish(job, 0, 1, 2);
    leader.finish(job, 1, 1, 2, "failed");
    expect(leader.place()).toEqual([]); // its retry is for nodes that match alone
    expect(cluster.job(job).counts).toMatchObject({ succeeded: 1, queued: 1 });
    cluster.must("node.undrain", { node: 2 }, admin);
    expect(leader.place()).toEqual(["1/1.2@2", "3/1.1@2", "3/2.1@2"]);
  });

  test("has its each_node task wait for it, and gives it up when it is removed; who comes later asks nothing of it", () => {
    const leader = new Leader(Cluster.of(3));
    const { cluster } = leader;
    const full = cluster.submit({ on: "number=2", slots: 4 });
    leader.place();
    const each = cluster.submit({ each_node: true });
    const removed = cluster.submit({ each_node: true });
    expect(leader.place()).toEqual(["2/0.1@1", "2/2.1@3", "3/0.1@1", "3/2.1@3"]);
    cluster.must("node.drain", { node: 2 }, admin);
    leader.finish(full, 0, 1, 2);
    expect(leader.place()).toEqual([]);
    expect(cluster.task(cluster.submit({ each_node: true }), 1).target).toBe("n3");
    leader.place();
    cluster.must("node.undrain", { node: 2 }, admin);
    leader.observe();
    cluster.must("job.cancel", { id: jobId(each) }, admin);
    cluster.must("node.drain", { node: 2 }, admin);
    cluster.must("node.remove", { node: 2 }, admin);
    expect(leader.place()).toEqual([]);
    expect(cluster.task(removed, 1)).toMatchObject({ state: "lost", reason: "node n2 was removed" });
  });
});

test("labels count as they are when a task is placed, whatever they were at the submit; what runs is not touched", () => {
  const leader = new Leader(Cluster.of(3));
  const { cluster } = leader;
  cluster.level = 3;
  const label = (node: number, gpu: string | null): void => {
    cluster.must("node.label", { node, labels: { gpu } }, admin);
  };
  const job = cluster.submit({ on: "gpu=yes", slots: 4, count: 3 });
  const each = cluster.submit({ each_node: true, on: "number!=1", slots: 0 });
  expect(leader.place()).toEqual(["2/0.1@2", "2/1.1@3"]);
  label(2, "yes");
  expect(leader.place()).toEqual(["1/0.1@2"]);
  label(2, null);
  leader.finish(each, 0, 1, 2);
  expect(cluster.task(job, 0)).toMatchObject({ state: "running", node: 2 });
  leader.finish(job, 0, 1, 2);
  expect(leader.place()).toEqual([]); // there is room, and it does not match any more
  label(3, "yes");
  expect(leader.place()).toEqual(["1/1.1@3"]);
  expect(new Leader(cluster).place()).toEqual([]);
  label(1, "yes");
  expect(new Leader(cluster).place()).toEqual(["1/2.1@1"]);
});

test.each(["spread", "pack"] as const)("what `plan` foresees is what the planner does (%s)", (placement) => {
  const spec = fc.record(
    {
      count: fc.integer({ min: 1, max: 6 }),
      slots: fc.integer({ min: 0, max: 4 }),
      on: fc.constantFrom("number=1", "number!=2"),
      parallel: fc.integer({ min: 1, max: 3 }),
      unit: fc.integer({ min: 1, max: 8 }),
      max_failures: fc.constant(1),
      on_lost: fc.constant("fail"),
    },
    { requiredKeys: ["count"] },
  );
  fc.assert(
    fc.property(fc.array(spec, { maxLength: 4 }), spec, (running, next) => {
      const cluster = Cluster.ofNewest(3);
      cluster.must("cluster.placement", { placement }, admin);
      const leader = new Leader(cluster);
      // Nothing waits but what has no room, and what has none keeps room for itself: of that `plan` knows nothing.
      for (const one of running) cluster.submit({ ...one, parallel: undefined, slots: Math.min(one.slots ?? 1, 1) });
      leader.place();
      const { jobs } = commandByName("job.submit").prepare(
        commandByName("job.submit").input.parse({ jobs: [{ run: "x", ...next }] }),
        admin,
      );
      const [foreseen] = foresee(
        foreseenJobs(cluster.database, { jobs }, cluster.now),
        leader.view.standings(() => undefined),
        leader.view,
      );
      cluster.submit(next);
      const job = cluster.job(running.length + 1).id;
      leader.observe();
      const { units, ranges } = leader.planAll();
      const own = [
        ...units.map((unit) => ({ ...unit, count: unit.tasks.length })),
        ...ranges.map((range) => ({ ...range })),
      ].filter((one) => one.job === job);
      const given = (node: number): number => own.reduce((sum, one) => (one.node === node ? sum + one.count : sum), 0);
      expect([1, 2, 3].map((node) => foreseen!.placement.find((one) => one.node === node)?.tasks ?? 0)).toEqual(
        [1, 2, 3].map(given),
      );
    }),
    { numRuns: 40 },
  );
});
