import { expect, test } from "bun:test";
import { jobId } from "../../src/lib/ids.ts";
import { cli, ScratchDir, ServedMesh, TestIo } from "./support.ts";

test("--target and --targets-from become the spec: lines of a file, comments and empty ones left out", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const file = scratch.write("hosts", "# the web\nweb[1-2] # two\n\n  db1,db2!db2\r\n");
  const { code, out } = await cli(["run", "-d", "--target", "a", "--targets-from", file, "--", "x"], served.env);
  expect([code, out]).toEqual([0, "1\n"]);
  expect(served.mesh.cluster.job(1)).toMatchObject({
    spec: { targets: ["a", "web[1-2]", "db1,db2!db2"] },
    counts: { queued: 4 },
  });
  const tasks = await cli(["jobs", "tasks", "1", "--target", "db1"], served.env);
  expect(tasks.out).toMatch(/^TASK +TARGET +STATE.*\n +3 +db1 +queued/);
});

test("names come from standard input, too, but not together with the tasks' own, and not from nobody", async () => {
  using served = new ServedMesh();
  expect(
    (await cli(["run", "-d", "--targets-from", "-", "--", "x"], served.env, new TestIo({ stdin: "h[1-3]\n" }))).out,
  ).toBe("1\n");
  expect(served.mesh.cluster.job(1).counts.queued).toBe(3);
  const both = await cli(["run", "--targets-from", "-", "--stdin", "-", "--", "x"], served.env);
  expect([both.code, both.err]).toEqual([2, expect.stringContaining("which --stdin takes")]);
  const nobody = await cli(["run", "--targets-from", "-", "--", "x"], served.env, new TestIo({ stdin: "# none\n" }));
  expect([nobody.code, nobody.err]).toEqual([2, expect.stringContaining("standard input names nobody")]);
  expect((await cli(["run", "--target", "a", "--count", "2", "--", "x"])).err).toContain(
    "--count: goes not with --target",
  );
});

test("a mistake is shown with the place below it", async () => {
  using served = new ServedMesh();
  const { code, err } = await cli(["run", "--target", "ok", "--target", "web[3-1]", "--", "x"], served.env);
  expect(code).toBe(2);
  expect(err).toContain('  targets[1]: bad range: "3-1" ends before it begins\n    web[3-1]\n        ^^^\n');
});

test("results of targets over all jobs, as a table, one value, or tasks", async () => {
  using served = new ServedMesh();
  const { cluster } = served.mesh;
  for (const targets of ["web[1-2]", "web2"]) cluster.submit({ name: `of ${targets}`, targets });
  served.assign(2, 0);
  served.finish(2, 0, "failed");
  const table = await cli(["results", "web2"], served.env);
  expect(table.out.split("\n").map((line) => line.trim().split(/ {2,}/).slice(0, 4))).toEqual([
    ["TARGET", "TASK", "NAME", "STATE"],
    ["web2", "2/0", "of web2", "failed"],
    ["web2", "1/1", "of web[1-2]", "queued"],
    [""],
  ]);
  expect((await cli(["results", "web[1-2]", "--state", "queued", "-o", "quiet"], served.env)).out).toBe("1/0\n1/1\n");
  const json = JSON.parse((await cli(["results", "--job", "last", "-o", "json"], served.env)).out) as unknown;
  expect(json).toMatchObject({ results: [{ job: 2, task: 0, target: "web2", name: "of web2" }] });
  const page = await cli(["results", "web2", "--limit", "1"], served.env);
  expect(page.err).toContain("--next 1.1");
});

test("results name the facts that their job found to be other, and have no column for it where there are none", async () => {
  using served = new ServedMesh();
  const { cluster } = served.mesh;
  const job = cluster.submit({ targets: "web[1-2]" });
  expect((await cli(["results"], served.env)).out).not.toContain("FACTS CHANGED");
  for (const cores of ["2", "4"])
    cluster.must("facts.set", { job: jobId(job), next: null, facts: [["web2", { cores }]] });
  const { out } = await cli(["results"], served.env);
  expect(out).toMatch(/FACTS CHANGED +LAST LINE\nweb1 .*\nweb2 .*cores: 2 -> 4 *\n$/);
});

test("a playbook's job shows what became of it over all of its hosts", async () => {
  using served = new ServedMesh();
  const { cluster } = served.mesh;
  cluster.submit({ driver: "ansible", run: undefined, targets: "web[1-3]", ansible: { playbook: "- hosts: all\n" } });
  const told = (ok: number, changed: number) => ({ recap: { tasks: 7, ok, failed: 7 - ok, changed } });
  for (const task of [0, 1, 2]) served.assign(1, task);
  cluster.finish(1, 0, 1, 1, "succeeded", told(7, 2));
  cluster.finish(1, 1, 1, 1, "failed", told(4, 0));
  cluster.finish(1, 2, 1, 1, "failed", { exitCode: null, reason: "unreachable: no route" });
  expect((await cli(["jobs", "show", "1"], served.env)).out).toMatch(
    /\n *playbook +hosts: 1 ok \(1 changed\), 1 failed, 1 unreachable; tasks: 78%, 11 of 14 ok, 3 failed\n/,
  );
});

test("a plan names the first targets", async () => {
  using served = new ServedMesh();
  const { out } = await cli(["plan", "-"], served.env, new TestIo({ stdin: "run: x\ntargets: web[001-500]\n" }));
  expect(out).toContain("x: 500 tasks of driver shell, 1 slot each\n  targets: web[001-020] and 480 more\n");
});

test("a list that is not there, or is a directory, is called that", async () => {
  using scratch = new ScratchDir();
  for (const [path, why] of [
    [`${scratch.path}/none`, "there is no such file"],
    [scratch.path, "it is a directory"],
  ] as const) {
    const { code, err } = await cli(["run", "--targets-from", path, "--", "x"]);
    expect([code, err]).toEqual([2, expect.stringContaining(`cannot read ${path}: ${why}`)]);
  }
});
