import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import type { CommandInput } from "../../src/state/commands/index.ts";
import { clusterRow, findNode, findToken, listNodes } from "../../src/state/queries.ts";
import { entryProblem } from "../../src/state/join-token.ts";
import { admin, announcement, Cluster, record } from "./support.ts";

const joining = (number: number, joinToken = "j"): CommandInput<"node.join"> => ({
  name: `n${number}`,
  ...announcement(number),
  joinToken,
  token: { id: `t-${number}`, hash: "h", name: `node n${number}` },
});

const joinToken = {
  id: "k",
  hash: "h",
  name: "join",
  kind: "join",
  role: "operator",
  expiresAt: null,
  uses: null,
} as const;

describe("a cluster", () => {
  test("is created once", () => {
    const cluster = Cluster.of(1);
    expect(clusterRow(cluster.database)).toEqual({ cluster: "c", level: 1, votersWanted: 5, createdAt: cluster.now });
    expect(findToken(cluster.database, "t-admin")).toMatchObject({
      kind: "api",
      role: "admin",
      revoked: false,
      expiresAt: null,
    });
    const again = {
      cluster: "d",
      votersWanted: 3,
      node: { name: "x", ...announcement(1) },
      token: { id: "z", hash: "h", name: "admin" },
    };
    expect(cluster.refused("cluster.create", again)).toEqual(["conflict", "the cluster c exists already"]);
  });
});

describe("joining", () => {
  test("gives the next id and an operator's token of the node's own", () => {
    const cluster = Cluster.of(1);
    expect(cluster.join(2)).toBe(nodeId(2));
    expect(findNode(cluster.database, "n2")).toMatchObject({
      id: 2,
      state: "up",
      labels: { number: "2" },
      slots: 4,
      ioTasks: 8,
    });
    expect(findToken(cluster.database, "t-2")).toMatchObject({ role: "operator", node: 2 });
  });

  test("the same request again gets the same id and uses the token once", () => {
    const cluster = Cluster.of(1);
    cluster.must("token.create", { ...joinToken, uses: 1 }, admin);
    for (let attempt = 0; attempt < 2; attempt++)
      expect(cluster.must("node.join", joining(2, "k")).node).toBe(nodeId(2));
    expect(listNodes(cluster.database)).toHaveLength(2);
  });

  test("each fault of a token has its own words", () => {
    const cluster = Cluster.of(1);
    cluster.must("token.create", { ...joinToken, id: "once", uses: 1 }, admin);
    cluster.must("token.create", { ...joinToken, id: "old", expiresAt: cluster.now }, admin);
    cluster.must("token.create", { ...joinToken, id: "revoked" }, admin);
    cluster.must("token.revoke", { id: "revoked" }, admin);
    cluster.must("node.join", joining(2, "once"));
    const message = (token: string): string => {
      const [code, text] = cluster.refused("node.join", joining(3, token));
      expect(code).toBe("unauthorized");
      return text.replace(": make one with 'skein cluster token'", "");
    };
    expect(["nothing", "t-admin", "once", "old", "revoked"].map(message)).toEqual([
      "the join token is not known to this cluster",
      "this is an API token, not a join token",
      "the join token has been used as often as it may be",
      "the join token has expired",
      "the join token was revoked",
    ]);
  });

  test("a name that is taken is refused with the address of its owner", () => {
    const cluster = Cluster.of(2);
    const other = { ...joining(2), incarnation: "another" };
    expect(cluster.refused("node.join", other)).toEqual([
      "conflict",
      "a node named n2 is in the cluster already at 127.0.0.1:7402: choose another --name, or remove it first",
    ]);
  });
});

describe("a node that was let in and never came", () => {
  const silent = { ...joining(2), api: "", peer: "" };

  test("is let in under another name as the same node, once its release is everybody's, and not when it has come meanwhile", () => {
    const cluster = Cluster.of(1);
    const { node } = cluster.must("node.join", silent);
    const renamed = { ...silent, name: "other" };
    expect(cluster.refused("node.join", renamed)[1]).toContain("was used before");
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3 });
    cluster.level = 3;
    expect(cluster.must("node.join", renamed)).toEqual({ node });
    expect(findNode(cluster.database, "other")?.id).toBe(node);
    expect(listNodes(cluster.database)).toHaveLength(2);
    expect(cluster.refused("node.join", { ...renamed, name: "n1" })[0]).toBe("conflict");
    cluster.must("node.seen", { node, ...announcement(2), incarnation: "another" });
    expect(cluster.refused("node.join", { ...renamed, name: "third" })[0]).toBe("conflict");
  });

  test("is no target of each_node: nobody knows whether it will ever be there", () => {
    const cluster = Cluster.of(1);
    cluster.must("node.join", silent);
    const job = cluster.submit({ each_node: true });
    expect(cluster.job(job).counts.queued).toBe(1);
  });

  test("a request that was kept, of a node removed since, is not let in with its old token", () => {
    const cluster = Cluster.of(1);
    cluster.must("node.join", silent);
    cluster.must("node.remove", { node: "n2" }, admin);
    expect(cluster.refused("node.join", silent)[0]).toBe("conflict");
  });
});

describe("whoever holds a copy of the state", () => {
  /** At the level of this release: n1 and n2 have come, `silent` was let in and has not. */
  const latest = (): Cluster => {
    const cluster = Cluster.of(2);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3 });
    cluster.level = 3;
    return cluster;
  };
  const silent = { ...joining(3), api: "", peer: "" };

  test("does not come in as a member that has come, with its incarnation and its API token and a join token that is good", () => {
    const cluster = latest();
    const asSecond = { ...joining(2), api: "", peer: "" };
    expect(cluster.refused("node.join", asSecond)[0]).toBe("conflict");
    const own = { ...asSecond.token, id: "t-9" };
    expect(cluster.refused("node.join", { ...asSecond, token: own })[0]).toBe("conflict");
    expect(cluster.refused("node.join", { ...asSecond, token: own, name: "n1", incarnation: "i1" })[0]).toBe(
      "conflict",
    );
    expect(cluster.refused("node.join", { ...asSecond, name: "another" })[0]).toBe("conflict");
  });

  test("gets no answer for a join token that has ended, also where the request was answered before", () => {
    const cluster = latest();
    cluster.must("token.create", { ...joinToken, expiresAt: cluster.now + 10 }, admin);
    const { node } = cluster.must("node.join", { ...silent, joinToken: "k" });
    cluster.now += 10;
    expect(cluster.refused("node.join", { ...silent, joinToken: "k" })[1]).toContain("has expired");
    expect(cluster.must("node.join", silent)).toEqual({ node });
    cluster.must("token.revoke", { id: "j" }, admin);
    expect(cluster.refused("node.join", silent)[1]).toContain("was revoked");
    expect(cluster.refused("node.join", { ...silent, name: "another" })[1]).toContain("was revoked");
  });

  test("does not come in by a join token that had ended by the clock of the asked member, where the log's stands still", () => {
    const cluster = latest();
    cluster.must("token.create", { ...joinToken, expiresAt: cluster.now + 10 }, admin);
    const at = (askedAt: number) => ({ ...silent, joinToken: "k", askedAt });
    expect(cluster.refused("node.join", at(cluster.now + 10))).toEqual([
      "unauthorized",
      "the join token has expired: make one with 'skein cluster token'",
    ]);
    expect(listNodes(cluster.database)).toHaveLength(2);
    expect(cluster.must("node.join", at(cluster.now + 9)).node).toBe(nodeId(3));
  });

  test("a joiner that was let in and did not learn of it is answered again, once its token is used up, and not in the name of another", () => {
    const cluster = latest();
    cluster.must("token.create", { ...joinToken, uses: 1 }, admin);
    const { node } = cluster.must("node.join", { ...silent, joinToken: "k" });
    expect(cluster.must("node.join", { ...silent, joinToken: "k" })).toEqual({ node });
    expect(findToken(cluster.database, "k")?.uses).toBe(0);
    expect(cluster.refused("node.join", { ...silent, token: { ...silent.token, id: "t-4" } })[0]).toBe("conflict");
    expect(cluster.refused("node.join", { ...silent, incarnation: "another" })[0]).toBe("conflict");
  });

  test("is given no certificate for a member that has come or shown one, whatever level let it in", () => {
    const cluster = latest();
    const { node } = cluster.must("node.join", silent);
    const problem = (of = node, token = "j"): string | undefined =>
      entryProblem(cluster.database, of, token, cluster.now);
    expect(problem()).toBeUndefined();
    expect(problem(nodeId(2))).toContain("node 2 has come already");
    expect(problem(node, "t-admin")).toContain("an API token");
    const fingerprint = "a".repeat(32);
    const shown = { node, fingerprint, authority: fingerprint, expiresAt: 1, trusted: [] };
    cluster.entry([record("certificate.seen", shown)], { origin: node });
    cluster.apply();
    expect(problem()).toContain("has come already");
    cluster.must("token.revoke", { id: "j" }, admin);
    expect(problem()).toContain("was revoked");
  });
});

describe("a node's life", () => {
  test("lost is declared once, for the run that fell silent, and its next start makes it up again", () => {
    const cluster = Cluster.of(2);
    const node = nodeId(2);
    expect(cluster.refused("node.lost", { node, incarnation: "earlier" })[0]).toBe("conflict");
    cluster.must("node.lost", { node, incarnation: "i2" });
    expect(findNode(cluster.database, 2)?.state).toBe("lost");
    expect(cluster.refused("node.lost", { node, incarnation: "i2" })).toEqual(["conflict", "node 2 is lost already"]);
    expect(cluster.refused("node.drain", { node: 2 }, admin)[0]).toBe("conflict");
    cluster.must("node.seen", { node, ...announcement(2), incarnation: "next", slots: 9 });
    expect(findNode(cluster.database, 2)).toMatchObject({ state: "up", incarnation: "next", slots: 9 });
  });

  test("draining outlives a restart and ends when a person says so", () => {
    const cluster = Cluster.of(2);
    cluster.must("node.drain", { node: "n2" }, admin);
    cluster.must("node.seen", { node: nodeId(2), ...announcement(2) });
    expect(findNode(cluster.database, 2)?.state).toBe("draining");
    expect(cluster.must("node.undrain", { node: 2 }, admin)).toEqual({ node: nodeId(2), state: "up" });
    expect(cluster.changes()).toEqual([{ topic: "node", kind: "changed", node: nodeId(2) }]);
  });

  test("draining outlives a loss, unless a person takes it back meanwhile", () => {
    const cluster = Cluster.of(2);
    const node = nodeId(2);
    cluster.must("node.drain", { node }, admin);
    for (const undrained of [false, true]) {
      cluster.must("node.lost", { node, incarnation: "i2" });
      expect(findNode(cluster.database, 2)?.state).toBe("lost");
      if (undrained) cluster.must("node.undrain", { node }, admin);
      expect(findNode(cluster.database, 2)?.state).toBe("lost");
      const state = undrained ? ("up" as const) : ("draining" as const);
      expect(cluster.must("node.seen", { node, ...announcement(2) })).toEqual({ node, state });
    }
  });

  test("a node that holds work is not removed before that has ended or it is lost: nobody else may start it earlier (J1)", () => {
    const cluster = Cluster.of(2);
    const job = cluster.submit({ count: 2 });
    cluster.assign(job, 2, [0, 1], [1, 1]);
    cluster.must("node.drain", { node: 2 }, admin);
    expect(cluster.refused("node.remove", { node: 2 }, admin)[1]).toContain("node n2 holds 2 tasks: drain it");
    cluster.finish(job, 0, 1, 2);
    expect(cluster.refused("node.remove", { node: 2 }, admin)[1]).toContain("node n2 holds 1 task:");
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    expect(cluster.job(job).counts.queued).toBe(1);
    cluster.must("node.remove", { node: 2 }, admin);
  });

  test("a removed node is gone: its token ends, its id is not used again, and it is told so", () => {
    const cluster = Cluster.of(2);
    expect(cluster.must("node.remove", { node: "n2" }, admin)).toEqual({ node: nodeId(2) });
    expect(cluster.changes()).toContainEqual({ topic: "node", kind: "removed", node: nodeId(2) });
    expect(findToken(cluster.database, "t-2")?.revoked).toBe(true);
    expect(cluster.refused("node.seen", { node: nodeId(2), ...announcement(2) })[1]).toContain(
      "was removed from this cluster",
    );
    expect(cluster.refused("node.seen", { node: nodeId(9), ...announcement(9) })[1]).toContain(
      "is not known to this cluster",
    );
    expect(cluster.must("node.join", { ...joining(2), token: { id: "new", hash: "h", name: "x" } }).node).toBe(
      nodeId(3),
    );
  });

  test("is found by id, digits or name", () => {
    const cluster = Cluster.of(2);
    expect([2, "2", "n2"].map((reference) => findNode(cluster.database, reference)?.name)).toEqual(["n2", "n2", "n2"]);
    expect(findNode(cluster.database, "n9")).toBeUndefined();
    expect(cluster.refused("node.remove", { node: "n9" }, admin)).toEqual([
      "not-found",
      "there is no node n9: 'skein nodes ls' shows those there are",
    ]);
  });
});
