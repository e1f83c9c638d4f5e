/** Thousands of tasks that fail at once, on a mesh that runs them: each is tried again as its spec says, each is counted, and who waits for the job is told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, type JobAnswer, submit } from "../../scripts/mesh-jobs.ts";

const count = 4_000;
let mesh: Mesh;
let a: MeshNode;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  a = mesh.nodes[0]!;
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(() => mesh.stop(), 600_000);

async function jobOf(id: number): Promise<JobAnswer> {
  return (await a.api("GET", `/v1/jobs/${id}`)).body as JobAnswer;
}

test(
  "an array of which every task fails, twice, ends as failed: all are counted, the next job begins, and it is a dead letter",
  async () => {
    const failing = { driver: "noop", noop: { exit: 3 }, retries: { max: 1, backoff: "10ms", cap: "50ms" } };
    const job = await submit(a, { ...failing, count });
    const next = await submit(a, { driver: "noop", after: [{ job, when: "failed" }] });
    expect(await finished(mesh, job, 20 * patienceMs)).toMatchObject({
      state: "failed",
      counts: { failed: count, queued: 0 },
    });
    expect(await finished(mesh, next)).toMatchObject({ state: "succeeded" });
    for (const task of [0, count / 2, count - 1])
      expect((await a.api("GET", `/v1/jobs/${job}/tasks/${task}`)).body).toMatchObject({
        state: "failed",
        exit_code: 3,
        attempt: 2,
        attempts: [{ state: "failed" }, { state: "failed" }],
      });
    const dead = (await a.api("GET", "/v1/dead-letters")).body as { dead_letters: { id: number }[] };
    expect(dead.dead_letters.map(({ id }) => id)).toContain(job);
  },
  25 * patienceMs,
);

test(
  "an array of which every task waits to be tried again is cancelled whole, and the mesh goes on",
  async () => {
    const waiting = { driver: "noop", noop: { exit: 1 }, retries: { max: 5, backoff: "1h", cap: "1h" } };
    const job = await submit(a, { ...waiting, count });
    await until(
      async () => {
        // In this order: before the first task is given out, all of them are queued as well.
        if (!(await wasTried(job))) return undefined;
        const { queued, running } = (await jobOf(job)).counts;
        return running === 0 && queued === count ? true : undefined;
      },
      20 * patienceMs,
      () => `not all tasks of job ${job} wait for their second attempt`,
    );
    const cancelled = await a.api("POST", `/v1/jobs/${job}/cancel`);
    expect(cancelled.status).toBe(202);
    expect(await finished(mesh, job)).toMatchObject({
      state: "cancelled",
      counts: { cancelled: count, queued: 0, running: 0, failed: 0 },
    });
    const after = await submit(a, { driver: "noop", count: 100 });
    expect(await finished(mesh, after)).toMatchObject({ state: "succeeded" });
  },
  25 * patienceMs,
);

/** Its last task has been given out, and so all before it: tasks of an array are given out in order. */
async function wasTried(job: number): Promise<boolean> {
  const { body } = await a.api("GET", `/v1/jobs/${job}/tasks/${count - 1}`);
  return (body as { attempt: number }).attempt === 1;
}
