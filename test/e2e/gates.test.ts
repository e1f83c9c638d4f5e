import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { markedProcesses } from "../../scripts/processes.ts";
import { temporaryDirectory } from "./harness.ts";
import { mostAtOnce, traced, tracesIn } from "./traces.ts";

/** What keeps jobs from starting, shown by real tasks on three nodes. The last test kills a leader. */
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

async function submitAll(jobs: readonly object[]): Promise<number[]> {
  const answer = await node().api("POST", "/v1/jobs", { jobs });
  expect(answer.status).toBe(201);
  return (answer.body as { ids: number[] }).ids;
}

async function untilFile(file: string): Promise<void> {
  await until(
    () => Promise.resolve(existsSync(file) ? true : undefined),
    patienceMs,
    () => `there is no ${file}`,
  );
}

const stateOf = async (id: number): Promise<string> => (await finished(mesh, id)).state;

describe("after", () => {
  test("a graph runs in its order, and what waits for a failure in vain is skipped with a reason", async () => {
    const directory = place("graph");
    const run = traced(directory, "sleep 0.05");
    const [ship, build, unit, lint, alarm, bad, never] = await submitAll([
      { name: "ship", run, after: ["unit", "lint"] },
      { name: "build", run },
      { name: "unit", run, after: ["build"] },
      { name: "lint", run, after: ["build"] },
      { name: "alarm", run, after: [{ job: "bad", when: "failed" }] },
      { name: "bad", run: "exit 3", after: ["build"] },
      { name: "never", run, after: ["bad", "ship"] },
    ]);
    const states = await Promise.all([ship, build, unit, lint, alarm, bad, never].map((id) => stateOf(id!)));
    expect(states).toEqual(["succeeded", "succeeded", "succeeded", "succeeded", "succeeded", "failed", "skipped"]);
    const traces = new Map(tracesIn(directory).map((trace) => [trace.job, trace]));
    for (const [child, parent] of [
      [unit, build],
      [lint, build],
      [ship, unit],
      [ship, lint],
    ])
      expect(traces.get(child!)!.began).toBeGreaterThanOrEqual(traces.get(parent!)!.ended!);
    expect(traces.has(never!)).toBe(false);
    expect((await node().api("GET", `/v1/jobs/${never}`)).body).toMatchObject({
      reason: `job ${bad} failed, and this one starts only when that one has succeeded`,
      counts: { skipped: 1 },
    });
  });
});

describe("key", () => {
  test("one job of a key at a time over all nodes; the last one takes the place of the others", async () => {
    const directory = place("key");
    const ids = await submitAll(
      Array.from({ length: 5 }, () => ({ run: traced(directory, "sleep 0.05"), key: "deploy" })),
    );
    for (const id of ids) expect(await stateOf(id)).toBe("succeeded");
    const traces = tracesIn(directory);
    expect([traces.length, mostAtOnce(traces)]).toEqual([5, 1]);
    const first = await submit(node(), { run: `touch ${directory}/up; sleep 600`, key: "deploy" });
    const second = await submit(node(), { run: "true", key: "deploy" });
    await untilFile(`${directory}/up`);
    const said = await node().skein(["run", "--key", "deploy", "--on-conflict", "refuse", "--", "true"]);
    expect([said.code, said.stderr]).toEqual([6, expect.stringContaining(`job ${first} has the key "deploy"`)]);
    const third = await submit(node(), { run: "true", key: "deploy", on_conflict: "replace" });
    expect([await stateOf(first), await stateOf(second), await stateOf(third)]).toEqual([
      "cancelled",
      "cancelled",
      "succeeded",
    ]);
  });
});

describe("time", () => {
  test("start_at: not before its instant", async () => {
    const directory = place("start");
    const at = Date.now() + 400;
    const id = await submit(node(), { run: traced(directory, "true"), start_at: new Date(at).toISOString() });
    expect(await stateOf(id)).toBe("succeeded");
    expect(tracesIn(directory)[0]!.began).toBeGreaterThanOrEqual(at);
  });

  test("deadline: what runs is stopped, what waits never starts, and the job has failed", async () => {
    const marker = path.join(place("deadline"), "sleeper");
    writeFileSync(marker, "");
    const id = await submit(node(), {
      run: `: ${marker}; sleep 600`,
      env: { MARKER: marker },
      count: 3,
      parallel: 2,
      retries: { max: 5 },
      deadline: "700ms",
    });
    expect(await finished(mesh, id)).toMatchObject({ state: "failed", counts: { timeout: 3 } });
    const tasks = await tasksOf(node(), id);
    expect(tasks.map(({ attempt }) => attempt)).toEqual([1, 1, 0]);
    for (const task of tasks.slice(0, 2))
      expect(task).toMatchObject({ state: "timeout", reason: "the job's deadline of 700ms passed" });
    expect(markedProcesses(`MARKER=${marker}`)).toEqual([]);
  });
});

describe("hold", () => {
  test("nothing more starts until the release, what runs goes on", async () => {
    const directory = place("hold");
    const run = `touch ${directory}/up; until [ -e ${directory}/go ]; do sleep 0.02; done`;
    const id = await submit(node(), { run, count: 2, parallel: 1 });
    await untilFile(`${directory}/up`);
    expect(await node().skein(["jobs", "hold", String(id)])).toMatchObject({ code: 0, stdout: `job ${id} is held\n` });
    writeFileSync(`${directory}/go`, "");
    await until(
      async () => {
        const { body } = await node().api("GET", `/v1/jobs/${id}`);
        return (body as { counts: { succeeded: number } }).counts.succeeded === 1 ? true : undefined;
      },
      patienceMs,
      () => "its first task does not end",
    );
    expect((await node().api("GET", `/v1/jobs/${id}`)).body).toMatchObject({
      state: "running",
      held: true,
      counts: { queued: 1, succeeded: 1 },
    });
    expect((await node().skein(["jobs", "release", String(id)])).code).toBe(0);
    expect(await stateOf(id)).toBe("succeeded");
  });
});

describe("a leader that is killed while it tells who waited", () => {
  test("is followed by one that goes on: every child knows", async () => {
    const [parent] = await submitAll([{ run: "exit 1", start_at: new Date(Date.now() + 1500).toISOString() }]);
    const skipped: number[] = [];
    const open: number[] = [];
    for (let more = 0; more < 3; more++) {
      const jobs = Array.from({ length: 3000 }, () => ({ driver: "noop", after: [parent] }));
      skipped.push(...(await submitAll(jobs)));
      // Those that may start wait for another gate: what the dead node would have run is not the question.
      const after = [{ job: parent, when: "done" }];
      open.push(...(await submitAll([{ driver: "noop", after, start_at: "2999-01-01T00:00:00Z" }])));
    }
    const leader = await mesh.leader({ voters: 3 });
    await finished(mesh, parent!);
    await leader.kill();
    await until(
      async () => {
        const { status, body } = await node().api("POST", "/v1/jobs/wait", { ids: skipped, timeout: "1s" });
        return status === 200 && (body as { finished: boolean }).finished ? true : undefined;
      },
      patienceMs,
      () => "the children do not end",
    );
    const { body } = await node().api("POST", "/v1/jobs/wait", { ids: skipped, timeout: "0s" });
    expect(new Set((body as { jobs: { state: string }[] }).jobs.map(({ state }) => state))).toEqual(
      new Set(["skipped"]),
    );
    for (const id of open)
      expect((await node().api("GET", `/v1/jobs/${id}`)).body).toMatchObject({
        state: "queued",
        waits: { start_at: "2999-01-01T00:00:00.000Z" },
      });
  });
});
