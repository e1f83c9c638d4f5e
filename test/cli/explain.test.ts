import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { temporaryDirectory } from "../e2e/harness.ts";
import { cli, ServedMesh, TestIo } from "./support.ts";

test("jobs explain says why in words, for each node, and in forms for programs", async () => {
  using served = new ServedMesh();
  served.submit({ name: "gpu", on: "gpu=yes", slots: 9 });
  served.submit({ name: "near" });
  const { code, out } = await cli(["jobs", "explain", "1-2"], served.env);
  expect(code).toBe(0);
  expect(out).toContain("job 1 (gpu) is queued: 1 task waits, 0 run\ntask 0:\n  no node there is can run it");
  expect(out).toContain("gpu=yes is asked for, node n1 has no label gpu; node n1 has 4 slots, the task asks for 9");
  expect(out).toContain("job 2 (near) is queued: 1 task waits, 0 run");
  expect((await cli(["jobs", "explain", "1", "-o", "quiet"], served.env)).out).toBe("no-node\n");
  const json = JSON.parse((await cli(["jobs", "explain", "1", "-o", "json"], served.env)).out) as unknown;
  expect(json).toMatchObject({ job: 1, waiting: [{ tasks: 1, nodes: [{ node: 1, state: "never" }] }] });
  expect((await cli(["jobs", "explain", "99"], served.env)).code).toBe(3);
});

test("plan shows tasks and placement of a file, and ends as a submit would where that is refused", async () => {
  using served = new ServedMesh();
  using directory = temporaryDirectory();
  const spec = path.join(directory.path, "spec.yml");
  writeFileSync(spec, "name: build\nrun: make\ncount: 6\n");
  expect(await cli(["plan", spec, "-o", "quiet"], served.env)).toEqual({ code: 0, out: "0 1 4\n", err: "" });
  const { out } = await cli(["plan", spec], served.env);
  expect(out).toContain("build: 6 tasks of driver shell, 1 slot each\n  4 tasks would start at once: 4 on n1\n");
  expect(out).toContain("  2 tasks would wait:\n  one node can run it, 1 of them full");
  const bad = await cli(["plan", "-"], served.env, new TestIo({ stdin: "run: x\ncount: 0\n" }));
  expect(bad).toMatchObject({ code: 2, out: "" });
  expect(bad.err).toContain("stdin:2:8: count: must be at least 1");
  const refused = await cli(["plan", "-"], served.env, new TestIo({ stdin: "run: x\nenv: {A: {secret: none}}\n" }));
  expect(refused.code).toBe(2);
  expect(refused.err).toContain("skein: a submit would be refused: there is no secret none");
  expect((await cli(["ps", "-o", "quiet"], served.env)).out).toBe("");
});
