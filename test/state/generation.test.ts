import { expect, test } from "bun:test";
import { epochStart } from "../../src/lib/epoch.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { beginRecovered, beginRestored, restoredNodeId } from "../../src/state/generation.ts";
import { clusterRow, findNode, findToken, listNodes } from "../../src/state/queries.ts";
import { auditBefore } from "../../src/state/tables/audit.ts";
import { dueBundleSources } from "../../src/state/tables/bundle-source.ts";
import { readCounter } from "../../src/state/tables/counter.ts";
import { gateOf } from "../../src/state/tables/gate.ts";
import { sql } from "../../src/state/tx.ts";
import { admin, announcement, Cluster } from "./support.ts";

const facts = { index: epochStart(1), at: 2_000_000, by: "ops", command: "cluster.recover", what: "a test" } as const;

/** Three nodes with a running task each, one that is to be retried and one that is not, and one that waits. */
function busy(): { cluster: Cluster; retried: number; failed: number; kept: number; waiting: number } {
  const cluster = Cluster.of(3);
  const retried = cluster.submit({ run: "true" });
  const failed = cluster.submit({ run: "true", on_lost: "fail" });
  const kept = cluster.submit({ run: "true" });
  const waiting = cluster.submit({ run: "true" });
  cluster.assign(retried, 2, [0, 1]);
  cluster.assign(failed, 3, [0, 1]);
  cluster.assign(kept, 1, [0, 1]);
  return { cluster, retried, failed, kept, waiting };
}

function begin(cluster: Cluster, rows: () => void): void {
  const { database } = cluster;
  database.transaction(database.applied, epochStart(1), rows, { term: 9 });
}

test("a recovered state has the survivors alone: work of the others is lost as on_lost says, that of survivors goes on", () => {
  const { cluster, retried, failed, kept, waiting } = busy();
  const before = readCounter(cluster.database);
  const hash = cluster.database.hash;
  let gone: string[] = [];
  begin(cluster, () => (gone = beginRecovered(cluster.database, facts, [nodeId(1)])));
  expect(gone).toEqual(["n2", "n3"]);
  expect(listNodes(cluster.database).map(({ name }) => name)).toEqual(["n1"]);
  expect(cluster.task(retried).state).toBe("queued");
  expect(cluster.job(failed).state).toBe("failed");
  expect(cluster.task(kept)).toMatchObject({ state: "running", node: 1 });
  expect(cluster.job(waiting).state).toBe("queued");
  const now = readCounter(cluster.database);
  expect(now.next_job).toBe(before.next_job + limits.epochSkipsJobs);
  expect(now.next_node).toBe(before.next_node + limits.epochSkipsNodes);
  // Totals are what the rows say.
  expect([now.tasks_running, now.jobs_unfinished]).toEqual([1, 3]);
  expect(findToken(cluster.database, "t-2")?.revoked).toBe(true);
  expect(findToken(cluster.database, "t-admin")?.revoked).toBe(false);
  expect(cluster.database.hash).not.toBe(hash);
  const [row] = auditBefore(cluster.database, Number.MAX_SAFE_INTEGER, 1);
  expect(row).toMatchObject({ entry: epochStart(1), name: "ops", command: "cluster.recover", what: "a test" });
});

test("nobody is in quarantine in a recovered state, which is everybody's: the one that leads alone would run nothing for ever", () => {
  const cluster = Cluster.ofNewest(3);
  const { database } = cluster;
  for (const node of [1, 2, 3]) cluster.must("node.quarantine", { node: nodeId(node), entry: 5 });
  expect(listNodes(database).map(({ quarantine }) => quarantine)).toEqual([5, 5, 5]);
  begin(cluster, () => beginRecovered(database, facts, [nodeId(1), nodeId(2)]));
  expect(listNodes(database).map(({ id, quarantine }) => [Number(id), quarantine])).toEqual([
    [1, undefined],
    [2, undefined],
  ]);
});

test("a restored state is another cluster's: one new node, an admin's token, none of the members' and no join token", () => {
  const { cluster, retried, failed, kept } = busy();
  const { database } = cluster;
  const id = restoredNodeId(database);
  const token = { id: "fresh", hash: "f", name: "admin" };
  begin(cluster, () =>
    beginRestored(
      database,
      { ...facts, command: "cluster.restore" },
      { id, cluster: "d", node: { name: "n1", ...announcement(1) }, token },
    ),
  );
  expect(clusterRow(database)).toMatchObject({ cluster: "d", level: 1, votersWanted: 5 });
  // A name that a member had is free again, its id is not.
  expect(listNodes(database).map((node) => [node.id, node.name])).toEqual([[id, "n1"]]);
  expect(findNode(database, 1)).toBeUndefined();
  expect([cluster.task(retried).state, cluster.task(kept).state]).toEqual(["queued", "queued"]);
  expect(cluster.job(failed).state).toBe("failed");
  expect(readCounter(database).tasks_running).toBe(0);
  const isGood = (one: string): boolean => findToken(database, one)?.revoked === false;
  expect(["fresh", "t-admin", "t-2", "j"].map(isGood)).toEqual([true, true, false, false]);
  expect(findToken(database, "fresh")).toMatchObject({ role: "admin", kind: "api", node: null });
});

const waiting = sql("select not_before from task where job = ?");

test("a restored state has the time of the host where that was done: a clock that was a year ahead once is no matter any more (J4)", () => {
  const cluster = Cluster.of(1);
  const { database } = cluster;
  const right = cluster.now;
  cluster.now = right + 365 * 86_400_000;
  const job = cluster.submit({ retries: { max: 1, backoff: "10s", jitter: 0 } });
  cluster.assign(job, 1, [0, 1]);
  cluster.finish(job, 0, 1, 1, "failed");
  const overdue = cluster.submit({ deadline: "20s" });
  const paused = cluster.submit({ count: 2, batch: { sizes: [1], pause: "30s" } });
  cluster.assign(paused, 1, [0, 1]);
  cluster.finish(paused, 0, 1, 1);
  const dueAt = () => database.get<{ not_before: number }>(waiting, job)?.not_before;
  expect(readCounter(database).at).toBe(cluster.now);
  expect(dueAt()).toBe(cluster.now + 10_000);
  const id = restoredNodeId(database);
  begin(cluster, () =>
    beginRestored(
      database,
      { ...facts, at: right, command: "cluster.restore" },
      { id, cluster: "d", node: { name: "n1", ...announcement(1) }, token: { id: "fresh", hash: "f", name: "admin" } },
    ),
  );
  expect(readCounter(database).at).toBe(right);
  // What waited for its next try waits for as long as it would have.
  expect(dueAt()).toBe(right + 10_000);
  expect(gateOf(database, overdue)?.deadline_at).toBe(right + 20_000);
  expect(gateOf(database, paused)?.pause_until).toBe(right + 30_000);
});

test("bundles that are pinned by themselves are looked at at once in a restored state: no member of it has their files", () => {
  const cluster = Cluster.ofNewest(1);
  const { database } = cluster;
  const url = "git@git.lan:ops/play.git";
  cluster.must("bundle.source.set", { name: "play", url, every: 600_000 }, admin);
  const { revision, asked } = dueBundleSources(database, cluster.now)[0]!;
  cluster.must("bundle.source.note", { name: "play", revision, asked, base: null, failure: null });
  expect(dueBundleSources(database, cluster.now)).toEqual([]);
  const id = restoredNodeId(database);
  const made = { id, cluster: "d", node: { name: "n1", ...announcement(1) } };
  const token = { id: "fresh", hash: "f", name: "admin" };
  // By the clock of its host, which may be behind that of the cluster that the backup is of.
  begin(cluster, () => beginRestored(database, { ...facts, command: "cluster.restore" }, { ...made, token }));
  expect(dueBundleSources(database, readCounter(database).at).map(({ name }) => name)).toEqual(["play"]);
});
