import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { jobId, nodeId } from "../../src/lib/ids.ts";
import { admin, report } from "../state/support.ts";
import { asking, errorIn, jsonIn, Mesh } from "./fake-node.ts";

/** A job whose tasks have ended: the ones with these numbers badly. */
function finished(mesh: Mesh, spec: Record<string, unknown>, tasks: number, isBad: (task: number) => boolean): number {
  const job = mesh.cluster.submit(spec);
  for (let from = 0; from < tasks; from += 500) {
    const some = Array.from({ length: Math.min(500, tasks - from) }, (_, at) => from + at);
    mesh.cluster.assign(job, 1, ...some.map((task) => [task, 1] as const));
    const reports = some.map((task) => report(job, task, 1, isBad(task) ? "failed" : "succeeded"));
    mesh.cluster.must("task.finish", { node: nodeId(1), reports });
  }
  return job;
}

describe("POST /v1/jobs/:id/retry", () => {
  test("a new job of the chosen tasks: 201 with its id and where it comes from", async () => {
    const mesh = new Mesh();
    const job = finished(mesh, { array: "5-8" }, 4, (task) => task !== 1);
    const ask = asking(mesh.node());
    const retry = async (body?: object): Promise<unknown> => {
      const response = await ask("POST", `/v1/jobs/${job}/retry`, body);
      return [response.status, await jsonIn(response)];
    };
    expect(await retry({ only: "failed" })).toEqual([201, { id: 2, retry_of: job }]);
    expect(await retry()).toEqual([201, { id: 3, retry_of: job }]);
    expect(await retry({ only: "unfinished" })).toEqual([201, { id: 4, retry_of: job }]);
    expect(await retry({ tasks: "0,2-3" })).toEqual([201, { id: 5, retry_of: job }]);
    expect([2, 3, 4, 5].map((id) => mesh.cluster.job(id).counts.queued)).toEqual([3, 4, 3, 3]);
    const { tasks } = await jsonIn<{ tasks: { index: number }[] }>(await ask("GET", "/v1/jobs/2/tasks"));
    expect(tasks.map((task) => task.index)).toEqual([5, 7, 8]);
    expect(await jsonIn(await ask("GET", "/v1/jobs/2"))).toMatchObject({ retry_of: job, spec: { array: "5-8" } });
  });

  test("more tasks than are looked at in one go are all found", async () => {
    const mesh = new Mesh();
    const tasks = limits.chooseRows + 700;
    const job = finished(mesh, { count: tasks }, tasks, (task) => task % 1000 < 2);
    const response = await asking(mesh.node())("POST", `/v1/jobs/${job}/retry`, { only: "failed" });
    expect(response.status).toBe(201);
    const again = mesh.cluster.job(job + 1);
    expect(again.counts.queued).toBe(2 * Math.ceil(tasks / 1000));
    expect(mesh.cluster.task(job + 1, again.counts.queued - 1).index).toBe(1000 * Math.floor(tasks / 1000) + 1);
  });

  test("under a key it is done once: 200 with the first id, and another request under it is refused", async () => {
    const mesh = new Mesh();
    const job = finished(mesh, { count: 2 }, 2, () => true);
    const retry = (body: object) =>
      asking(mesh.node())("POST", `/v1/jobs/${job}/retry`, body, { "idempotency-key": "k" });
    expect((await retry({ only: "failed" })).status).toBe(201);
    mesh.cluster.must("job.remove", { id: jobId(job) }, admin);
    const second = await retry({ only: "failed" });
    expect([second.status, await jsonIn(second)]).toEqual([200, { id: job + 1, retry_of: job }]);
    expect((await errorIn(await retry({ only: "all" }))).status).toBe(409);
  });

  test.each([
    [{ only: "bad" }, 422, ["only"]],
    [{ tasks: "2-1" }, 422, ["tasks"]],
    [{ tasks: "9" }, 422, ["tasks"]],
    [{ tasks: "0", only: "failed" }, 422, ["tasks"]],
    [{ olny: "failed" }, 422, ["olny"]],
    [{ only: "failed" }, 409, []],
  ])("%j is refused with %i", async (body, status, paths) => {
    const mesh = new Mesh();
    const job = finished(mesh, { count: 2 }, 2, () => false);
    const error = await errorIn(await asking(mesh.node())("POST", `/v1/jobs/${job}/retry`, body));
    expect([error.status, (error.details ?? []).map((one) => one.path)]).toEqual([status, paths]);
    expect(mesh.cluster.job(job).state).toBe("succeeded");
  });

  test("what is not there is 404, what has not ended 409, with or without a choice", async () => {
    const mesh = new Mesh();
    const job = mesh.cluster.submit();
    const ask = asking(mesh.node());
    for (const body of [{}, { only: "failed" }]) {
      expect((await ask("POST", "/v1/jobs/99/retry", body)).status).toBe(404);
      const error = await errorIn(await ask("POST", `/v1/jobs/${job}/retry`, body));
      expect([error.status, error.message]).toEqual([409, expect.stringContaining("once it has ended")]);
    }
    expect((await ask("POST", "/v1/jobs/x/retry", {})).status).toBe(422);
  });

  test("a choice of too many pieces is refused at its path", async () => {
    const mesh = new Mesh();
    const job = finished(mesh, { count: 800_000 }, 2, () => true);
    mesh.cluster.must("job.cancel", { id: jobId(job) }, admin);
    const tasks = Array.from({ length: 400_000 }, (_, at) => 2 * at).join(",");
    const error = await errorIn(await asking(mesh.node())("POST", `/v1/jobs/${job}/retry`, { tasks }));
    expect([error.status, error.details[0]?.path]).toEqual([422, "tasks"]);
  });
});

test("DELETE /v1/jobs/:id forgets a finished job, and refuses one that has not ended", async () => {
  const mesh = new Mesh();
  const job = finished(mesh, {}, 1, () => false);
  const open = mesh.cluster.submit();
  const ask = asking(mesh.node());
  const removed = await ask("DELETE", `/v1/jobs/${job}`);
  expect([removed.status, await jsonIn(removed)]).toEqual([200, { id: job }]);
  expect((await ask("GET", `/v1/jobs/${job}`)).status).toBe(404);
  expect((await ask("DELETE", `/v1/jobs/${job}`)).status).toBe(404);
  expect((await ask("DELETE", `/v1/jobs/${open}`)).status).toBe(409);
  expect(mesh.cluster.job(open).state).toBe("queued");
});
