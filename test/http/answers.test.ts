import { expect, test } from "bun:test";
import { allRoutes } from "../../src/http/app.ts";
import { Reply } from "../../src/http/reply.ts";
import { Watchers } from "../../src/http/watchers.ts";
import { jobId } from "../../src/lib/ids.ts";
import { admin } from "../state/support.ts";
import { asking, Mesh } from "./fake-node.ts";

/** The documented shape of every answer about jobs is what is answered: nothing is missing from it, and nothing is in it that is not documented. */

const mesh = new Mesh(2);
const node = mesh.node();
const ask = asking(node);
const routes = allRoutes({ node, reply: new Reply(node), watchers: new Watchers(new AbortController().signal) });

async function judged(method: "GET" | "POST", path: string, of: string, body?: unknown): Promise<unknown> {
  const response = await ask(method, path, body);
  const answer: unknown = await response.json();
  expect([path, response.ok ? "" : answer]).toEqual([path, ""]);
  const shape = routes.find((route) => route.method === method && route.path === of)?.answer;
  expect([of, shape === undefined]).toEqual([of, false]);
  const read = shape!.safeParse(answer);
  expect([path, read.error?.issues ?? []]).toEqual([path, []]);
  expect(read.data).toEqual(answer as never); // what is not in the shape is left out by it
  return answer;
}

test("of jobs, tasks, waits, templates and dead letters, in whatever state they are", async () => {
  mesh.change((cluster) => {
    cluster.level = 3;
    const log = { bytes: 3, sha256: "x" };
    // 1: waits for its retry. 2: succeeded in part, a matrix. 3: held, with all that it waits for. 4: a task for each node. 5: dead. 6: a playbook.
    const first = cluster.submit({ name: "again", labels: { a: "b" }, retries: { max: 2, backoff: "1h" } });
    cluster.assign(first, 1, [0, 1]);
    cluster.finish(first, 0, 1, 1, "failed", { tail: new TextEncoder().encode("why"), log, reason: "no" });
    const part = cluster.submit({ matrix: { x: [1, "a"] }, max_failures: 1 });
    cluster.assign(part, 1, [0, 1], [1, 1]);
    cluster.finish(part, 0, 1, 1, "failed");
    cluster.finish(part, 1, 1, 1, "succeeded", { log });
    const held = cluster.submit({ after: [first], key: "k", start_at: "2100-01-01T00:00:00Z", array: "3-9:3" });
    cluster.must("job.hold", { id: jobId(held) }, admin);
    const each = cluster.submit({ each_node: true });
    cluster.assign(each, 1, [0, 1]);
    const dead = cluster.submit({ name: "dead" });
    cluster.assign(dead, 2, [0, 1]);
    cluster.finish(dead, 0, 1, 2, "failed", { reason: "it is so" });
    const played = cluster.submit({
      driver: "ansible",
      run: undefined,
      targets: "h1",
      ansible: { playbook: "- hosts: all\n" },
    });
    cluster.assign(played, 1, [0, 1]);
    cluster.finish(played, 0, 1, 1, "failed", { recap: { tasks: 4, ok: 1, failed: 2, changed: 1 } });
    cluster.must("template.set", { name: "t", description: "d", parameters: {}, spec: { run: "true" } }, admin);
  });
  mesh.cluster.level = 1; // at which the tokens of these nodes are not judged
  expect(await judged("GET", "/v1/jobs", "/v1/jobs")).toMatchObject({ jobs: { length: 6 } });
  expect(await judged("GET", "/v1/jobs?limit=2", "/v1/jobs")).toHaveProperty("next");
  for (let id = 1; id <= 6; id++) {
    await judged("GET", `/v1/jobs/${id}`, "/v1/jobs/:id");
    await judged("GET", `/v1/jobs/${id}/tasks`, "/v1/jobs/:id/tasks");
    await judged("GET", `/v1/jobs/${id}/tasks/0`, "/v1/jobs/:id/tasks/:task");
    await judged("GET", `/v1/jobs/${id}/explain`, "/v1/jobs/:id/explain");
  }
  await judged("GET", "/v1/results", "/v1/results");
  await judged("POST", "/v1/jobs/wait", "/v1/jobs/wait", { ids: [5, 1], timeout: "1ms" });
  await judged("GET", "/v1/dead-letters", "/v1/dead-letters");
  await judged("GET", "/v1/templates", "/v1/templates");
  await judged("GET", "/v1/templates/t", "/v1/templates/:template");
  await judged("POST", "/v1/plan", "/v1/plan", { run: "true", count: 3 });
  await judged("POST", "/v1/jobs", "/v1/jobs", { run: "true" });
  await judged("POST", "/v1/jobs", "/v1/jobs", { jobs: [{ run: "true" }, { run: "false" }] });
  await judged("POST", "/v1/jobs/5/retry", "/v1/jobs/:id/retry");
  await judged("POST", "/v1/jobs/3/hold", "/v1/jobs/:id/hold");
  await judged("POST", "/v1/jobs/3/release", "/v1/jobs/:id/release");
  await judged("POST", "/v1/jobs/4/cancel", "/v1/jobs/:id/cancel");
});

test("every route about jobs whose answer is JSON tells its shape", () => {
  const about = routes.filter(
    ({ path, answers }) =>
      /^\/v1\/(?:jobs|plan|dead-letters|templates|submitters|secrets)\b/.test(path) && answers === undefined,
  );
  expect(about.length).toBeGreaterThan(20);
  expect(about.filter(({ answer }) => answer === undefined).map(({ path }) => path)).toEqual([]);
});
