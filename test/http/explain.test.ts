import { expect, test } from "bun:test";
import type { ExplainView, PlanView } from "../../src/state/answers.ts";
import { asking, errorIn, jsonIn, Mesh, viewerToken } from "./fake-node.ts";

test("explain answers a viewer, and 404 of a job that is not there", async () => {
  const mesh = new Mesh(2);
  mesh.change((cluster) => cluster.submit({ name: "far", on: "zone=moon" }));
  const ask = asking(mesh.node());
  const answer = await ask("GET", "/v1/jobs/1/explain", undefined, { authorization: `Bearer ${viewerToken}` });
  const view = await jsonIn<ExplainView & Record<string, unknown>>(answer);
  expect([answer.status, view.job, view.name, view.queued]).toEqual([200, 1, "far", 1]);
  expect(view.waiting[0]!.reasons[0]!.code).toBe("no-node");
  expect(view.waiting[0]!.nodes[0]!.reasons).toEqual(["zone=moon is asked for, node n1 has no label zone"]);
  expect(await errorIn(await ask("GET", "/v1/jobs/9/explain"))).toMatchObject({ status: 404, code: "not-found" });
  expect(await errorIn(await ask("GET", "/v1/jobs/x/explain"))).toMatchObject({ status: 422 });
});

test("a plan of one spec and of many: tasks and placement, and nothing is stored", async () => {
  const mesh = new Mesh(2);
  const ask = asking(mesh.node());
  const one = await ask("POST", "/v1/plan", { run: "x", count: 6 });
  const plan = await jsonIn<PlanView & Record<string, unknown>>(one);
  expect([one.status, plan.refusal]).toEqual([200, null]);
  expect(plan.jobs.map(({ tasks, waits, placement }) => [tasks, waits, placement.map(({ tasks }) => tasks)])).toEqual([
    [6, 0, [3, 3]],
  ]);
  const many = await jsonIn<PlanView & Record<string, unknown>>(
    await ask("POST", "/v1/plan", {
      jobs: [
        { run: "x", count: 7 },
        { run: "y", count: 7 },
      ],
    }),
  );
  expect(many.jobs.map(({ waits }) => waits)).toEqual([0, 6]);
  expect((await jsonIn<{ jobs: unknown[] }>(await ask("GET", "/v1/jobs"))).jobs).toEqual([]);
});

test("a plan refuses what is no spec as a submit does, and says what the state would refuse", async () => {
  const ask = asking(new Mesh(1).node());
  for (const body of [{ count: 0, priority: 101 }, { jobs: [{ run: "x" }, { run: "" }] }]) {
    const [planned, submitted] = [await ask("POST", "/v1/plan", body), await ask("POST", "/v1/jobs", body)];
    expect(await errorIn(planned)).toEqual(await errorIn(submitted));
  }
  const spec = { run: "x", env: { A: { secret: "none" } } };
  const refused = await jsonIn<PlanView & Record<string, unknown>>(await ask("POST", "/v1/plan", spec));
  expect(refused.refusal).toMatchObject({
    code: "invalid",
    details: [{ path: "env.A", message: "there is no secret none" }],
  });
  const denied = await ask("POST", "/v1/plan", spec, { authorization: `Bearer ${viewerToken}` });
  expect(denied.status).toBe(403);
});
