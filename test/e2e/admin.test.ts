import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { ownLevel } from "../../src/state/levels.ts";
import { temporaryDirectory } from "./harness.ts";

/** What an operator does with a cluster, by the binary alone. The tests build on each other: one mesh, in this order. */
let mesh: Mesh;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

function nodes(): [MeshNode, MeshNode, MeshNode] {
  return mesh.nodes as [MeshNode, MeshNode, MeshNode];
}

async function said(node: MeshNode, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await node.skein(words);
  expect([words.join(" "), code, stderr]).toEqual([words.join(" "), 0, expect.any(String)]);
  return stdout.trim();
}

async function refused(
  node: MeshNode,
  words: string[],
  env: Record<string, string> = {},
): Promise<readonly [number | null, string]> {
  const { code, stdout, stderr } = await node.skein(words, { env });
  expect(stdout).toBe("");
  return [code, stderr];
}

/** Waits until exactly so many vote. */
async function untilVoters(count: number): Promise<void> {
  let seen: unknown;
  await until(
    async () => {
      const { body } = await nodes()[0].api("GET", "/v1/cluster");
      seen = (body as { voters: number[] }).voters;
      return (body as { voters: number[] }).voters.length === count ? true : undefined;
    },
    patienceMs,
    () => `not ${count} voters, but ${JSON.stringify(seen)}`,
  );
}

describe("API tokens", () => {
  test("let in by their role on every node, and no longer once they are revoked", async () => {
    const [a, b] = nodes();
    const viewer = await said(a, "token", "create", "--role", "viewer", "--name", "watcher", "-o", "quiet");
    const asViewer = { SKEIN_TOKEN: viewer };
    expect((await b.skein(["jobs", "ls"], { env: asViewer })).code).toBe(0);
    const [code, words] = await refused(b, ["run", "true"], asViewer);
    expect(code).toBe(4);
    expect(words).toContain("the token of watcher (viewer) does not allow this");
    // Also through another node than the one that was told, at once.
    expect(await said(a, "token", "revoke", viewer)).toMatch(/^token [0-9a-f]{12} is revoked$/);
    await until(
      async () => ((await b.skein(["jobs", "ls"], { env: asViewer })).code === 4 ? true : undefined),
      patienceMs,
      () => "the revoked token is still good",
    );
    expect(await said(a, "token", "ls")).not.toContain("watcher");
    expect(await said(a, "token", "ls", "--all")).toContain("watcher");
  });

  test("end by themselves", async () => {
    const [a] = nodes();
    const short = await said(a, "token", "create", "--role", "operator", "--ttl", "300ms", "-o", "quiet");
    await until(
      async () => ((await a.skein(["jobs", "ls"], { env: { SKEIN_TOKEN: short } })).code === 4 ? true : undefined),
      patienceMs,
      () => "the token did not expire",
    );
  });

  test.each([
    [["token", "create", "--role", "root"], 2, '--role "root" is none of viewer, operator, admin'],
    [["token", "create", "--ttl", "soon"], 2, '--ttl "soon" is not a duration'],
    [["token", "create", "--ttl", "0s"], 2, '--ttl "0s" is not from 1ms to 3650d'],
    [["token", "create", "--ttl", "99999d"], 2, '--ttl "99999d" is not from 1ms to 3650d'],
    [["token", "create", "--name", ""], 2, "--name"],
    [["token", "revoke"], 2, "missing required argument"],
    [["token", "revoke", "nothing"], 3, "there is no token nothing"],
    [["token", "ls", "--kind", "old"], 2, '--kind "old" is none of api, join'],
    [["audit", "--limit", "0"], 2, "--limit"],
    [["audit", "--since", "yesterday"], 2, "since"],
  ])("%p exits with %d and says why", async (words, code, why) => {
    const [got, text] = await refused(nodes()[0], words);
    expect([got, text]).toEqual([code, expect.stringContaining(why)]);
  });

  test("are not an operator's to make: a joined node's own token may not", async () => {
    const [, b] = nodes();
    const [code, words] = await refused(b, ["token", "create", "--role", "admin"]);
    expect([code, words]).toEqual([4, expect.stringContaining("tokens:write")]);
    expect((await refused(b, ["audit"]))[0]).toBe(4);
  });
});

test("the audit says who did what, through which node, and holds no secret", async () => {
  const [a] = nodes();
  const secret = await said(a, "token", "create", "--role", "viewer", "--name", "audited", "-o", "quiet");
  expect(await said(a, "nodes", "drain", "node-3")).toContain("is draining");
  expect(await said(a, "nodes", "undrain", "node-3")).toContain("takes work");
  const { audit } = JSON.parse(await said(a, "audit", "-o", "json")) as {
    audit: { by: { name: string; role: string }; node: number; command: string; what: string; outcome: string }[];
  };
  expect(audit.slice(0, 2).map(({ by, command, what, outcome }) => [by.name, by.role, command, what, outcome])).toEqual(
    [
      ["admin", "admin", "node.undrain", "node node-3", "ok"],
      ["admin", "admin", "node.drain", "node node-3", "ok"],
    ],
  );
  expect(audit.at(-1)!.command).toBe("cluster.create");
  expect(audit.filter(({ command }) => command === "node.join")).toHaveLength(2);
  expect(JSON.stringify(audit)).not.toContain(secret.slice(-32));
  const table = await said(a, "audit", "--what", "token.create", "--since", "1h");
  expect(table).toContain("audited");
  expect(table).not.toContain("node.join");
});

test("a learner's key makes no admin, and what it makes ends with the learner", async () => {
  const [a] = nodes();
  const learner = await mesh.add(["--learner"]);
  const recover = (role: string) =>
    learner.skein(["token", "create", "--recover", "--role", role, "--data", learner.data, "-o", "quiet"]);
  const asAdmin = await recover("admin");
  expect([asAdmin.code, asAdmin.stdout, asAdmin.stderr]).toEqual([4, "", expect.stringContaining("is a learner")]);
  const asOperator = await recover("operator");
  expect([asOperator.code, asOperator.stderr]).toEqual([0, ""]);
  const env = { SKEIN_TOKEN: asOperator.stdout.trim() };
  const list = async (): Promise<number | null> => (await a.skein(["jobs", "ls", "--addr", a.ready.api], { env })).code;
  await until(
    async () => ((await list()) === 0 ? true : undefined),
    patienceMs,
    () => "the new token is not good",
  );
  await said(a, "nodes", "rm", String(learner.ready.node));
  await until(
    async () => ((await list()) === 4 ? true : undefined),
    patienceMs,
    () => "the token has outlived its node",
  );
}, 600_000);

test("with every admin token lost, the data directory of any voter is the way back", async () => {
  const [a, b] = nodes();
  const context = path.join(a.data, "context.json");
  const kept = readFileSync(context);
  rmSync(context);
  const bare = { SKEIN_DATA: "/nonexistent", XDG_CONFIG_HOME: "/nonexistent", HOME: "/nonexistent" };
  expect((await refused(a, ["token", "ls", "--addr", a.ready.api], bare))[0]).toBe(4);
  const recovered = await b.skein(
    ["token", "create", "--recover", "--role", "admin", "--data", b.data, "-o", "quiet"],
    { env: bare },
  );
  expect([recovered.code, recovered.stderr]).toEqual([0, ""]);
  const env = { ...bare, SKEIN_TOKEN: recovered.stdout.trim() };
  await until(
    async () => ((await a.skein(["token", "ls", "--addr", a.ready.api], { env })).code === 0 ? true : undefined),
    patienceMs,
    () => "the new token is not good",
  );
  const audit = await a.skein(["audit", "--what", "token", "--addr", a.ready.api], { env });
  expect(audit.stdout).toContain("holder of node");
  writeFileSync(context, kept);
  using nothing = temporaryDirectory();
  const [code, words] = await refused(a, ["token", "create", "--recover", "--data", nothing.path], bare);
  expect([code, words]).toEqual([2, expect.stringContaining("holds no identity.json")]);
});

describe("nodes", () => {
  test("labels are set and taken away, take effect for placement, and outlive a restart but for what its flags say", async () => {
    const [a, , c] = nodes();
    expect(await said(a, "nodes", "label", "node-3", "disk=ssd", "rack=r1")).toContain("disk=ssd");
    expect(await said(a, "run", "--on", "disk=ssd", "--", "echo $SKEIN_NODE")).toBe(String(c.ready.node));
    expect(await said(a, "nodes", "label", "node-3", "rack-")).not.toContain("rack");
    await c.stop();
    await c.start(["--label", "zone=eu"]);
    await until(
      async () => ((await said(a, "nodes", "ls")).includes("disk=ssd,zone=eu") ? true : undefined),
      patienceMs,
      () => "the labels are not both there",
    );
    await c.stop();
    await c.start(["--label", "disk=nvme"]);
    await until(
      async () => ((await said(a, "nodes", "ls")).includes("disk=nvme") ? true : undefined),
      patienceMs,
      () => "the flag did not win",
    );
    await untilVoters(3);
  });

  test("promote and demote change who votes", async () => {
    const [a, b] = nodes();
    const demoted = await a.skein(["nodes", "demote", "node-2", "--timeout", "2m"]);
    // Two are left who are to vote: what is acknowledged is on two disks all the same.
    expect(demoted.stderr).toContain("the cluster has 3 voters yet, and bears the loss of 1 voter: nobody can vote");
    expect(await said(a, "nodes", "show", "node-2")).toMatch(/wish +to be a learner/);
    await said(a, "cluster", "set", "voters=1");
    await untilVoters(1);
    expect(await said(a, "audit", "--what", "cluster.voters", "--limit", "1")).toMatch(
      /the leader +node +- +cluster\.voters +voters 1,2,3 become [123]: .*goes, demoted/,
    );
    await said(a, "cluster", "set", "voters=5");
    await said(b, "nodes", "demote", "node-2", "--forget");
    await untilVoters(3);
  });

  test("what cannot be done is said", async () => {
    const [a] = nodes();
    for (const [words, code, why] of [
      [["nodes", "label", "nowhere", "a=b"], 3, "there is no node nowhere"],
      [["nodes", "label", "node-1", "a b"], 2, "neither name=value nor name-"],
      [["nodes", "label", "node-1", "a=b", "a-"], 2, "is given twice"],
      [["nodes", "promote", "nowhere"], 3, "there is no node nowhere"],
      [["nodes", "rm", "nowhere"], 3, "there is no node nowhere"],
      [["cluster", "token", "--ttl", "0s"], 2, '--ttl "0s" is not from 1ms to 365d'],
      [["cluster", "token", "--uses", "1000001"], 2, "is not a whole number from 1 to 1000000"],
      [["cluster", "set", "voters=0"], 2, "is not a whole number from 1 to 99"],
      [["cluster", "set", "votes=3"], 2, 'there is no setting "votes"'],
      [["cluster", "set", "voters"], 2, "name=value"],
      [["cluster", "set", "heartbeat=soon"], 2, "is not a duration"],
      [["cluster", "set", "heartbeat=200ms"], 2, "at least 8 heartbeats"],
      [["cluster", "transfer", "--to", "nowhere"], 3, "there is no node nowhere"],
      [["cluster", "upgrade", "--level", "99"], 6, "level 99 is not understood by"],
      [["cluster", "upgrade", "--level", "1"], 6, "a level never falls"],
      [["cluster", "upgrade", "--level", "two"], 2, "--level"],
      [["cluster", "upgrade", "--hold", "--now"], 2, "give one of"],
    ] as const)
      expect([words, ...(await refused(a, [...words]))]).toEqual([[...words], code, expect.stringContaining(why)]);
    // Nobody may be left who votes.
    await said(a, "nodes", "demote", "node-2", "node-3");
    await said(a, "cluster", "set", "voters=1");
    expect(await refused(a, ["nodes", "demote", "node-1"])).toEqual([6, expect.stringContaining("promote another")]);
    await untilVoters(1);
    expect(await refused(a, ["nodes", "rm", "node-1"])).toEqual([6, expect.stringContaining("is the only voter")]);
    await said(a, "cluster", "set", "voters=5");
    await said(a, "nodes", "promote", "node-2", "node-3", "--forget");
    await untilVoters(3);
  });

  test("have one that votes already promoted without a word in the log, and one that is to vote no longer with one", async () => {
    const [a, b] = nodes();
    const promotions = async (): Promise<number> =>
      (await said(a, "audit", "--what", "node.promote")).split("\n").length;
    const before = await promotions();
    for (const node of [a, b]) {
      const again = await node.skein(["nodes", "promote", "node-1", "node-2"]);
      const stdout = `node ${a.ready.node} is a voter already\nnode ${b.ready.node} is a voter already\n`;
      expect([again.code, again.stdout]).toEqual([0, stdout]);
      expect(again.stderr).toContain("the cluster has 3 voters now: it bears the loss of 1 voter");
      expect(again.stderr).not.toContain("the leader sees to it");
    }
    expect(await promotions()).toBe(before);
    await said(a, "nodes", "demote", "node-2");
    expect(await said(b, "nodes", "promote", "node-2")).toBe(`node ${b.ready.node} is to be a voter`);
    await untilVoters(3);
    expect(await promotions()).toBe(before + 1);
    await said(a, "nodes", "promote", "node-2", "--forget");
  });
});

describe("the cluster", () => {
  test("hands its leadership to the node that is named, while writes go on", async () => {
    const [a, b] = nodes();
    // Nobody is to lead but whom it is handed to, on a busy machine neither.
    await said(a, "cluster", "set", "election-timeout=2s");
    await said(a, "cluster", "transfer", "--to", "node-1");
    for (const name of ["node-2", "node-1"]) {
      const to = name === "node-2" ? b : a;
      expect(await said(a, "cluster", "transfer", "--to", name)).toBe(`node ${to.ready.node} leads now`);
      expect(await said(a, "run", "--", "true")).toBe("");
    }
    expect(await said(a, "cluster", "transfer", "--to", "node-1")).toBe("node 1 leads already");
    expect(await said(a, "cluster", "transfer")).toMatch(/^node [23] leads now$/);
    expect(await said(a, "audit", "--what", "cluster.transfer")).toContain(`from node 1 to node ${b.ready.node}`);
    await said(a, "cluster", "set", "election-timeout=600ms");
  });

  test("has as many voters as are set, an odd number in effect", async () => {
    const [a] = nodes();
    expect(await said(a, "cluster", "set", "voters=2")).toBe(
      "voters: 2, 1 in effect: an even number bears no more than the odd one below it",
    );
    await untilVoters(1);
    const set = await a.skein(["cluster", "set", "voters=5"]);
    expect([set.stdout, set.stderr]).toEqual([
      "voters: 5\n",
      expect.stringContaining("5 voters, once there are as many: the cluster bears the loss of 2 voters"),
    ]);
    await untilVoters(3);
    expect(await said(a, "cluster", "status")).toMatch(/tolerance +bears the loss of 1 voter\n/);
  });

  test("has the heartbeat and the election timeout that are set, on every node", async () => {
    const [a, , c] = nodes();
    expect((await refused(a, ["cluster", "set", "heartbeat=100ms"]))[1]).toContain("at least 8 heartbeats");
    expect(await said(a, "cluster", "set", "election-timeout=800ms", "heartbeat=100ms")).toBe(
      "heartbeat: 100ms\nelection timeout: 800ms",
    );
    expect(await said(a, "cluster", "set", "election-timeout=1s")).toBe("heartbeat: 100ms\nelection timeout: 1s");
    expect(await said(c, "run", "--", "true")).toBe("");
    expect(await said(c, "cluster", "status")).toMatch(/timing +heartbeat 100ms, election timeout 1000ms/);
    await said(a, "cluster", "set", "heartbeat=50ms", "election-timeout=600ms");
  });

  test("shows its level and what is understood, and is told to hold it", async () => {
    const [a] = nodes();
    expect(await said(a, "cluster", "upgrade", "--hold")).toContain(`${ownLevel}, held`);
    const view = JSON.parse(await said(a, "cluster", "upgrade", "--release", "-o", "json")) as Record<string, unknown>;
    expect(view).toMatchObject({ level: ownLevel, level_understood: ownLevel, level_held: false });
  });

  test("lets its leader be removed: another one leads first, and the removed node is told so and ends", async () => {
    const [a] = nodes();
    const leader = await mesh.leader({ voters: 3 });
    const other = mesh.nodes.find((node) => node !== leader)!;
    const token = await said(a, "token", "create", "--role", "admin", "-o", "quiet");
    // An operator takes no voice of the mesh, through whichever node it asks.
    const operator = { SKEIN_TOKEN: await said(a, "token", "create", "--role", "operator", "-o", "quiet") };
    for (const [words, why] of [
      [["nodes", "rm", String(leader.ready.node)], "removing a voter takes an admin's token"],
      [["nodes", "demote", String(leader.ready.node)], "demoting a voter takes an admin's token"],
      [["leave"], "removing a voter takes an admin's token"],
    ] as const)
      expect(await refused(other, [...words], operator)).toEqual([4, expect.stringContaining(why)]);
    const removed = await other.skein(["nodes", "rm", String(leader.ready.node)], { env: { SKEIN_TOKEN: token } });
    expect([removed.code, removed.stdout]).toEqual([0, `node ${leader.ready.node} is removed\n`]);
    expect(await leader.exited).toBe(6);
    const after = await other.skein(["run", "--", "echo still"], { env: { SKEIN_TOKEN: token } });
    expect([after.code, after.stdout]).toEqual([0, "still\n"]);
  }, 600_000);
});

describe("a level that not every member understands yet (S2)", () => {
  test("is not the cluster's; what needs it is refused with words; it rises when all do, and older versions are refused from then on", async () => {
    await using old = await Mesh.start({ nodes: 1, env: { SKEIN_LEVEL_MAX: "1" } });
    const [a] = old.nodes as [MeshNode];
    const label = ["nodes", "label", "node-1", "disk=ssd"];
    expect(await refused(a, label)).toEqual([
      6,
      expect.stringContaining("node.label needs level 2, the cluster is at level 1"),
    ]);
    expect(await said(a, "run", "--", "echo ran")).toBe("ran");
    // The newer version, of which the way back is kept open.
    await said(a, "cluster", "upgrade", "--hold");
    await a.stop();
    await a.start([], { SKEIN_LEVEL_MAX: "" });
    await until(
      async () =>
        (await said(a, "cluster", "upgrade")).includes(`every member understands ${ownLevel}, held`) ? true : undefined,
      patienceMs,
      () => "the node did not say what it understands",
    );
    await a.stop();
    await a.start([]);
    expect(await said(a, "run", "--", "echo back")).toBe("back");
    await a.stop();
    await a.start([], { SKEIN_LEVEL_MAX: "" });
    await until(
      async () =>
        (await a.skein(["cluster", "upgrade", "--now", "-o", "quiet"])).stdout === `${ownLevel}\n` ? true : undefined,
      patienceMs,
      () => "the level did not rise",
    );
    expect(await said(a, ...label)).toContain("disk=ssd");
    await a.stop();
    const refusal = await a.skein(["up", "--data", a.data, "--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"], {
      env: { SKEIN_LEVEL_MAX: "1" },
    });
    expect([refusal.code, refusal.stderr]).toEqual([
      7,
      expect.stringContaining(`belongs to a cluster at level ${ownLevel}`),
    ]);
    const wrong = await a.skein(["up", "--data", a.data], { env: { SKEIN_LEVEL_MAX: String(ownLevel + 1) } });
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("SKEIN_LEVEL_MAX")]);
  }, 600_000);

  test("an older version is not let in", async () => {
    await using one = await Mesh.start({ nodes: 1 });
    const [a] = one.nodes as [MeshNode];
    using scratch = temporaryDirectory();
    const said = await a.skein(
      [
        "up",
        "--data",
        path.join(scratch.path, "b"),
        "--name",
        "b",
        "--api",
        "127.0.0.1:0",
        "--peer",
        "127.0.0.1:0",
        "--join",
        one.addresses(),
      ],
      { env: { SKEIN_LEVEL_MAX: "1", SKEIN_JOIN_TOKEN: await one.joinToken() } },
    );
    expect([said.code, said.stderr]).toEqual([6, expect.stringContaining(`the cluster is at level ${ownLevel}`)]);
  });
});
