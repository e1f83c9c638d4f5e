import { expect, test } from "bun:test";
import { asking, jsonIn, Mesh } from "./fake-node.ts";

const post = async (ask: ReturnType<typeof asking>, path: string, body: unknown): Promise<[number, unknown]> => {
  const response = await ask("POST", path, body);
  return [response.status, await jsonIn(response)];
};

test("a graph in one request, by names; what each waits for is shown", async () => {
  const mesh = new Mesh();
  const ask = asking(mesh.node());
  const jobs = [
    { name: "build", run: "a" },
    { name: "test", run: "b", after: ["build"] },
    { name: "ship", run: "c", after: ["test", { job: "build", when: "done" }], key: "ship" },
  ];
  expect(await post(ask, "/v1/jobs", { jobs })).toEqual([201, { ids: [1, 2, 3] }]);
  const job = await jsonIn<Record<string, unknown>>(await ask("GET", "/v1/jobs/3"));
  expect(job).toMatchObject({
    state: "queued",
    waits: { after: 2, key: "ship" },
    spec: { after: [2, { job: 1, when: "done" }], key: "ship" },
  });
  const listed = await jsonIn<{ jobs: { waits?: unknown }[] }>(await ask("GET", "/v1/jobs"));
  expect(listed.jobs.map(({ waits }) => waits)).toEqual([{ after: 2, key: "ship" }, { after: 1 }, undefined]);
});

test("every problem at once, each with its path as it was written", async () => {
  const ask = asking(new Mesh().node());
  const [status, body] = await post(ask, "/v1/jobs", {
    run: "x",
    after: ["nobody"],
    deadline: "soon",
    on_conflict: "replace",
  });
  expect(status).toBe(422);
  const { details } = (body as { error: { details: { path: string }[] } }).error;
  expect(details.map(({ path }) => path).sort()).toEqual(["after[0]", "deadline", "on_conflict"]);
  expect(await post(ask, "/v1/jobs", { run: "x", after: [7] })).toMatchObject([
    422,
    { error: { code: "invalid", details: [{ path: "after[0]" }] } },
  ]);
});

test("a key that another job has: 409 with its path", async () => {
  const ask = asking(new Mesh().node());
  await post(ask, "/v1/jobs", { run: "x", key: "k" });
  expect(await post(ask, "/v1/jobs", { run: "x", key: "k", on_conflict: "refuse" })).toMatchObject([
    409,
    { error: { code: "conflict", details: [{ path: "key", message: 'job 1 has the key "k" and has not ended' }] } },
  ]);
});

test("hold and release", async () => {
  const ask = asking(new Mesh().node());
  await post(ask, "/v1/jobs", { run: "x" });
  expect(await post(ask, "/v1/jobs/1/hold", {})).toEqual([200, { id: 1, held: true }]);
  expect(await jsonIn(await ask("GET", "/v1/jobs/1"))).toMatchObject({ held: true });
  expect(await post(ask, "/v1/jobs/1/release", {})).toEqual([200, { id: 1, held: false }]);
  expect((await post(ask, "/v1/jobs/2/hold", {}))[0]).toBe(404);
  expect((await post(ask, "/v1/jobs/x/hold", {}))[0]).toBe(422);
});

test("batches: which one runs and what it waits for is shown, and one is approved by its number", async () => {
  const mesh = new Mesh();
  const ask = asking(mesh.node());
  await post(ask, "/v1/jobs", { run: "x", targets: "web[1-10]", batch: { sizes: [1, "40%"], approve: true } });
  mesh.change((cluster) => cluster.assign(1, 1, [0, 1]));
  mesh.change((cluster) => cluster.finish(1, 0, 1, 1));
  expect(await jsonIn(await ask("GET", "/v1/jobs/1"))).toMatchObject({
    batch: { now: 1, of: 4, first: 0, tasks: 1 },
    waits: { approval: 2 },
    spec: { batch: { sizes: [1, "40%"], approve: true } },
  });
  expect((await post(ask, "/v1/jobs/1/release", { batch: 3 }))[0]).toBe(409);
  expect((await post(ask, "/v1/jobs/1/release", { batch: 0 }))[0]).toBe(422);
  for (let times = 0; times < 2; times++)
    expect(await post(ask, "/v1/jobs/1/release", { batch: 2 })).toEqual([200, { id: 1, batch: 2 }]);
  expect(await jsonIn(await ask("GET", "/v1/jobs/1"))).toMatchObject({ batch: { now: 2, first: 1, tasks: 4 } });
  const [status, body] = await post(ask, "/v1/jobs", { run: "x", each_node: true, batch: { sizes: [0], pause: "1" } });
  expect(status).toBe(422);
  const { details } = (body as { error: { details: { path: string }[] } }).error;
  expect(details.map(({ path }) => path).sort()).toEqual(["batch", "batch.pause", "batch.sizes[0]"]);
});
