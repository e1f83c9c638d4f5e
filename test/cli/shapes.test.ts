import { expect, test } from "bun:test";
import { cli, ServedMesh, start, TestIo } from "./support.ts";

test("--array and --matrix become the spec, and the table of tasks shows indices and points", async () => {
  using served = new ServedMesh();
  expect(await cli(["run", "-d", "--array", "10-30:10", "--", "x"], served.env)).toEqual({
    code: 0,
    out: "1\n",
    err: "",
  });
  const matrix = ["--matrix", "mode=a,b", "--matrix", "threads=1,08"];
  expect((await cli(["run", "-d", ...matrix, "--", "x"], served.env)).out).toBe("2\n");
  expect(served.mesh.cluster.job(1).spec).toEqual({ run: ["x"], array: "10-30:10" });
  expect(served.mesh.cluster.job(2).spec["matrix"]).toEqual({ mode: ["a", "b"], threads: [1, "08"] });
  expect(
    (await cli(["jobs", "tasks", "1"], served.env)).out
      .split("\n")
      .map((line) => line.trim().split(/ +/).slice(0, 3).join(" ")),
  ).toEqual(["TASK INDEX STATE", "0 10 queued", "1 20 queued", "2 30 queued", ""]);
  expect((await cli(["jobs", "tasks", "2"], served.env)).out).toMatch(
    /^TASK +MATRIX +STATE.*\n +0 +mode=a threads=1 +queued/,
  );
  const json = JSON.parse((await cli(["jobs", "tasks", "2/3", "-o", "json"], served.env)).out) as unknown;
  expect(json).toMatchObject({ task: 3, index: 3, matrix: { mode: "b", threads: "08" } });
});

test.each([
  [["--matrix", "mode=a,b"], "task 1 (mode=b): exit 1"],
  [["--array", "7,9"], "task 1 (index 9): exit 1"],
  [["--count", "2"], "task 1: exit 1"],
])("a task of %p that failed is called by its point or index", async (flags, words) => {
  using served = new ServedMesh();
  const io = new TestIo();
  const code = start(["run", ...flags, "--", "x"], served.env, io);
  const id = await served.submitted();
  for (const task of [0, 1]) {
    served.assign(id, task);
    served.finish(id, task, task === 0 ? "succeeded" : "failed");
  }
  expect(await code).toBe(1);
  expect(io.stderr.text).toContain(words);
});

test("flags that each say how many tasks there are go not together, and ranges are judged before anything is sent", async () => {
  const { code, err } = await cli([
    "run",
    "--count",
    "2",
    "--array",
    "5-1",
    "--matrix",
    "a b=1",
    "--each-node",
    "--",
    "x",
  ]);
  expect(code).toBe(2);
  for (const words of [
    "--count: goes not with --each-node",
    "--array: goes not with --each-node",
    '"5-1" is empty',
    '--matrix: "a b=1" is not',
  ])
    expect(err).toContain(words);
});
