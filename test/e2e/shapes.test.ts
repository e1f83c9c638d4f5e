import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { skein, temporaryDirectory } from "./harness.ts";
import { finished, submit, type TaskAnswer, tasksOf } from "../../scripts/mesh-jobs.ts";

/** What tasks of arrays and matrices find around them, shown by real processes on one node. */
let mesh: Mesh;
let node: MeshNode;

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 1 });
  node = mesh.nodes[0]!;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

async function tasksAfter(spec: object): Promise<TaskAnswer[]> {
  const id = await submit(node, spec);
  await finished(mesh, id);
  return tasksOf(node, id);
}

test("each task of a matrix and of an array runs with what it is in its environment", async () => {
  const matrix = {
    mode: ["debug", "release"],
    threads: [1, 8],
    exclude: [{ mode: "debug", threads: 8 }],
    include: [{ mode: "docs" }],
  };
  const points = await tasksAfter({ run: "echo $SKEIN_INDEX $mode $threads", matrix, env: { threads: "none" } });
  expect(points.map((task) => task.tail)).toEqual(["0 debug 1\n", "1 release 1\n", "2 release 8\n", "3 docs none\n"]);
  const array = await tasksAfter({ run: "echo $SKEIN_TASK $SKEIN_INDEX", array: "1-9:4,100" });
  expect(array.map((task) => task.tail)).toEqual(["0 1\n", "1 5\n", "2 9\n", "3 100\n"]);
});

test("a job that failed in part is run again in that part, each task what it was, and forgotten when told so", async () => {
  using scratch = temporaryDirectory();
  const mark = path.join(scratch.path, "fixed");
  const spec = {
    run: `[ "$level" = low ] || [ -e ${mark} ] && echo $SKEIN_INDEX $level`,
    matrix: { level: ["low", "mid", "high"] },
  };
  const id = await submit(node, spec);
  expect((await finished(mesh, id)).state).toBe("failed");
  writeFileSync(mark, "");
  const said = await skein(scratch.path, [
    "jobs",
    "retry",
    String(id),
    "--failed",
    "--wait",
    "-o",
    "quiet",
    "--data",
    node.data,
  ]);
  const again = Number(said.stdout);
  expect([said.code, again > id]).toEqual([0, true]);
  expect((await tasksOf(node, again)).map((task) => [task.task, task.index, task.tail])).toEqual([
    [0, 1, "1 mid\n"],
    [1, 2, "2 high\n"],
  ]);
  expect((await node.api("GET", `/v1/jobs/${again}`)).body).toMatchObject({ retry_of: id });
  expect((await skein(scratch.path, ["jobs", "rm", `${id},${again}`, "--data", node.data])).code).toBe(0);
  expect((await node.api("GET", `/v1/jobs/${again}`)).status).toBe(404);
});

test("a template is kept by one command and run by another, with values in its environment", async () => {
  using scratch = temporaryDirectory();
  const template = {
    name: "greet",
    parameters: { who: { values: ["world", "moon"] }, times: { type: "number", default: 1 } },
    spec: { run: 'echo "hello $WHO"', env: { WHO: "{{who}}" }, count: "{{times}}" },
  };
  const file = path.join(scratch.path, "greet.json");
  writeFileSync(file, JSON.stringify(template));
  const say = (...words: string[]) => skein(scratch.path, ["jobs", "template", ...words, "--data", node.data]);
  expect((await say("add", file)).stdout).toBe("greet@1\n");
  expect((await say("run", "greet", "-p", "who=mars")).code).toBe(2);
  const said = await say("run", "greet", "-p", "who=moon", "-p", "times=2", "--wait", "-o", "quiet");
  expect(said.code).toBe(0);
  const id = Number(said.stdout);
  expect((await tasksOf(node, id)).map((task) => task.tail)).toEqual(["hello moon\n", "hello moon\n"]);
  expect((await node.api("GET", `/v1/jobs/${id}`)).body).toMatchObject({ template: "greet@1" });
});
