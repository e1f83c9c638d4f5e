/** What the leader's planner answers and does, asked of every node of a real mesh. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Mesh } from "../../scripts/mesh.ts";
import { allUp, finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import type { ExplainView, NodeView, PlanView } from "../../src/state/answers.ts";

let mesh: Mesh;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 2, flags: ["--resource", "license=1"] });
  await allUp(mesh, mesh.nodes[0]!);
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

test("a node knows its memory and cores, others are declared, and tasks are placed by them", async () => {
  const [first, second] = mesh.nodes;
  const { nodes } = (await first!.api("GET", "/v1/nodes")).body as { nodes: NodeView[] };
  for (const { resources } of nodes)
    expect(Object.keys(resources)).toEqual(expect.arrayContaining(["cores", "memory"]));
  expect(nodes.map(({ resources }) => resources["license"])).toEqual([1, 1]);
  // A node has one license: no two of them at once there.
  const job = await submit(second!, {
    run: "sleep 0.2",
    count: 6,
    slots: 0,
    resources: { license: 1, memory: "1MiB" },
  });
  const waits = (await second!.api("GET", `/v1/jobs/${job}/explain`)).body as ExplainView;
  expect(waits.running + waits.queued).toBeGreaterThan(0);
  await finished(mesh, job);
  const tasks = await tasksOf(first!, job);
  for (const own of Map.groupBy(tasks, ({ node }) => node).values()) {
    const spans = own.map(({ started_at: from, finished_at: to }) => [Date.parse(from!), Date.parse(to!)] as const);
    spans.sort(([a], [b]) => a - b);
    for (const [at, [from]] of spans.entries()) if (at > 0) expect(from).toBeGreaterThanOrEqual(spans[at - 1]![1]);
  }
  const none = await submit(second!, { run: "true", resources: { memory: "900TiB" } });
  const why = (await second!.api("GET", `/v1/jobs/${none}/explain`)).body as ExplainView;
  expect(why.waiting[0]!.nodes.map(({ reasons }) => reasons[0])).toEqual([
    expect.stringMatching(/^node node-1 has .* of memory, the task asks for 900\.0TiB$/),
    expect.stringMatching(/^node node-2 has .* of memory, the task asks for 900\.0TiB$/),
  ]);
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

test("a cluster that packs fills one node before it begins another, and says so before and in plans", async () => {
  const said = await mesh.skein(["cluster", "set", "placement=pack", "-o", "json"]);
  expect([said.code, JSON.parse(said.stdout)]).toEqual([0, { placement: "pack" }]);
  expect((await mesh.skein(["cluster", "set", "placement=tight"])).code).toBe(2);
  const [first] = mesh.nodes;
  const spec = { run: "sleep 0.1", count: 2 };
  const plan = (await first!.api("POST", "/v1/plan", { jobs: [spec] })).body as PlanView;
  expect(plan.jobs[0]!.placement.map(({ tasks }) => tasks)).toEqual([2]);
  const job = await submit(first!, spec);
  await finished(mesh, job);
  expect(new Set((await tasksOf(first!, job)).map(({ node }) => node)).size).toBe(1);
  expect((await mesh.skein(["cluster", "status"])).stdout).toMatch(/placement +pack/);
}, 600_000);
