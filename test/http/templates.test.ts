import { describe, expect, test } from "bun:test";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

const deploy = {
  name: "deploy",
  parameters: {
    version: { description: "what to deploy" },
    n: { type: "number", default: 2 },
    zone: { values: ["eu", "us"], default: "eu" },
  },
  spec: {
    name: "deploy {{version}}",
    run: ["deploy", "{{version}}"],
    count: "{{n}}",
    on: "zone={{zone}}",
    labels: { app: "web" },
  },
};

async function meshWith(template: object = deploy) {
  const mesh = new Mesh();
  const ask = asking(mesh.node());
  const added = await ask("POST", "/v1/templates", template);
  expect([added.status, await jsonIn(added)]).toEqual([201, { name: "deploy", revision: 1 }]);
  return { mesh, ask };
}

describe("templates over HTTP", () => {
  test("are added, listed without their specs, shown and removed", async () => {
    const { ask } = await meshWith();
    const list = await jsonIn<{ templates: Record<string, unknown>[] }>(await ask("GET", "/v1/templates"));
    expect(list.templates).toEqual([
      { name: "deploy", revision: 1, parameters: deploy.parameters, set_at: expect.any(String), set_by: "anna" },
    ]);
    expect(await jsonIn(await ask("GET", "/v1/templates/deploy"))).toMatchObject({ ...deploy, revision: 1 });
    expect((await ask("POST", "/v1/templates", { ...deploy, description: "more" })).status).toBe(201);
    expect(await jsonIn(await ask("GET", "/v1/templates/deploy"))).toMatchObject({ description: "more", revision: 2 });
    const removed = await ask("DELETE", "/v1/templates/deploy");
    expect([removed.status, await jsonIn(removed)]).toEqual([200, { name: "deploy" }]);
    for (const [method, path] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/run"],
    ] as const)
      expect((await ask(method, `/v1/templates/deploy${path}`, method === "POST" ? {} : undefined)).status).toBe(404);
  });

  test("a run is a submit of what comes out, and the job says what it was made of", async () => {
    const { mesh, ask } = await meshWith();
    const response = await ask("POST", "/v1/templates/deploy/run", {
      params: { version: "1.2", n: "3", zone: "us" },
      revision: 1,
    });
    expect([response.status, await jsonIn(response)]).toEqual([201, { id: 1, template: "deploy@1" }]);
    expect(mesh.cluster.job(1)).toMatchObject({
      name: "deploy 1.2",
      template: "deploy@1",
      labels: { app: "web" },
      spec: { run: ["deploy", "1.2"], count: 3, on: "zone=us" },
      counts: { queued: 3 },
    });
  });

  test.each([
    [
      { params: { n: "x", zone: "mars", vresion: 1 } },
      422,
      ["params.vresion", "params.version", "params.n", "params.zone"],
    ],
    [{ params: { version: "1", n: 0 } }, 422, ["spec.count"]],
    [{ params: { version: "", n: 0.5 } }, 422, ["spec.count"]],
    [{ params: [] }, 422, ["params"]],
    [{ params: { version: "1" }, revision: 7 }, 409, []],
    [{ param: {} }, 422, ["param"]],
  ])("a run with %j is refused with %i, every problem with its path", async (body, status, paths) => {
    const { mesh, ask } = await meshWith();
    const error = await errorIn(await ask("POST", "/v1/templates/deploy/run", body));
    expect([error.status, (error.details ?? []).map(({ path }) => path)]).toEqual([status, paths]);
    expect(mesh.cluster.events.flatMap((event) => event.changes).some((change) => change.topic === "job")).toBe(false);
  });

  test("a refusal of the state names its place in the spec", async () => {
    const { ask } = await meshWith({
      name: "deploy",
      parameters: { zone: {} },
      spec: { run: "x", each_node: true, on: "zone={{zone}}" },
    });
    const error = await errorIn(await ask("POST", "/v1/templates/deploy/run", { params: { zone: "nowhere" } }));
    expect([error.status, error.details.map(({ path }) => path)]).toEqual([422, ["spec.on"]]);
  });

  test("under a key it is run once, whatever becomes of the template", async () => {
    const { ask } = await meshWith();
    const run = (version: string) =>
      ask("POST", "/v1/templates/deploy/run", { params: { version } }, { "idempotency-key": "k" });
    expect((await run("1")).status).toBe(201);
    await ask("POST", "/v1/templates", { ...deploy, description: "changed" });
    const second = await run("1");
    expect([second.status, await jsonIn(second)]).toEqual([200, { id: 1, template: "deploy@1" }]);
    expect((await errorIn(await run("2"))).status).toBe(409);
    await ask("DELETE", "/v1/templates/deploy");
    expect((await run("1")).status).toBe(200);
  });

  test("a job cannot be said to be of a template by who submits it", async () => {
    const { mesh, ask } = await meshWith();
    const error = await errorIn(await ask("POST", "/v1/jobs", { jobs: [{ run: "x" }], template: "deploy@1" }));
    expect([error.status, error.details.map(({ path }) => path)]).toEqual([422, ["template"]]);
    const submitted = { jobs: [{ run: "x" }] };
    expect((await ask("POST", "/v1/commands/job.submit", { ...submitted, template: "deploy@1" })).status).toBe(422);
    expect((await ask("POST", "/v1/commands/job.submit", submitted)).status).toBe(201);
    expect(mesh.cluster.job(1).template).toBeUndefined();
  });
});
