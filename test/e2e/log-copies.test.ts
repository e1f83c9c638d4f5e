import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { allUp, finished, submit, type TaskAnswer, tasksOf } from "../../scripts/mesh-jobs.ts";
import { killAtOnce } from "../../scripts/processes.ts";
import { Running } from "./harness.ts";

/** N1: each pack of logs is copied to a second node while it is written, so that no log of a task that finished over 2 s ago is lost with its node. */

/** As a fire would: the node, its guard with all that runs, and the disk. */
async function destroy(node: MeshNode): Promise<void> {
  const guards = node.guards();
  await node.kill();
  await killAtOnce(guards);
  rmSync(node.data, { recursive: true, force: true, maxRetries: 10 });
}

async function logOf(node: MeshNode, { job, task }: { job: number; task: number }): Promise<Buffer> {
  const route = `/v1/jobs/${job}/logs?task=${task}`;
  const response = await fetch(node.ready.api + route, { headers: { authorization: `Bearer ${node.token}` } });
  if (response.status !== 200) throw new Error(`${route}: ${response.status} ${await response.text()}`);
  return Buffer.from(await response.arrayBuffer());
}

/** What the result says that the log is. */
async function expectWhole(node: MeshNode, tasks: readonly TaskAnswer[]): Promise<void> {
  for (const task of tasks) {
    const bytes = await logOf(node, task);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect([task.job, task.task, bytes.length, sha256]).toEqual([
      task.job,
      task.task,
      task.log!.bytes,
      task.log!.sha256,
    ]);
  }
}

test("no log of a task that finished over 2 s ago is lost when its node is destroyed; a reader goes on where it was, at another node", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const [a, b, c] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  const tiny = await submit(a, { run: "echo output of task $SKEIN_INDEX; seq $SKEIN_INDEX", count: 300 });
  const large = await submit(a, { run: "seq $((SKEIN_INDEX * 100000)); seq 1000 >&2", count: 6 });
  const eternal = await submit(b, { run: "echo begun on $SKEIN_NODE; sleep 3600", each_node: true, on_lost: "fail" });
  for (const job of [tiny, large]) expect((await finished(mesh, job)).state).toBe("succeeded");
  const tasks = [...(await tasksOf(a, tiny)), ...(await tasksOf(a, large))];
  expect(new Set(tasks.map(({ node }) => node)).size).toBe(3);
  for (const node of mesh.nodes) {
    // A pack for all, and those of their own that much output has; not one for each task.
    expect(readdirSync(path.join(node.data, "logs", "packs")).length).toBeLessThan(10);
  }

  // A reader on a has half of the largest log of b when b goes.
  const largest = tasks
    .filter(({ node }) => node === b.ready.node)
    .toSorted((x, y) => x.log!.bytes - y.log!.bytes)
    .at(-1)!;
  const half = (await logOf(a, largest)).subarray(0, Math.floor(largest.log!.bytes / 2));

  const last = Math.max(...tasks.map(({ finished_at }) => Date.parse(finished_at!)));
  await Bun.sleep(Math.max(0, last + 2_000 - Date.now())); // the promise is about time: what is younger may be lost
  await destroy(b);
  const gone = tasks.filter(({ node }) => node === b.ready.node);
  expect(gone.length).toBeGreaterThan(30);
  await expectWhole(a, gone);
  await expectWhole(c, gone.slice(-20));
  const rest = await a.api("GET", `/v1/jobs/${largest.job}/logs?task=${largest.task}&offset=${half.length}`);
  const sha256 = createHash("sha256")
    .update(half)
    .update(rest.body as string)
    .digest("hex");
  expect(sha256).toBe(largest.log!.sha256);

  // What ran on it is lost; what it had said is not. And still so when it is a member no more.
  const lost = await until(
    async () => (await tasksOf(a, eternal)).find(({ state }) => state === "lost"),
    patienceMs,
    () => "the destroyed node was not found lost",
  );
  expect((await logOf(c, lost)).toString()).toBe(`begun on ${b.ready.node}\n`);
  await until(
    async () => ((await a.api("DELETE", `/v1/nodes/${b.ready.node}`)).status === 200 ? true : undefined),
    patienceMs,
    () => "the destroyed node was not removed",
  );
  await expectWhole(a, gone.slice(0, 20));
  expect((await a.skein(["logs", `${gone[0]!.job}/${gone[0]!.task}`])).code).toBe(0);
  await a.api("POST", `/v1/jobs/${eternal}/cancel`);
}, 600_000);

test("with output.sync a task is finished when its log is on a second disk: it may be destroyed the moment after", async () => {
  await using mesh = await Mesh.start({ nodes: 1 });
  const [a] = mesh.nodes as [MeshNode];
  const spec = { run: "echo $SKEIN_TASK is safe; head -c 3000 /dev/zero", output: { copies: 2, sync: true } };
  const refused = await a.api("POST", "/v1/jobs", spec);
  expect(refused).toMatchObject({ status: 422, body: { error: { details: [{ path: "output.sync" }] } } });
  const [b, c] = [await mesh.add(), await mesh.add()];
  await mesh.leader({ voters: 3 });
  await allUp(mesh, a);
  for (const other of [a, c]) await a.api("POST", `/v1/nodes/${other.ready.node}/drain`);
  const job = await submit(a, { ...spec, count: 20 });
  expect((await finished(mesh, job)).state).toBe("succeeded");
  await destroy(b);
  const tasks = await tasksOf(c, job);
  expect(new Set(tasks.map(({ node }) => node))).toEqual(new Set([b.ready.node]));
  await expectWhole(c, tasks);
}, 600_000);

test("a follower of a task stays with it when the node it asks is another one than that which runs it, and sees all", async () => {
  await using mesh = await Mesh.start({ nodes: 2 });
  const [a, b] = mesh.nodes as [MeshNode, MeshNode];
  await mesh.leader({ voters: 1 });
  await allUp(mesh, a);
  await a.api("POST", `/v1/nodes/${a.ready.node}/drain`);
  const job = await submit(a, { run: "for i in $(seq 500); do echo line $i; done; sleep 0.3; echo end" });
  const readers = [a, b, a].map((node) => new Running(node, ["logs", String(job), "-f"]));
  const lines = Array.from({ length: 500 }, (_, i) => `line ${i + 1}\n`).join("");
  for (const reader of readers) {
    expect((await reader.ended()).stdout.toString()).toBe(`${lines}end\n`);
    await reader[Symbol.asyncDispose]();
  }
}, 300_000);
