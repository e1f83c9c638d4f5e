/** What the leader's planner answers and does, asked of every node of a real mesh. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Mesh } from "../../scripts/mesh.ts";
import { allUp, finished, submit } from "../../scripts/mesh-jobs.ts";
import type { ExplainView, PlanView } from "../../src/state/answers.ts";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 2 });
  await allUp(mesh, mesh.nodes[0]!);
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

test("any node says why a job waits, and what a spec would become, as the leader knows it", async () => {
  const [first] = mesh.nodes;
  const job = await submit(first!, { run: "true", on: "gpu=yes", count: 3 });
  for (const node of mesh.nodes) {
    const view = (await node.api("GET", `/v1/jobs/${job}/explain`)).body as ExplainView;
    expect(view.waiting.map(({ tasks, reasons }) => [tasks, reasons[0]!.code])).toEqual([[3, "no-node"]]);
    expect(view.waiting[0]!.nodes.map(({ state }) => state)).toEqual(["never", "never"]);
    const plan = (
      await node.api("POST", "/v1/plan", {
        jobs: [
          { run: "true", each_node: true },
          { run: "x", on: "gpu" },
        ],
      })
    ).body as PlanView;
    expect(plan.refusal).toBeNull();
    expect(plan.jobs.map(({ placement, waits }) => [placement.map(({ tasks }) => tasks), waits])).toEqual([
      [[1, 1], 0],
      [[], 1],
    ]);
  }
  const labelled = await first!.api("PATCH", "/v1/nodes/2/labels", { labels: { gpu: "yes" } });
  expect(labelled.status).toBe(200);
  await finished(mesh, job);
  const after = (await mesh.nodes[1]!.api("GET", `/v1/jobs/${job}/explain`)).body as ExplainView;
  expect(after.reasons.map(({ code }) => code)).toEqual(["ended"]);
}, 600_000);
