import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, type JobAnswer, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory } from "./harness.ts";
import { type Trace, traced, tracesIn } from "./traces.ts";

/** Rolling batches, run by real tasks on three nodes. The last tests kill nodes. */
let mesh: Mesh;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 3, flags: ["--slots", "4"] });
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

function node(): MeshNode {
  return mesh.nodes.find((one) => one.running)!;
}

function place(name: string): string {
  const directory = path.join(scratch.path, name);
  mkdirSync(directory);
  return directory;
}

type Rolled = JobAnswer & {
  readonly waits?: { readonly approval?: number };
  readonly batch?: { readonly now: number };
};

/** The job as soon as it is so, asked of any node that runs. */
async function untilJob(id: number, isSo: (job: Rolled) => boolean): Promise<Rolled> {
  let seen: Rolled | undefined;
  return until(
    async () => {
      const answer = await node()
        .api("GET", `/v1/jobs/${id}`)
        .catch(() => undefined);
      if (answer?.status !== 200) return undefined;
      seen = answer.body as Rolled;
      return isSo(seen) ? seen : undefined;
    },
    patienceMs,
    () => `job ${id} is ${JSON.stringify(seen)}`,
  );
}

/** `ends`: where the batches end. No task began before all of the earlier batches had ended, by the host's clock. */
function expectInOrder(traces: readonly Trace[], ends: readonly number[]): void {
  for (const end of ends) {
    const earlier = traces.filter(({ task }) => task < end);
    const later = traces.filter(({ task }) => task >= end);
    const last = Math.max(...earlier.map(({ ended }) => ended ?? 0));
    for (const { began } of later) expect(began).toBeGreaterThanOrEqual(last);
  }
}

describe("rolling batches", () => {
  test("run one after the other with a pause, and the command line says which one runs", async () => {
    const directory = place("pause");
    const words = ["--target", "web[1-9]", "--batch", "1,30%", "--batch-pause", "200ms", "--parallel", "2"];
    const run = await node().skein(["run", ...words, "--", "sh", "-c", traced(directory, "sleep 0.05")]);
    expect([run.code, run.stderr]).toEqual([0, expect.any(String)]);
    const traces = tracesIn(directory);
    expect(traces.map(({ task }) => task).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expectInOrder(traces, [1, 4, 7]);
    const planned = place("plan");
    writeFileSync(`${planned}/job.yaml`, "run: x\ncount: 20\nbatch: [1, 25%]\n");
    expect((await node().skein(["plan", `${planned}/job.yaml`])).stdout).toContain("in 5 batches: 1, 5, 5, 5, 4 tasks");
  });

  test("a fleet of 100,000 targets goes through three of them", async () => {
    const id = await submit(node(), { driver: "noop", targets: "host[000001-100000]", batch: [1, "10%", "100%"] });
    expect(await finished(mesh, id)).toMatchObject({ state: "succeeded", counts: { succeeded: 100_000 } });
  });

  test("a failed one ends the job, and the retry of what is left has exactly those targets", async () => {
    const run = '[ "$SKEIN_TARGET" != db3 ]';
    const id = await submit(node(), { run, targets: "db[1-9]", batch: [2, 3], max_failures: 0, parallel: 1 });
    expect(await finished(mesh, id)).toMatchObject({
      state: "failed",
      counts: { succeeded: 2, failed: 1, skipped: 6 },
    });
    const said = await node().skein(["jobs", "retry", String(id), "--unfinished", "-o", "quiet"]);
    const again = Number(said.stdout);
    expect(await finished(mesh, again)).toMatchObject({ state: "failed" });
    expect((await tasksOf(node(), again)).map(({ target }) => target)).toEqual([
      "db3",
      "db4",
      "db5",
      "db6",
      "db7",
      "db8",
      "db9",
    ]);
  });

  test("one that waits for approval is cancelled like any other, and nothing more of it starts", async () => {
    const directory = place("cancelled");
    const id = await submit(node(), { run: traced(directory, "true"), count: 4, batch: { sizes: [2], approve: true } });
    await untilJob(id, ({ waits }) => waits?.approval === 2);
    const why = await until(
      async () => {
        const said = await node().skein(["jobs", "explain", String(id)]);
        return said.code === 0 ? said.stdout : undefined;
      },
      patienceMs,
      () => `job ${id} is explained by nobody`,
    );
    expect(why).toContain("batch 2 of 2 waits for approval");
    await node().skein(["cancel", String(id)]);
    expect(await finished(mesh, id)).toMatchObject({ state: "cancelled", counts: { succeeded: 2, cancelled: 2 } });
    expect((await node().skein(["jobs", "release", String(id)])).code).toBe(6);
    expect(tracesIn(directory)).toHaveLength(2);
  });
});

describe("a node that is killed", () => {
  test("in the middle of a batch: its tasks run elsewhere, and the next batch waits for them", async () => {
    const directory = place("node");
    const gate = `${scratch.path}/node-gate`;
    const run = traced(directory, `until [ -e ${gate} ]; do sleep 0.05; done`);
    const leader = await mesh.leader({ voters: 3 });
    const victim = mesh.nodes.find((one) => one.running && one !== leader)!;
    const id = await submit(leader, { run, count: 14, batch: [6, 8], on_lost: "retry" });
    await until(
      () => Promise.resolve(tracesIn(directory).filter((one) => one.ended === undefined).length === 6 || undefined),
      patienceMs,
      () => `of its first batch ${tracesIn(directory).length} run`,
    );
    expect(tracesIn(directory).some((one) => one.node === victim.ready.node)).toBe(true);
    await victim.kill();
    writeFileSync(gate, "");
    expect(await finished(mesh, id)).toMatchObject({ state: "succeeded", counts: { succeeded: 14 } });
    const traces = tracesIn(directory);
    expect(traces.some(({ attempt }) => attempt > 1)).toBe(true);
    expectInOrder(traces, [6]);
    expect(existsSync(gate)).toBe(true);
    await victim.start();
    await mesh.leader({ voters: 3 });
  });

  test("as the leader, between two batches: the next one goes on with the approval, and each task runs once", async () => {
    const directory = place("leader");
    const run = traced(directory, "true");
    const id = await submit(node(), { run, count: 9, batch: { sizes: [3], approve: true, pause: "500ms" } });
    await untilJob(id, ({ waits }) => waits?.approval === 2);
    const leader = await mesh.leader({ voters: 3 });
    await leader.kill();
    expect(await untilJob(id, () => true)).toMatchObject({ state: "running", batch: { now: 1 } });
    for (const batch of [2, 3]) {
      await untilJob(id, ({ waits }) => waits?.approval === batch);
      expect(tracesIn(directory)).toHaveLength(3 * (batch - 1));
      expect(await node().skein(["jobs", "release", String(id)])).toMatchObject({
        code: 0,
        stdout: `job ${id} is released: batch ${batch}\n`,
      });
    }
    expect(await finished(mesh, id)).toMatchObject({ state: "succeeded", counts: { succeeded: 9 } });
    const traces = tracesIn(directory);
    expect(traces).toHaveLength(9);
    expectInOrder(traces, [3, 6]);
  });
});
