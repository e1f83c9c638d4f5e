import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { limits } from "../../src/lib/limits.ts";
import { commandByName } from "../../src/state/commands/index.ts";
import { clusterRow, findNode, levelHeld, timingOf } from "../../src/state/queries.ts";
import { admin, announcement, Cluster } from "./support.ts";

function clusterOf(nodes: number): Cluster {
  const cluster = Cluster.of(nodes);
  cluster.level = 2;
  return cluster;
}

describe("labels that a person gives", () => {
  const labelsOf = (cluster: Cluster) => findNode(cluster.database, 2)?.labels;
  const starts = (cluster: Cluster, labels: Record<string, string>) =>
    cluster.must("node.seen", { node: nodeId(2), ...announcement(2), labels });

  test("are added to those of the flags, and outlive a restart; of the same name the flag wins, for good", () => {
    const cluster = clusterOf(2);
    starts(cluster, { zone: "eu" });
    cluster.must("node.label", { node: "n2", labels: { zone: "us", disk: "ssd" } }, admin);
    expect(labelsOf(cluster)).toEqual({ zone: "us", disk: "ssd" });
    expect(cluster.changes()).toContainEqual({ topic: "node", kind: "changed", node: nodeId(2) });
    starts(cluster, {});
    expect(labelsOf(cluster)).toEqual({ zone: "us", disk: "ssd" });
    starts(cluster, { zone: "asia" });
    starts(cluster, {});
    expect(labelsOf(cluster)).toEqual({ disk: "ssd" });
  });

  test("one that is taken away is gone, a flag's until the next start", () => {
    const cluster = clusterOf(2);
    starts(cluster, { zone: "eu" });
    cluster.must("node.label", { node: 2, labels: { disk: "ssd" } }, admin);
    cluster.must("node.label", { node: 2, labels: { disk: null, zone: null, never: null } }, admin);
    expect(labelsOf(cluster)).toEqual({});
    starts(cluster, { zone: "eu" });
    expect(labelsOf(cluster)).toEqual({ zone: "eu" });
  });

  test("take effect for the jobs that ask for them, and end with the node", () => {
    const cluster = clusterOf(2);
    cluster.must("node.label", { node: 2, labels: { disk: "ssd" } }, admin);
    const job = cluster.submit({ each_node: true, on: "disk=ssd" });
    expect(cluster.job(job).counts.queued).toBe(1);
    cluster.must("node.remove", { node: 2 }, admin);
    const again = { name: "n2", ...announcement(2), incarnation: "new", joinToken: "j" };
    cluster.must("node.join", { ...again, token: { id: "x", hash: "h", name: "x" } });
    expect(findNode(cluster.database, "n2")?.labels).toEqual({ number: "2" });
  });

  test("are bounded", () => {
    const cluster = clusterOf(2);
    const many = Object.fromEntries(Array.from({ length: limits.labelsPerThing }, (_, at) => [`k${at}`, "v"]));
    expect(cluster.refused("node.label", { node: 2, labels: many }, admin)[0]).toBe("conflict");
    expect(cluster.refused("node.label", { node: 9, labels: { a: "b" } }, admin)[0]).toBe("not-found");
  });
});

describe("promote and demote", () => {
  test("are wishes that the node's row shows until they are forgotten", () => {
    const cluster = clusterOf(2);
    const wish = () => findNode(cluster.database, 2)?.wish;
    expect(cluster.must("node.demote", { node: "n2" }, admin)).toEqual({ node: nodeId(2), wish: "learner" });
    expect(wish()).toBe("learner");
    cluster.must("node.promote", { node: "n2" }, admin);
    expect(wish()).toBe("voter");
    cluster.must("node.promote", { node: "n2", forget: true }, admin);
    expect(wish()).toBeUndefined();
  });

  test("somebody is left who may vote", () => {
    const cluster = clusterOf(2);
    cluster.must("node.demote", { node: 1 }, admin);
    expect(cluster.refused("node.demote", { node: 2 }, admin)).toEqual([
      "conflict",
      "node n2 is the last that may vote: promote another one first",
    ]);
  });
});

test("the only node is not removed", () => {
  const cluster = clusterOf(1);
  expect(cluster.refused("node.remove", { node: 1 }, admin)[1]).toContain("the cluster's only one");
});

describe("the level (S2)", () => {
  test("rises to what every member understands, absent ones included, and never falls", () => {
    const cluster = Cluster.of(3);
    for (const node of [1, 2]) cluster.must("node.seen", { node: nodeId(node), ...announcement(node), level: 3 });
    cluster.must("node.lost", { node: nodeId(3), incarnation: "i3" });
    expect(cluster.refused("cluster.raise", { level: 2 })[1]).toContain("level 2 is not understood by n3 (0, level 1)");
    cluster.must("node.remove", { node: 3 }, admin);
    cluster.must("cluster.raise", { level: 2 });
    expect(clusterRow(cluster.database)?.level).toBe(2);
    expect(cluster.changes()).toEqual([{ topic: "cluster", kind: "changed" }]);
    expect(cluster.refused("cluster.raise", { level: 1 })[1]).toContain("never falls");
    expect(cluster.refused("cluster.raise", { level: 4 })[0]).toBe("conflict");
  });

  test("a node that does not understand the cluster's level is not let in, and its token not used", () => {
    const cluster = Cluster.of(1);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 2 });
    cluster.must("cluster.raise", { level: 2 });
    const joining = { name: "n2", ...announcement(2), joinToken: "j", token: { id: "x", hash: "h", name: "x" } };
    expect(cluster.refused("node.join", joining)[1]).toContain("the cluster is at level 2, and this version");
    cluster.must("node.join", { ...joining, level: 2 });
  });

  test("is held until it is released", () => {
    const cluster = Cluster.of(1);
    cluster.must("cluster.hold", { hold: true }, admin);
    expect(levelHeld(cluster.database)).toBe(true);
    cluster.must("cluster.hold", { hold: false }, admin);
    cluster.must("cluster.hold", { hold: false }, admin);
    expect(levelHeld(cluster.database)).toBe(false);
  });
});

test("the number of voters is set, and said as it takes effect", () => {
  const cluster = clusterOf(1);
  expect(cluster.must("cluster.set", { voters: 4 }, admin)).toEqual({ voters: 4, in_effect: 3 });
  expect(clusterRow(cluster.database)?.votersWanted).toBe(4);
});

describe("heartbeat and election timeout", () => {
  test("are set together, and are what they always were until then", () => {
    const cluster = clusterOf(1);
    cluster.level = 3;
    expect(timingOf(cluster.database)).toEqual({ heartbeatMs: 50, electionTimeoutMs: 600 });
    cluster.must("cluster.timing", { heartbeat_ms: 100, election_timeout_ms: 1200 }, admin);
    cluster.must("cluster.timing", { heartbeat_ms: 100, election_timeout_ms: 1000 }, admin);
    expect(timingOf(cluster.database)).toEqual({ heartbeatMs: 100, electionTimeoutMs: 1000 });
    expect(cluster.changes()).toContainEqual({ topic: "cluster", kind: "changed" });
  });

  test("that would not leave a mesh at peace, or leases alive over an election, have no right shape", () => {
    const { input } = commandByName("cluster.timing");
    const problems = (heartbeat_ms: number, election_timeout_ms: number) =>
      input.safeParse({ heartbeat_ms, election_timeout_ms }).error?.issues.map((one) => one.message) ?? [];
    expect(problems(50, 600)).toEqual([]);
    expect(problems(50, 399)).toEqual([
      "must be a multiple of 10 ms",
      expect.stringContaining("at least 8 heartbeats"),
    ]);
    expect(problems(50, 390)).toEqual([expect.stringContaining("at least 8 heartbeats")]);
    expect(problems(5, 600)).toEqual(["must be at least 10 ms", "must be a multiple of 10 ms"]);
    expect(problems(250, 2010)).toEqual([expect.stringContaining("leases must outlive an election")]);
  });
});
