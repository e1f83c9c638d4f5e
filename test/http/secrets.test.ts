import { expect, test } from "bun:test";
import { admin } from "../state/support.ts";
import { asking, jsonIn, Mesh } from "./fake-node.ts";

const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

function meshWithAuthority(): Mesh {
  const mesh = new Mesh();
  mesh.cluster.level = 3;
  const begin = { fingerprint: "0".repeat(32), certificate: pem, crossed: null, reason: "test" };
  mesh.change((cluster) => cluster.must("authority.begin", begin));
  // From level 2 on a token is judged where its command is applied.
  const token = { id: "a", hash: "h", name: "anna", kind: "api", role: "admin", expiresAt: null, uses: null } as const;
  mesh.change((cluster) => cluster.must("token.create", token, admin));
  return mesh;
}

test("a secret is set, listed without its value, used, and removed", async () => {
  const mesh = meshWithAuthority();
  const node = mesh.node();
  const ask = asking(node);
  const made = await ask("POST", "/v1/secrets", { name: "door", value: "hunter2!" });
  expect([made.status, await jsonIn<unknown>(made)]).toEqual([201, { name: "door", revision: 1 }]);
  expect(node.secretsSet).toEqual([["door", "hunter2!"]]);
  const listed = await (await ask("GET", "/v1/secrets")).text();
  expect(listed).not.toContain("hunter2");
  expect(JSON.parse(listed)).toMatchObject({ secrets: [{ name: "door", revision: 1, state: "usable" }] });

  const job = await ask("POST", "/v1/jobs", { run: "x", env: { PASSWORD: { secret: "door" } } });
  expect(job.status).toBe(201);
  const shown = await jsonIn<{ spec: unknown }>(await ask("GET", "/v1/jobs/1"));
  expect(shown.spec).toEqual({ run: "x", env: { PASSWORD: { secret: "door" } } });
  const refused = await ask("DELETE", "/v1/secrets/door");
  expect([refused.status, (await jsonIn<{ error: { message: string } }>(refused)).error.message]).toEqual([
    409,
    "secret door is used by unfinished jobs: 1; wait for them, cancel them, or remove it by force, and their tasks fail",
  ]);
  const removed = await ask("DELETE", "/v1/secrets/door", { force: true });
  expect([removed.status, await jsonIn<unknown>(removed)]).toEqual([200, { name: "door", jobs: [1] }]);
});

test("a spec that names a secret which is not there is 422 at its path, of one spec and of many", async () => {
  const ask = asking(meshWithAuthority().node());
  const spec = { run: "x", env: { PASSWORD: { secret: "door" } } };
  const details = async (body: unknown): Promise<unknown> => {
    const answer = await ask("POST", "/v1/jobs", body);
    return [answer.status, (await jsonIn<{ error: { details: unknown } }>(answer)).error.details];
  };
  const message = "there is no secret door";
  expect(await details(spec)).toEqual([422, [{ path: "env.PASSWORD", message }]]);
  expect(await details({ jobs: [{ run: "x" }, spec] })).toEqual([422, [{ path: "jobs[1].env.PASSWORD", message }]]);
});

test("every problem of a secret is told at once", async () => {
  const ask = asking(meshWithAuthority().node());
  const answer = await ask("POST", "/v1/secrets", { name: "no way", value: 5 });
  const { error } = await jsonIn<{ error: { details: { path: string }[] } }>(answer);
  expect([answer.status, error.details.map(({ path }) => path)]).toEqual([422, ["name", "value"]]);
});
