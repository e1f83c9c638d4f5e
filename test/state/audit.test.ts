import { describe, expect, test } from "bun:test";
import { nodeId } from "../../src/lib/ids.ts";
import { encodeConfiguration } from "../../src/lib/configuration.ts";
import { limits } from "../../src/lib/limits.ts";
import { applyEntries } from "../../src/state/apply.ts";
import { findNode, findToken, listAudit, type AuditFilter, listTokens } from "../../src/state/queries.ts";
import type { Principal } from "../../src/state/types.ts";
import { auditBefore, writeAudit } from "../../src/state/tables/audit.ts";
import { needsMore } from "../../src/state/commands/check.ts";
import { type AnyCommand, commandByTag } from "../../src/state/commands/index.ts";
import { sql } from "../../src/state/tx.ts";
import { StateDatabase } from "../../src/storage/state-db.ts";
import { announcement, admin, Cluster, openDatabase, record, system } from "./support.ts";

/** A cluster whose entries state the level that brought the audit. */
function clusterOf(nodes: number): Cluster {
  const cluster = Cluster.of(nodes);
  cluster.level = 2;
  return cluster;
}

function audited(cluster: Cluster, filter: Partial<AuditFilter> = {}): string[] {
  return listAudit(cluster.database, { limit: 100, ...filter }).items.map(
    ({ name, command, what, outcome, times }) =>
      `${name}: ${command} ${what}: ${outcome}${times > 1 ? ` x${times}` : ""}`,
  );
}

const apiToken = (id: string, more: { expiresAt?: number; role?: "viewer" | "operator" | "admin" } = {}) =>
  ({ id, hash: "h", name: id, kind: "api", role: "operator", expiresAt: null, uses: null, ...more }) as const;

describe("the audit", () => {
  test("says who asked for what and what became of it, refusals included, and is told to watchers", () => {
    const cluster = clusterOf(2);
    cluster.must("node.drain", { node: "n2" }, admin);
    expect(cluster.changes().at(-1)).toEqual({
      topic: "audit",
      kind: "added",
      token: "t-admin",
      by: "anna",
      role: "admin",
      node: nodeId(1),
      command: "node.drain",
      what: "node n2",
      outcome: "ok",
      times: 1,
    });
    cluster.refused("node.remove", { node: "n9" }, admin);
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
    const job = cluster.submit();
    cluster.assign(job, 1, [0, 1]);
    cluster.finish(job, 0, 1, 1);
    expect(audited(cluster)).toEqual([
      "anna: job.submit job 1: ok",
      "n1: node.lost node 2: ok",
      "anna: node.remove node n9: not-found",
      "anna: node.drain node n2: ok",
    ]);
  });

  test("says who votes from then on, and why as far as the state knows, from the entries of the leader's that change it", () => {
    const cluster = clusterOf(4);
    const votes = (voters: number[], outgoing: number[] = [], learners: number[] = []): void => {
      const [now, before, rest] = [voters, outgoing, learners].map((nodes) => nodes.map((node) => nodeId(node)));
      const configuration = { voters: now!, outgoing: before!, learners: rest!, learnersNext: [] };
      cluster.log.push({
        index: cluster.log.length + 1,
        kind: "configuration",
        data: encodeConfiguration(configuration),
      });
      cluster.apply();
    };
    votes([1, 2], [1]);
    expect(audited(cluster, { what: "cluster" })).toEqual([]); // before the level that brought it
    for (let node = 1; node <= 4; node++)
      cluster.must("node.seen", { node: nodeId(node), ...announcement(node), level: 3 });
    cluster.must("cluster.raise", { level: 3 }, admin);
    cluster.level = 3;
    votes([1, 2, 3], [1], [4]);
    const told = cluster.events.length;
    votes([1, 2, 3], [], [4]); // it is left: nothing new
    expect(cluster.events).toHaveLength(told);
    cluster.must("node.demote", { node: "n2" }, admin);
    cluster.must("node.promote", { node: "n4" }, admin);
    votes([1, 3, 4], [1, 2, 3], [2]);
    votes([1, 3, 4], [], [2]);
    cluster.must("node.lost", { node: nodeId(3), incarnation: "i3" });
    votes([1, 4], [], [2, 3]);
    expect(cluster.changes()).toEqual([
      expect.objectContaining({ topic: "audit", command: "cluster.voters", by: "the leader", node: nodeId(0) }),
    ]);
    cluster.must("node.remove", { node: "n4" }, admin);
    votes([1], [], [2, 3]);
    expect(audited(cluster, { what: "cluster.voters" })).toEqual([
      "the leader: cluster.voters voters 1,4 become 1: node 4 goes, removed: ok",
      "the leader: cluster.voters voters 1,3,4 become 1,4: node 3 goes, lost: ok",
      "the leader: cluster.voters voters 1,2,3 become 1,3,4: node 2 goes, demoted; node 4 comes, promoted: ok",
      "the leader: cluster.voters voters 1 become 1,2,3: node 2 comes; node 3 comes: ok",
    ]);
    // Where the cuts fall does not show (S1).
    const again = openDatabase();
    for (const entry of cluster.log) applyEntries(again, [entry], cluster.options);
    expect(again.hash).toBe(cluster.database.hash);
  });

  test("holds the hash of no secret, and no word of a job", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", { ...apiToken("x"), hash: "the hash of a secret" }, admin);
    cluster.submit({ run: "deploy --password hunter2", env: { KEY: "hunter2" } });
    const text = JSON.stringify(auditBefore(cluster.database, 99, 99));
    expect(text).not.toContain("hash of");
    expect(text).not.toContain("hunter2");
  });

  test("an entry of submits that are alike takes one row for each who submits", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", apiToken("t-2"), admin);
    const other: Principal = { token: "t-2", name: "otto", role: "operator" };
    const submit = (by: Principal) => record("job.submit", { jobs: [{ run: "true" }] }, by);
    cluster.entry([submit(admin), submit(admin), submit(admin), submit(other), submit(admin)]);
    cluster.apply();
    expect(audited(cluster, { what: "job" })).toEqual([
      "anna: job.submit job 5: ok",
      "otto: job.submit job 4: ok",
      "anna: job.submit job 1 … job 3: ok x3",
    ]);
  });

  test("is found by time, by who and by what, page by page, each row once", () => {
    const cluster = clusterOf(1);
    for (const id of ["a", "b", "c", "d", "e"]) {
      cluster.now += 1000;
      cluster.must("token.create", apiToken(id), admin);
    }
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1) });
    const seen: string[] = [];
    let next: string | undefined;
    do {
      const page = listAudit(cluster.database, { what: "token", limit: 2, next });
      seen.push(...page.items.map((row) => row.what));
      next = page.next;
    } while (next !== undefined);
    expect(seen.map((what) => what.slice(6, 7))).toEqual(["e", "d", "c", "b", "a"]);
    expect(audited(cluster, { since: cluster.now })).toHaveLength(2);
    expect(audited(cluster, { by: "t-admin" })).toHaveLength(5);
    expect(audited(cluster, { by: "n1" })).toHaveLength(1);
    expect(audited(cluster, { what: "token.revoke" })).toEqual([]);
  });

  test("is not written by entries of level 1: nodes of both versions must hold the same rows (S1, S2)", () => {
    const cluster = Cluster.of(1);
    cluster.must("node.drain", { node: 1 }, admin);
    expect(audited(cluster)).toEqual([]);
  });

  test("whoever a command names must be who the token is; without a token a node asks what is a node's", () => {
    const cluster = Cluster.of(2);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3 });
    const token = {
      id: "otto",
      hash: "h",
      name: "otto",
      kind: "api",
      role: "operator",
      expiresAt: null,
      uses: null,
    } as const;
    cluster.must("token.create", token, admin);
    const otto = { token: "otto", name: "otto", role: "operator" } as const;
    const more = { ...token, id: "more" };
    // Up to level 2 a log is applied as it was.
    cluster.level = 2;
    cluster.must("token.create", { ...more, id: "before" }, { ...otto, role: "admin" });
    cluster.level = 3;
    const wrong = [
      { ...otto, role: "admin" },
      { ...otto, role: "node" },
      { token: "j", name: "join", role: "operator" },
    ] as const;
    for (const by of wrong) expect(cluster.refused("node.drain", { node: 2 }, by)[0]).toBe("unauthorized");
    expect(cluster.refused("node.drain", { node: 2 })[1]).toContain("needs a person's token");
    expect(cluster.refused("node.drain", { node: 2 }, { token: "", name: "anna", role: "admin" })[0]).toBe(
      "unauthorized",
    );
    expect(
      cluster.refused("node.lost", { node: nodeId(2), incarnation: "i2" }, { token: "", name: "x", role: "admin" })[0],
    ).toBe("unauthorized");
    expect(findNode(cluster.database, 2)?.state).toBe("up");
    cluster.must("node.drain", { node: 2 }, otto);
    cluster.must("node.undrain", { node: 2 }, { ...admin, role: "operator" });
    cluster.must("node.lost", { node: nodeId(2), incarnation: "i2" });
  });

  test("a token that was made by a node's key ends when that node is removed", () => {
    const cluster = Cluster.of(2);
    cluster.must("node.seen", { node: nodeId(1), ...announcement(1), level: 3 });
    cluster.level = 3;
    const token = { hash: "h", name: "back", kind: "api", role: "operator", expiresAt: null, uses: null } as const;
    cluster.must("token.create", { ...token, id: "of-2", node: nodeId(2) });
    cluster.must("token.create", { ...token, id: "of-1", node: nodeId(1) });
    expect(cluster.refused("token.create", { ...token, id: "of-9", node: nodeId(9) })[0]).toBe("not-found");
    cluster.must("node.remove", { node: 2 }, admin);
    expect([findToken(cluster.database, "of-2")?.revoked, findToken(cluster.database, "of-1")?.revoked]).toEqual([
      true,
      false,
    ]);
  });

  test("is bounded by count, jobs and the rest apart, and by age, a few rows with each entry", () => {
    const database = openDatabase();
    const fact = (command: string) => ({
      token: "",
      by: "n1",
      role: "node" as const,
      node: nodeId(1),
      command,
      what: "",
      outcome: "ok",
      times: 1,
    });
    let index = 0;
    const write = (at: number, facts: ReturnType<typeof fact>[]): void => {
      index += 1;
      database.transaction(index - 1, index, () => writeAudit(database, { index, at }, facts));
    };
    const rows = (): number => auditBefore(database, Number.MAX_SAFE_INTEGER, 1_000_000).length;
    write(1, [fact("node.drain")]);
    write(
      1,
      Array.from({ length: limits.auditRows + 10 }, () => fact("job.submit")),
    );
    expect(rows()).toBe(limits.auditRows + 1);
    const later = limits.auditKeepMs + 2;
    write(later, [fact("node.undrain")]);
    expect(rows()).toBe(limits.auditRows + 1 + 1 - 8);
    const newest = auditBefore(database, Number.MAX_SAFE_INTEGER, 1)[0]!;
    expect([newest.command, newest.seq]).toEqual(["node.undrain", limits.auditRows + 12]);
  });
});

test("the audit's numbers that are held in memory show neither in rows nor in the hash, nor what is undone: a node that has just started holds none", () => {
  const tag = 900;
  const faulty: AnyCommand = {
    ...commandByTag(10)!,
    tag,
    apply: () => {
      throw new Error("it has a bug");
    },
  };
  const cluster = Cluster.of(2, { commandByTag: (of) => (of === tag ? faulty : commandByTag(of)) });
  cluster.level = 2;
  cluster.must("node.drain", { node: "n2" }, admin);
  cluster.must("node.undrain", { node: "n2" }, admin);
  const numbers = () =>
    cluster.database.all<{ seq: number; number: number }>(
      sql("select seq, number from audit where class = 'cluster' order by seq"),
    );
  expect(numbers()).toEqual([
    { seq: 1, number: 1 },
    { seq: 2, number: 2 },
  ]);
  cluster.now += limits.auditKeepMs + 2;
  cluster.submit();
  expect(numbers()).toEqual([]); // all of that class were old
  cluster.must("node.drain", { node: "n2" }, admin);
  cluster.entry([record("node.undrain", { node: "n2" }, admin)]);
  cluster.entry([
    [tag, "t-admin", "anna", "admin", { jobs: [["x", 1, '{"run":"true"}', null]], key: null, digest: "" }],
  ]);
  cluster.apply();
  cluster.must("node.drain", { node: "n2" }, admin);
  expect(numbers().map(({ number }) => number)).toEqual([1, 2, 3]);
  let database = openDatabase();
  for (const entry of cluster.log) {
    const image = database.image();
    database.close();
    database = new StateDatabase({ path: ":memory:", schema: [], image });
    applyEntries(database, [entry], cluster.options);
  }
  expect(database.hash).toBe(cluster.database.hash);
  database.close();
});

describe("a token is judged where its command is applied", () => {
  test("revoked, or expired by the entry's time: nothing is done, though the node that was asked did not know", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", apiToken("short", { expiresAt: cluster.now + 1000 }), admin);
    cluster.must("token.create", apiToken("bad"), admin);
    const short: Principal = { token: "short", name: "short", role: "operator" };
    const bad: Principal = { token: "bad", name: "bad", role: "operator" };
    cluster.must("job.submit", { jobs: [{ run: "true" }] }, short);
    cluster.must("job.submit", { jobs: [{ run: "true" }] }, bad);
    cluster.now += 1000;
    cluster.must("token.revoke", { id: "bad" }, admin);
    const code = (by: Principal) => cluster.refused("job.submit", { jobs: [{ run: "true" }] }, by);
    expect(code(short)).toEqual(["unauthorized", "token short has expired: nothing was done"]);
    expect(code(bad)).toEqual(["unauthorized", "token bad was revoked: nothing was done"]);
    expect(audited(cluster, { by: "bad" })[0]).toBe("bad: job.submit 1 job: unauthorized");
  });

  test("also when the entry that revokes it holds what it asked for as well", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", apiToken("bad"), admin);
    const bad: Principal = { token: "bad", name: "bad", role: "operator" };
    const submit = record("job.submit", { jobs: [{ run: "true" }] }, bad);
    cluster.entry([submit, record("token.revoke", { id: "bad" }, admin), submit]);
    const [batch] = cluster.apply();
    expect(batch!.outcomes.map((outcome) => outcome.ok)).toEqual([true, true, false]);
  });
});

describe("join tokens", () => {
  const joining = (number: number) => ({
    name: `n${number}`,
    ...announcement(number),
    joinToken: "once",
    token: { id: `t-${number}`, hash: "h", name: `node n${number}` },
  });

  test("two nodes that use the last use at once: one is let in, and a repeat of its request is no second use", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", { ...apiToken("once"), kind: "join", uses: 1 }, admin);
    const requests = [2, 3, 2, 2].map((number) => record("node.join", joining(number), system));
    cluster.entry(requests);
    const [batch] = cluster.apply();
    expect(batch!.outcomes.map((outcome) => (outcome.ok ? "in" : outcome.why.code))).toEqual([
      "in",
      "unauthorized",
      "in",
      "in",
    ]);
    const [once] = listTokens(cluster.database, { all: true, now: cluster.now, limit: 9, next: "j" }).items;
    expect([once?.id, once?.uses]).toEqual(["once", 0]);
  });

  test("a batch that is handed over twice uses its token once (S3)", () => {
    const cluster = clusterOf(1);
    cluster.must("token.create", { ...apiToken("once"), kind: "join", uses: 2 }, admin);
    for (let again = 0; again < 2; again++)
      cluster.entry([record("node.join", joining(2), system)], { serial: 2 ** 33, origin: nodeId(1) });
    cluster.apply();
    const [once] = listTokens(cluster.database, { all: true, now: cluster.now, limit: 9, next: "j" }).items;
    expect(once?.uses).toBe(1);
  });
});

test("lists of tokens show what can be used, and all when asked, page by page", () => {
  const cluster = clusterOf(2);
  cluster.must("token.create", apiToken("gone", { expiresAt: cluster.now }), admin);
  const ids = (all: boolean, limit = 9): string[] => {
    const found: string[] = [];
    let next: string | undefined;
    do {
      const page = listTokens(cluster.database, { all, now: cluster.now, limit, next });
      found.push(...page.items.map((token) => token.id));
      next = page.next;
    } while (next !== undefined);
    return found;
  };
  expect(ids(false)).toEqual(["j", "t-2", "t-admin"]);
  expect(ids(true, 1)).toEqual(["gone", "j", "t-2", "t-admin"]);
});

test("a full table of tokens is told so, unless dead ones can be forgotten; those of nodes stay", () => {
  const cluster = clusterOf(2);
  cluster.must("node.remove", { node: "n2" }, admin);
  const numbers = Array.from({ length: limits.tokens }, (_, number) => `x${number}`);
  const make = (id: string) => record("token.create", apiToken(id, { expiresAt: cluster.now + 1 }), admin);
  cluster.entry(numbers.map(make));
  const [batch] = cluster.apply();
  const refused = batch!.outcomes.filter((outcome) => !outcome.ok);
  expect(refused.length).toBe(3); // there were three: the admin's, the node's, and a join token
  expect(refused[0]).toMatchObject({ why: { code: "conflict" } });
  cluster.now += 1;
  cluster.must("token.create", apiToken("fits"), admin);
  const left = listTokens(cluster.database, { all: true, now: cluster.now, limit: 9, next: "t" }).items;
  expect(left.slice(0, 2).map((token) => token.id)).toEqual(["t-2", "t-admin"]);
});

test("the leader takes no command that some member may not understand (S2)", () => {
  const batch = { origin: nodeId(2), serial: 1, floor: 0, commands: [record("node.drain", { node: 1 }, admin)] };
  expect(needsMore(batch, 1)).toBe(false);
  expect(needsMore(batch, 0)).toBe(true);
});
