import { expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

test("facts are asked for by a job, shown, and name targets beside labels of nodes", async () => {
  const mesh = new Mesh();
  const ask = asking(mesh.node());
  const gathered = await ask("POST", "/v1/facts/gather", { targets: ["h[1-2]"], ssh: { user: "ops" } });
  expect([gathered.status, await jsonIn(gathered)]).toEqual([201, { id: 1 }]);
  expect(mesh.cluster.job(1)).toMatchObject({
    name: "gather facts",
    labels: { facts: "gather" },
    spec: { driver: "ssh", ssh: { user: "ops" }, timeout: "1m" },
  });
  expect(await jsonIn(await ask("GET", "/v1/facts/gather/1"))).toEqual({ job: 1, kept: false });
  expect((await ask("GET", "/v1/facts/gather/2")).status).toBe(404);
  mesh.change((cluster) =>
    cluster.must("facts.set", {
      job: jobId(1),
      next: null,
      facts: [
        ["h1", { os: "debian" }],
        ["h2", { os: "alpine" }],
      ],
    }),
  );
  expect(await jsonIn(await ask("GET", "/v1/facts/gather/1"))).toEqual({ job: 1, kept: true });
  expect(await jsonIn(await ask("GET", "/v1/facts?limit=1"))).toEqual({
    facts: [{ target: "h1", at: expect.any(String), job: 1, facts: { os: "debian" }, changed: {} }],
    next: "h1",
  });
  mesh.change((cluster) =>
    cluster.must("facts.set", { job: jobId(1), next: null, facts: [["h2", { os: "alpine", cores: "2" }]] }),
  );
  const { results } = await jsonIn<{ results: object[] }>(await ask("GET", "/v1/results?target=h[1-2]"));
  expect(results[0]).not.toHaveProperty("facts_changed");
  expect(results[1]).toMatchObject({ job: 1, target: "h2", facts_changed: { cores: [null, "2"] } });
  expect(await jsonIn(await ask("GET", "/v1/facts/h2"))).toMatchObject({ facts: { os: "alpine" } });
  expect((await ask("GET", "/v1/facts/h3")).status).toBe(404);
  mesh.change((cluster) =>
    cluster.must("node.label", { node: "n1", labels: { os: "debian" } }, { token: "a", name: "anna", role: "admin" }),
  );
  const submitted = await ask("POST", "/v1/jobs", { run: "x", targets: "os=debian" });
  const { id } = await jsonIn<{ id: number }>(submitted);
  const { tasks } = await jsonIn<{ tasks: { target: string }[] }>(await ask("GET", `/v1/jobs/${id}/tasks`));
  expect(tasks.map(({ target }) => target)).toEqual(["n1", "h1"]);
  const none = await ask("POST", "/v1/jobs", { run: "x", targets: "h9&os=plan9" });
  expect((await errorIn(none)).details?.[0]?.message).toBe(
    `"os=plan9" matches nobody: no node has such a label, and of no host it is known ('skein facts gather')\nh9&os=plan9\n   ^^^^^^^^`,
  );
});

test("whom nobody can ask is refused as of any job", async () => {
  const ask = asking(new Mesh().node());
  for (const body of [
    {},
    { targets: "web[3-1]" },
    { targets: "a", driver: "http" },
    { targets: "a", ssh: { nope: 1 } },
  ])
    expect([body, (await ask("POST", "/v1/facts/gather", body)).status]).toEqual([body, 422]);
});
