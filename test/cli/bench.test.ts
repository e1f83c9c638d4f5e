import { expect, test } from "bun:test";
import { cli, ServedMesh } from "./support.ts";

test("bench submit counts what the mesh took", async () => {
  using served = new ServedMesh();
  const argv = ["bench", "submit", "--connections", "4", "--batch", "3", "-o", "json", "--seconds"];
  let { code, out } = await cli([...argv, "1"], served.env);
  // On a machine that is busy with other things nothing may be answered in a second.
  for (const seconds of ["5", "25"]) if (code !== 0) ({ code, out } = await cli([...argv, seconds], served.env));
  const figures = JSON.parse(out);
  expect(code).toBe(0);
  expect(figures).toMatchObject({ connections: 4, batch: 3, errors: {}, skein: "0.1.0", nodes: 1 });
  expect(figures.requests_per_second).toBeGreaterThan(0);
  expect(figures.jobs_per_second).toBeGreaterThan(figures.requests_per_second);
  expect(figures.latency_ms.p50).toBeLessThanOrEqual(figures.latency_ms.p99);
});

test("bench submit tells refusals and exits 1", async () => {
  using served = new ServedMesh();
  const before = served.node.propose.bind(served.node);
  served.node.propose = async (name, input, by) => {
    served.node.refusing = { code: "busy", message: "too much", retryAfterMs: 1000 };
    return before(name, input, by);
  };
  const { code, out } = await cli(["bench", "submit", "--connections", "1", "--seconds", "1"], served.env);
  expect([code, out.includes("x 429")]).toEqual([1, true]);
});

test("bench cycle waits until all have run and counts by node", async () => {
  using served = new ServedMesh();
  const off = served.mesh.events.watch(({ changes }) => {
    for (const change of changes) {
      if (change.topic !== "job" || change.kind !== "added") continue;
      queueMicrotask(() => {
        for (let job = change.first as number; job < change.first + change.count; job++) {
          served.assign(job);
          served.finish(job, 0, "succeeded", { startedAt: 1_000_000, finishedAt: 1_000_005 });
        }
      });
    }
  });
  const { code, out } = await cli(["bench", "cycle", "--jobs", "30", "--batch", "7", "-o", "json"], served.env);
  off();
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({
    tasks: 30,
    finished: true,
    failed: 0,
    looked_at: 30,
    share_by_node: { 1: 30 },
    least_share: 1,
    without_own_start: 0,
  });
  const { out: listed } = await cli(["jobs", "ls", "--limit", "100", "-o", "json"], served.env);
  const specs = (JSON.parse(listed) as { jobs: { spec: object }[] }).jobs.map(({ spec }) => JSON.stringify(spec));
  expect([specs.length, new Set(specs).size]).toEqual([30, 30]);
});

test("bench cycle gives up after --timeout", async () => {
  using served = new ServedMesh();
  const { code, out } = await cli(
    ["bench", "cycle", "--jobs", "5", "--array", "--timeout", "1ms", "-o", "json"],
    served.env,
  );
  expect([code, JSON.parse(out).finished]).toEqual([124, false]);
});
