import { expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { accept } from "../../src/lib/outcome.ts";
import { Forsaking } from "../../src/node/forsaking.ts";
import { announcement, Cluster } from "../state/support.ts";

/** Tasks that only a node may run which does not come back. */

/** Two nodes, jobs with a task for each of them, and the second one lost while it ran the first job's. */
function lostOne(jobs: number) {
  const cluster = Cluster.of(2);
  cluster.level = 3;
  const ids = Array.from({ length: jobs }, () => cluster.submit({ each_node: true }));
  for (const id of ids) {
    cluster.assign(id, 1, [0, 1]);
    cluster.finish(id, 0, 1, 1);
  }
  cluster.assign(ids[0]!, 2, [1, 1]);
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  return { cluster, ids };
}

function dutyOf(cluster: Cluster): Forsaking {
  return new Forsaking({
    view: (query) => query(cluster.database),
    now: () => cluster.now,
    propose: (name, input) => Promise.resolve(accept({ value: cluster.must(name, input), index: 0 }) as never),
  });
}

test("are waited for as long as it may return, and then end as lost with the reason, some with each command", async () => {
  const { cluster, ids } = lostOne(limits.releasesPerCommand + 5);
  cluster.now += limits.pinnedWaitMs - 1;
  const entries = cluster.log.length;
  dutyOf(cluster).look(() => true);
  expect(cluster.log.length).toBe(entries);
  expect(cluster.refused("node.forsake", { node: nodeId(2) })).toEqual(["conflict", "node 2 is still waited for"]);
  expect(cluster.job(ids[0]!).state).toBe("running");

  cluster.now += 1;
  const duty = dutyOf(cluster);
  duty.look(() => false);
  expect(cluster.log.length).toBe(entries + 1);
  duty.look(() => true);
  await new Promise((resolve) => setImmediate(resolve));
  expect(cluster.log.length).toBe(entries + 3); // the refused one, and two steps
  for (const id of ids) expect(cluster.job(id)).toMatchObject({ state: "failed", counts: { succeeded: 1, lost: 1 } });
  expect(cluster.task(ids[1]!, 1)).toMatchObject({
    state: "lost",
    reason: "node n2 was lost, and did not return within 1d",
  });
});

test("are asked for once and not with every entry, where the log ends none of them", async () => {
  const { cluster } = lostOne(1);
  cluster.now += limits.pinnedWaitMs;
  let asked = 0;
  const duty = new Forsaking({
    view: (query) => query(cluster.database),
    now: () => cluster.now,
    propose: () => {
      asked += 1;
      if (asked > 3) throw new Error("asked for with every entry");
      return Promise.resolve(accept({ value: { ended: 0 }, index: 0 }) as never);
    },
  });
  for (let look = 0; look < 3; look++) {
    duty.look(() => true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(asked).toBe(1);
});

test("are not ended when it has returned, or when it was lost again a moment ago", () => {
  const { cluster, ids } = lostOne(1);
  cluster.now += limits.pinnedWaitMs;
  cluster.must("node.seen", { node: nodeId(2), ...announcement(2) });
  expect(cluster.refused("node.forsake", { node: nodeId(2) })[0]).toBe("conflict");
  cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  expect(cluster.refused("node.forsake", { node: nodeId(2) })[0]).toBe("conflict");
  expect(cluster.job(ids[0]!).state).toBe("running");
});
