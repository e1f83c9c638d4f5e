import { afterAll, beforeAll, expect, test } from "bun:test";
import path from "node:path";
import { writeFileSync } from "node:fs";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { skein, temporaryDirectory } from "./harness.ts";

/** Jobs about targets, run by real processes on three nodes, of which one leads and any is asked. */
let mesh: Mesh;
let nodes: readonly MeshNode[];

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  nodes = mesh.nodes;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

test("each task knows its target, whichever node is asked and runs it, and is found by it", async () => {
  using scratch = temporaryDirectory();
  const hosts = path.join(scratch.path, "hosts");
  writeFileSync(hosts, "web[01-40] # the web\ndb1,db2!db2\n");
  const words = ["sh", "-c", 'echo "about $SKEIN_TARGET"; [ "$SKEIN_TARGET" != web07 ]'];
  for (const [at, node] of nodes.entries()) {
    const run = await skein(scratch.path, ["run", "--targets-from", hosts, "--data", node.data, "--", ...words]);
    expect([run.code, run.stderr]).toEqual([1, expect.stringContaining("task 6 (web07): exit 1")]);
    expect(run.stdout.split("\n").filter((line) => line !== "")).toHaveLength(41);
    expect(run.stdout).toMatch(/^db1\b.*about db1$/m);
    const tasks = await tasksOf(node, at + 1);
    expect(tasks.map(({ tail }) => tail).slice(38)).toEqual(["about web39\n", "about web40\n", "about db1\n"]);
  }
  const ask = ["results", "web07", "--state", "failed", "-o", "quiet", "--data", nodes[1]!.data];
  expect((await skein(scratch.path, ask)).stdout).toBe("3/6\n2/6\n1/6\n");
});

test("ten thousand are a job like any other", async () => {
  const id = await submit(nodes[1]!, { driver: "noop", noop: { output: "1KiB" }, targets: "host[0001-9999],last" });
  expect(await finished(mesh, id)).toMatchObject({ state: "succeeded", counts: { succeeded: 10_000 } });
  const answer = (await nodes[2]!.api("GET", "/v1/results?target=last")).body;
  expect(answer).toMatchObject({ results: [{ job: id, task: 9999, target: "last", state: "succeeded" }] });
});
