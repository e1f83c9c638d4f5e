import { afterAll, beforeAll, expect, test } from "bun:test";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
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
