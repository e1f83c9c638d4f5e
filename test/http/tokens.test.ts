import { describe, expect, test } from "bun:test";
import { askForToken } from "../../src/node/recover-token.ts";
import type { AuditView, NewTokenView, TokenView } from "../../src/state/answers.ts";
import { findToken } from "../../src/state/queries.ts";
import { credentials, stranger } from "../transport/credentials.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

const node1 = await credentials({ cluster: "c" });
const node2 = await credentials({ cluster: "c", node: 2 });
const foreign = await credentials({ cluster: "c", by: stranger });

describe("API tokens", () => {
  test("are made, shown once, listed without their secret, and revoked", async () => {
    const mesh = new Mesh();
    const ask = asking(mesh.node());
    const made = await ask("POST", "/v1/tokens", { name: "ci", role: "operator", ttl: "1h" });
    expect(made.status).toBe(201);
    const { id, token, expires_at } = await jsonIn<NewTokenView & { expires_at: string }>(made);
    expect(token).toStartWith(`skein_${id}_`);
    expect(Date.parse(expires_at)).toBeGreaterThan(Date.now());
    const list = async (query = "") => (await ask("GET", `/v1/tokens${query}`)).text();
    const text = await list();
    expect(text).not.toContain(token.slice(-32));
    expect(text).not.toContain(findToken(mesh.cluster.database, id)!.hash);
    const { tokens } = JSON.parse(text) as { tokens: TokenView[] };
    expect(tokens.find((one) => one.id === id)).toMatchObject({ kind: "api", role: "operator", state: "active" });
    expect(tokens.find((one) => one.kind === "join")?.role).toBeUndefined();
    expect((await ask("DELETE", `/v1/tokens/${id}`)).status).toBe(200);
    expect(await list()).not.toContain(id);
    expect(await list("?all=true&kind=api")).toContain('"state":"revoked"');
    expect((await ask("DELETE", "/v1/tokens/nothing")).status).toBe(404);
  });

  test.each([
    [{ name: "x", role: "root" }, "role"],
    [{ role: "admin" }, "name"],
    [{ name: "x", role: "admin", ttl: "soon" }, "ttl"],
    [{ name: "x", role: "admin", ttl: "100000d" }, "ttl"],
    [{ name: "x", role: "admin", ttl: "0" }, "ttl"],
    [{ name: "x", role: "admin", ttl: "0.4ms" }, "ttl"],
    [{ name: "x", role: "admin", ttl: "-1h" }, "ttl"],
    [{ name: "x", role: "admin", ttl: 3600 }, "ttl"],
    [{ name: "x", role: "admin", secret: "mine" }, "secret"],
  ])("a wrong wish is 422 and named: %p", async (body, path) => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/tokens", body));
    expect([error.status, error.details.map((one) => one.path)]).toEqual([422, [path]]);
  });
});

describe("join tokens", () => {
  test.each([
    [{ ttl: "0s" }, "ttl", "must be at least 1ms"],
    [{ ttl: "-24h" }, "ttl", "is not a duration"],
    [{ ttl: "366d" }, "ttl", "must be at most 365d"],
    [{ uses: 0 }, "uses", "must be at least 1"],
    [{ uses: -1 }, "uses", "must be at least 1"],
    [{ uses: 1.5 }, "uses", "must be a whole number"],
    [{ uses: 1_000_001 }, "uses", "must be at most 1000000"],
  ])("a wrong wish is 422, named, and says what is right: %p", async (body, path, why) => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/cluster/tokens", body));
    expect([error.status, error.details]).toEqual([422, [{ path, message: expect.stringContaining(why) }]]);
  });
});

describe("the way back when every admin token is lost", () => {
  const wanted = { name: "back", role: "admin", expiresAt: null } as const;
  const nobody = { authorization: undefined };
  const member = { cluster: "c", ...node1 };

  test("who can read a member's key gets a token, once for one request, and the audit says so", async () => {
    const mesh = new Mesh();
    mesh.cluster.level = 2;
    const ask = asking(mesh.node());
    const { token, request } = askForToken(member, wanted);
    expect(JSON.stringify(request)).not.toContain(token.slice(-32));
    expect((await ask("POST", "/v1/tokens/recover", request, nobody)).status).toBe(201);
    expect(findToken(mesh.cluster.database, request.id)).toMatchObject({ role: "admin", hash: request.hash });
    expect((await ask("POST", "/v1/tokens/recover", request, nobody)).status).toBe(409);
    const { audit } = await jsonIn<{ audit: AuditView[] }>(await ask("GET", "/v1/audit?what=token.create"));
    expect(audit.map((row) => [row.by.name, row.outcome])).toEqual([
      ["holder of node 1's key", "conflict"],
      ["holder of node 1's key", "ok"],
    ]);
  });

  test.each([
    ["has ended", -1],
    ["ends after all that can be written as a date", 9e15],
    ["ends too late", 20 * 365 * 86_400_000],
  ])("a token that %s is not made", async (_, fromNow) => {
    const { request } = askForToken(member, { ...wanted, expiresAt: Math.min(Date.now() + fromNow, 9e15) });
    const mesh = new Mesh();
    const response = await asking(mesh.node())("POST", "/v1/tokens/recover", request, nobody);
    expect(response.status).toBe(422);
    expect(findToken(mesh.cluster.database, request.id)).toBeUndefined();
  });

  test.each([
    ["a stranger's certificate", () => askForToken({ cluster: "c", ...foreign }, wanted).request],
    ["a node that is no member", () => askForToken({ cluster: "c", ...node2 }, wanted).request],
    ["another cluster's name", () => askForToken({ ...member, cluster: "d" }, wanted).request],
    [
      "a certificate without its key",
      () => ({ ...askForToken({ cluster: "c", ...node2 }, wanted).request, certificate: node1.certificate }),
    ],
    [
      "a role that the proof is not about",
      () => ({ ...askForToken(member, { ...wanted, role: "viewer" }).request, role: "admin" }),
    ],
  ])("a proof by %s is refused, and nothing is made", async (_, request) => {
    const mesh = new Mesh();
    const before = mesh.cluster.database.applied;
    const response = await asking(mesh.node())("POST", "/v1/tokens/recover", request(), nobody);
    expect((await errorIn(response)).code).toBe("unauthorized");
    expect(mesh.cluster.database.applied).toBe(before);
  });

  test("what is no such request is told so", async () => {
    const error = await errorIn(await asking(new Mesh().node())("POST", "/v1/tokens/recover", { id: 1 }, nobody));
    expect(error.code).toBe("invalid");
  });
});

test("the API document has the shapes of these answers", async () => {
  const document = await jsonIn<{ paths: Record<string, Record<string, { responses: Record<string, unknown> }>> }>(
    await asking(new Mesh().node())("GET", "/v1/openapi.json"),
  );
  for (const [method, path, status, key] of [
    ["get", "/v1/tokens", 200, "tokens"],
    ["post", "/v1/tokens", 201, "token"],
    ["delete", "/v1/tokens/{id}", 200, "id"],
    ["get", "/v1/audit", 200, "audit"],
    ["patch", "/v1/nodes/{node}/labels", 200, "labels"],
    ["post", "/v1/nodes/{node}/demote", 200, "wish"],
    ["patch", "/v1/cluster", 200, "in_effect"],
    ["post", "/v1/cluster/transfer", 200, "leader"],
  ] as const) {
    expect(document.paths[path]![method]!.responses[status]).toMatchObject({
      content: { "application/json": { schema: { properties: { [key]: expect.anything() as unknown } } } },
    });
  }
});
