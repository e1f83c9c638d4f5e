import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, until } from "../../scripts/mesh.ts";
import { temporaryDirectory } from "./harness.ts";

/** What an operator does with a cluster, by the binary alone. The tests build on each other: one mesh, in this order. */
let mesh: Mesh;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
}, 60_000);

afterAll(async () => {
  await mesh.stop();
}, 60_000);

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
      10_000,
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
      10_000,
      () => "the token did not expire",
    );
  });

  test.each([
    [["token", "create", "--role", "root"], 2, '--role "root" is none of viewer, operator, admin'],
    [["token", "create", "--ttl", "soon"], 2, '--ttl "soon" is not a duration'],
    [["token", "create", "--ttl", "0s"], 2, "--ttl 0"],
    [["token", "create", "--ttl", "99999d"], 2, "ttl: must be at most"],
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

test("with every admin token lost, the data directory of any node is the way back", async () => {
  const [a, b] = nodes();
  rmSync(path.join(a.data, "context.json"));
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
    10_000,
    () => "the new token is not good",
  );
  const audit = await a.skein(["audit", "--what", "token", "--addr", a.ready.api], { env });
  expect(audit.stdout).toContain("holder of the cluster's key");
  using nothing = temporaryDirectory();
  const [code, words] = await refused(a, ["token", "create", "--recover", "--data", nothing.path], bare);
  expect([code, words]).toEqual([2, expect.stringContaining("holds no identity.json")]);
});
