import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { adminToken, asking, jsonIn, Mesh, operatorToken, viewerToken } from "./fake-node.ts";

/**
 * The least role of every call that changes something, or shows what not everybody may see. It is written by hand and not taken from the
 * code: a new route that is not here fails the test until somebody has thought about who may call it. Other GETs are a viewer's.
 */
const least: Readonly<Record<string, "nobody" | "viewer" | "operator" | "admin">> = {
  "post /v1/jobs": "operator",
  "post /v1/jobs/{id}/cancel": "operator",
  "post /v1/jobs/{id}/extend": "operator",
  "post /v1/jobs/{id}/hold": "operator",
  "post /v1/jobs/{id}/release": "operator",
  "post /v1/jobs/{id}/retry": "operator",
  "post /v1/templates": "operator",
  "delete /v1/templates/{template}": "operator",
  "post /v1/templates/{template}/run": "operator",
  "delete /v1/jobs/{id}": "operator",
  "post /v1/jobs/wait": "viewer",
  "post /v1/commands/{name}": "viewer",
  "post /v1/nodes/{node}/drain": "operator",
  "post /v1/nodes/{node}/undrain": "operator",
  "delete /v1/nodes/{node}": "operator",
  "post /v1/nodes/{node}/promote": "operator",
  "post /v1/nodes/{node}/demote": "operator",
  "patch /v1/nodes/{node}/labels": "operator",
  "patch /v1/cluster": "admin",
  "post /v1/cluster/raise": "admin",
  "post /v1/cluster/hold": "admin",
  "patch /v1/cluster/timing": "admin",
  "patch /v1/cluster/bounds": "admin",
  "patch /v1/cluster/placement": "admin",
  "post /v1/cluster/transfer": "admin",
  "post /v1/cluster/authority": "admin",
  "get /v1/backup": "admin",
  "get /v1/ca": "nobody",
  "post /v1/certificate": "nobody",
  "post /v1/nodes/self/leave": "operator",
  "post /v1/cluster/tokens": "admin",
  "get /v1/tokens": "admin",
  "post /v1/tokens": "admin",
  "delete /v1/tokens/{id}": "admin",
  "get /v1/audit": "admin",
  "get /v1/jobs/{id}/explain": "viewer",
  "post /v1/plan": "operator",
  "get /v1/submitters": "viewer",
  "get /v1/schedule-owners": "viewer",
  "get /v1/schedules": "viewer",
  "get /v1/schedules/{schedule}": "viewer",
  "get /v1/schedules/{schedule}/fires": "viewer",
  "post /v1/schedules-pause": "admin",
  "post /v1/schedules": "operator",
  "post /v1/schedules/{schedule}/pause": "operator",
  "post /v1/schedules/{schedule}/resume": "operator",
  "post /v1/schedules/{schedule}/fire": "operator",
  "delete /v1/schedules/{schedule}": "operator",
  "post /v1/schedules/pause": "operator",
  "post /v1/schedules/resume": "operator",
  "post /v1/schedules/remove": "operator",
  "get /v1/calendars": "viewer",
  "post /v1/calendars": "operator",
  "get /v1/calendars/{calendar}": "viewer",
  "delete /v1/calendars/{calendar}": "operator",
  "get /v1/dead-letters": "viewer",
  "post /v1/dead-letters/replay": "operator",
  "post /v1/submitters": "admin",
  "get /v1/inventories": "viewer",
  "post /v1/inventories": "operator",
  "get /v1/inventories/{inventory}": "viewer",
  "delete /v1/inventories/{inventory}": "operator",
  "get /v1/inventories/{inventory}/history": "viewer",
  "get /v1/inventories/{inventory}/hosts": "viewer",
  "get /v1/inventories/{inventory}/hosts/{host}": "viewer",
  "post /v1/inventories/{inventory}/source": "operator",
  "post /v1/inventories/{inventory}/refresh": "operator",
  "get /v1/bundles": "viewer",
  "post /v1/bundles": "operator",
  "get /v1/bundles/{bundle}": "viewer",
  "delete /v1/bundles/{bundle}": "operator",
  "get /v1/bundles/{bundle}/manifest": "viewer",
  "get /v1/bundles/{bundle}/files/{sha256}": "viewer",
  "post /v1/bundles/missing": "operator",
  "post /v1/bundles/files": "operator",
  "post /v1/bundles/git": "operator",
  "get /v1/bundle-sources": "viewer",
  "post /v1/bundle-sources": "operator",
  "delete /v1/bundle-sources/{bundle}": "operator",
  "post /v1/bundle-sources/{bundle}/fetch": "operator",
  "get /v1/facts": "viewer",
  "get /v1/facts/{target}": "viewer",
  "post /v1/facts/gather": "operator",
  "get /v1/secrets": "operator",
  "post /v1/secrets": "admin",
  "delete /v1/secrets/{secret}": "admin",
  // Proven otherwise than by a token of the API.
  "post /v1/bundles/{bundle}/webhook": "nobody",
  "post /v1/join": "nobody",
  "post /v1/tokens/recover": "nobody",
  "get /healthz": "nobody",
  "get /readyz": "nobody",
  "get /health": "nobody",
  "get /metrics": "nobody",
  "get /v1/openapi.json": "nobody",
};

const roles = [
  ["nobody", undefined],
  ["viewer", viewerToken],
  ["operator", operatorToken],
  ["admin", adminToken],
] as const;

const document = await jsonIn<{ paths: Record<string, Record<string, unknown>> }>(
  await asking(new Mesh().node())("GET", "/v1/openapi.json"),
);

describe("every call of the API document", () => {
  const calls = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ path, method, call: `${method} ${path}` })),
  );

  test("is in the table, and the table holds no others", () => {
    const unknown = calls.filter(({ call, method }) => method !== "get" && least[call] === undefined);
    expect(unknown.map(({ call }) => call)).toEqual([]);
    expect(Object.keys(least).filter((call) => !calls.some((one) => one.call === call))).toEqual([]);
    expect(calls.length).toBeGreaterThan(20);
  });

  test.each(calls)("$call", async ({ path, method, call }) => {
    const needed = roles.findIndex(([role]) => role === (least[call] ?? "viewer"));
    for (const [rank, [role, token]] of roles.entries()) {
      const ask = asking(new Mesh().node(), { closing: AbortSignal.abort() });
      const headers = { authorization: token === undefined ? undefined : `Bearer ${token}` };
      // What is asked for is not there: it must not be done, only be let through or not.
      const target = path.replaceAll(/\{\w+\}/g, "4711");
      const response = await ask(method.toUpperCase(), target, method === "get" ? undefined : {}, headers);
      await response.body?.cancel();
      const expected = rank >= needed ? "let in" : role === "nobody" ? 401 : 403;
      const isOut = response.status === 403 || (response.status === 401 && token === undefined && needed > 0);
      expect([call, role, isOut ? response.status : "let in"]).toEqual([call, role, expected]);
    }
  });

  test("a command by its name asks for the command's own right", async () => {
    const ask = asking(new Mesh().node());
    const headers = (token: string) => ({ authorization: `Bearer ${token}` });
    const revoke = (token: string) => ask("POST", "/v1/commands/token.revoke", { id: "j" }, headers(token));
    expect((await revoke(operatorToken)).status).toBe(403);
    expect((await revoke(adminToken)).status).toBe(200);
    for (const internal of ["token.create", "node.lost", "unit.assign"])
      expect((await ask("POST", `/v1/commands/${internal}`, {})).status).toBe(404);
  });
});

test("events of the audit are for who may read it: others are told so, or are not sent them", async () => {
  const mesh = new Mesh();
  mesh.cluster.level = 2;
  const operator = { authorization: `Bearer ${operatorToken}` };
  const ask = asking(mesh.node(), { closing: AbortSignal.timeout(limits.streamKeepAliveMs) });
  expect((await ask("GET", "/v1/events?topic=audit", undefined, operator)).status).toBe(403);
  const from = mesh.cluster.database.applied;
  mesh.change((cluster) => cluster.must("node.drain", { node: 1 }));
  const first = async (headers: Record<string, string>): Promise<string> => {
    const response = await ask("GET", `/v1/events?from=${from}`, undefined, headers);
    const reader = response.body!.getReader();
    let text = "";
    while (!text.includes("event: node")) text += new TextDecoder().decode((await reader.read()).value);
    mesh.change((cluster) => cluster.must("node.undrain", { node: 1 }));
    while (text.split("event: node").length < 3) text += new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    return text;
  };
  expect(await first(operator)).not.toContain("event: audit");
  expect(await first({})).toContain('"command":"node.drain"');
});
