import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { openSync, closeSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, type TaskAnswer, tasksOf } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory, whileLeasesHold } from "./harness.ts";

/** Attempts that began: what is taken back from a node that has not begun it is no second try. */
const begun = ({ attempts }: TaskAnswer): number => attempts.filter(({ state }) => state !== "skipped").length;

/** So many short tasks, one job after the other, until `isOver`, and twenty jobs at least; gives the jobs. */
async function stream(node: MeshNode, count: number, isOver: () => boolean): Promise<number[]> {
  const jobs: number[] = [];
  while (!isOver() || jobs.length < 20) {
    jobs.push(await submit(node, { driver: "noop", count }));
    await Bun.sleep(20); // a pace, not a wait
  }
  return jobs;
}

test("the leader dies while 500 tasks run and thousands of short ones flow: the next one goes on with the short ones, and no task that runs begins again", async () => {
  const tasks = 500;
  await using mesh = await Mesh.start({ nodes: 3, flags: ["--io-tasks", "1000"] });
  await whileLeasesHold(async (counts) => {
    counts(mesh.nodes);
    using scratch = temporaryDirectory();
    // A reader of a FIFO waits, without asking, until somebody opens it for writing.
    const gate = path.join(scratch.path, "gate");
    expect(spawnSync("mkfifo", [gate]).status).toBe(0);
    const leader = await mesh.leader({ voters: 3 });
    const other = mesh.nodes.find((node) => node !== leader)!;
    const long = await submit(other, { run: `: < ${gate}`, count: tasks, slots: 0, on_lost: "fail" });
    await until(
      async () => ((await tasksOf(other, long)).every((task) => task.started_at !== null) ? true : undefined),
      patienceMs,
      () => `not all ${tasks} tasks run`,
    );
    let isOver = false;
    const streaming = stream(other, 100, () => isOver);
    const before = await submit(other, { driver: "noop", count: 100 });
    await finished(mesh, before);
    await leader.kill();

    // Under the next leader, while the former one's node is away and not yet lost.
    const during = await submit(other, { driver: "noop", count: 100 });
    await finished(mesh, during);
    const tasksDuring = await tasksOf(other, during);
    expect(tasksDuring.filter(({ node }) => node === leader.ready.node)).toEqual([]);
    const { nodes } = (await other.api("GET", "/v1/nodes")).body as { nodes: { id: number; state: string }[] };
    expect(nodes.find(({ id }) => id === leader.ready.node)?.state).toBe("up");
    expect((await finished(mesh, long, 1).catch((error: Error) => error.message)) as unknown).toContain(
      "has not ended",
    );

    await leader.start();
    isOver = true;
    const short = await streaming;
    for (const job of short) expect((await finished(mesh, job)).state).toBe("succeeded");
    const writer = openSync(gate, "r+"); // which waits for nobody
    expect((await finished(mesh, long)).counts).toMatchObject({ succeeded: tasks });
    closeSync(writer);

    const all = await Promise.all([long, before, during, ...short].map((job) => tasksOf(other, job)));
    expect(all.flat().filter((task) => begun(task) !== 1)).toEqual([]);
    expect(new Set(all[0]!.map(({ node }) => node)).size).toBe(3);
    expect(all[0]!.every(({ attempt }) => attempt === 1)).toBe(true);
  });
}, 600_000);
