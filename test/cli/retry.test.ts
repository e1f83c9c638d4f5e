import { expect, test } from "bun:test";
import { cli, ServedMesh, start, TestIo } from "./support.ts";

function failed(mesh: ServedMesh, spec: Record<string, unknown> = {}, tasks = 1): number {
  const job = mesh.submit(spec);
  for (let task = 0; task < tasks; task++) {
    mesh.assign(job, task);
    mesh.finish(job, task, task === 0 ? "succeeded" : "failed");
  }
  return job;
}

test("retry prints the new ids, in each form of output", async () => {
  using mesh = new ServedMesh();
  const job = failed(mesh, { count: 3 }, 3);
  expect(await cli(["jobs", "retry", String(job), "--failed"], mesh.env)).toEqual({ code: 0, out: "2\n", err: "" });
  expect(mesh.mesh.cluster.job(2)).toMatchObject({ retry_of: job, counts: { queued: 2 } });
  const json = await cli(["jobs", "retry", String(job), "-o", "json"], mesh.env);
  expect(JSON.parse(json.out)).toEqual({ id: 3, retry_of: job });
  expect((await cli(["jobs", "retry", String(job), "--tasks", "1", "-o", "quiet"], mesh.env)).out).toBe("4\n");
  expect((await cli(["jobs", "retry", String(job), "--unfinished"], mesh.env)).out).toBe("5\n");
  expect((await cli(["jobs", "show", "2"], mesh.env)).out).toMatch(/retry of +job 1\n/);
  const keyed = ["jobs", "retry", String(job), "--idempotency-key", "k"];
  expect([(await cli(keyed, mesh.env)).out, (await cli(keyed, mesh.env)).out]).toEqual(["6\n", "6\n"]);
});

test("--unreachable runs what could not be reached, and a job that reached everybody is refused", async () => {
  using served = new ServedMesh();
  const { cluster } = served.mesh;
  const job = cluster.submit({ targets: "web[1-3]" });
  for (const task of [0, 1, 2]) {
    served.assign(job, task);
    const away = task === 1 ? { exitCode: null, reason: "unreachable: Connection refused" } : {};
    cluster.finish(job, task, 1, 1, "failed", away);
  }
  expect((await cli(["results", "--state", "unreachable", "-o", "quiet"], served.env)).out).toBe("1/1\n");
  expect((await cli(["jobs", "tasks", "1", "--state", "unreachable", "-o", "quiet"], served.env)).out).toBe("1/1\n");
  expect((await cli(["jobs", "retry", "1", "--unreachable"], served.env)).out).toBe("2\n");
  expect(cluster.job(2)).toMatchObject({ retry_of: job, counts: { queued: 1 } });
  const reached = failed(served, { count: 2 }, 2);
  const { code, err } = await cli(["jobs", "retry", String(reached), "--unreachable"], served.env);
  expect([code, err]).toEqual([6, expect.stringContaining("no host that could not be reached")]);
});

test("of several jobs those that cannot be retried are told, and the others are", async () => {
  using mesh = new ServedMesh();
  failed(mesh, { count: 2 }, 2);
  mesh.submit();
  const { code, out, err } = await cli(["jobs", "retry", "1-2,77", "-o", "json"], mesh.env);
  expect([code, JSON.parse(out)]).toEqual([6, { id: 3, retry_of: 1 }]);
  expect(err).toContain("job 2 is queued: it can be retried once it has ended");
  expect(err).toContain("there is no job 77");
});

test("--wait exits with the new job's result", async () => {
  using mesh = new ServedMesh();
  const job = failed(mesh, { count: 2 }, 2);
  const code = start(["jobs", "retry", String(job), "--wait"], mesh.env, new TestIo());
  const again = await mesh.submitted(2);
  for (const task of [0, 1]) {
    mesh.assign(again, task);
    mesh.finish(again, task, "failed");
  }
  expect(await code).toBe(1);
});

test.each([
  [["1", "--failed", "--tasks", "1"], "go not together"],
  [["1", "--failed", "--unreachable"], "go not together"],
  [["1", "--tasks", "2-1"], "--tasks:"],
  [["1-2", "--idempotency-key", "k"], "is for one job"],
])("retry %p exits 2", async (argv, words) => {
  using mesh = new ServedMesh();
  failed(mesh);
  const { code, err } = await cli(["jobs", "retry", ...argv], mesh.env);
  expect([code, err.includes(words)]).toEqual([2, true]);
});

test("rm forgets finished jobs, and refuses those that have not ended", async () => {
  using mesh = new ServedMesh();
  failed(mesh);
  failed(mesh);
  mesh.submit();
  const { code, out, err } = await cli(["jobs", "rm", "1-3"], mesh.env);
  expect([code, out]).toEqual([6, "job 1 is forgotten\njob 2 is forgotten\n"]);
  expect(err).toContain("job 3 is queued, and only finished jobs can be removed");
  expect((await cli(["jobs", "rm", "1", "-o", "json"], mesh.env)).code).toBe(3);
  expect((await cli(["jobs", "ls", "-o", "quiet"], mesh.env)).out).toBe("3\n");
});
