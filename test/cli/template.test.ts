import { expect, test } from "bun:test";
import { cli, ScratchDir, ServedMesh, start, TestIo } from "./support.ts";

const deploy = `name: deploy
description: puts a version on the fleet
parameters:
  version: {description: what to deploy}
  zones: {type: list, default: [eu], values: [eu, us]}
spec:
  run: deploy {{version}}
  matrix: {zone: "{{zones}}"}
`;

test("a template is added, listed, shown, run and removed", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const file = scratch.write("deploy.yaml", deploy);
  const say = (...words: string[]) => cli(["jobs", "template", ...words], served.env);
  expect(await say("add", file)).toEqual({ code: 0, out: "deploy@1\n", err: "" });
  expect((await say("add", file, "--name", "other", "-o", "quiet")).out).toBe("other\n");
  const listed = (await say("ls")).out;
  expect(listed).toMatch(/^NAME +REVISION +PARAMETERS +SET +DESCRIPTION\n/);
  expect(listed).toMatch(/\ndeploy +1 +version,zones +[0-9-]+ [0-9:]+Z +puts a version on the fleet\n/);
  const shown = (await say("show", "deploy")).out;
  expect(shown).toMatch(/\nversion +text +\(required\) +what to deploy\n/);
  expect(shown).toMatch(/\nzones +list +eu +eu,us/);
  expect(shown).toContain("\nrun: deploy {{version}}\n");
  expect(await say("run", "deploy", "-p", "version=1=2", "-p", "zones=us,eu")).toEqual({
    code: 0,
    out: "1\n",
    err: "",
  });
  expect(served.mesh.cluster.job(1)).toMatchObject({
    template: "deploy@1",
    spec: { run: "deploy 1=2", matrix: { zone: ["us", "eu"] } },
  });
  expect((await cli(["jobs", "show", "1"], served.env)).out).toMatch(/template +deploy@1\n/);
  const json = JSON.parse((await say("run", "deploy", "-p", "version=2", "-o", "json")).out) as unknown;
  expect(json).toEqual({ id: 2, template: "deploy@1" });
  expect(await say("rm", "deploy", "other")).toEqual({
    code: 0,
    out: "template deploy is forgotten\ntemplate other is forgotten\n",
    err: "",
  });
  expect((await say("ls", "-o", "quiet")).out).toBe("");
  expect((await say("show", "deploy")).code).toBe(3);
});

test("--wait exits with the job's result", async () => {
  using served = new ServedMesh();
  const io = new TestIo({ stdin: '{"name": "t", "spec": {"run": "x"}}' });
  expect((await cli(["jobs", "template", "add", "-"], served.env, io)).out).toBe("t@1\n");
  const code = start(["jobs", "template", "run", "t", "--wait"], served.env, new TestIo());
  const id = await served.submitted();
  served.assign(id);
  served.finish(id, 0, "failed");
  expect(await code).toBe(1);
});

test("what is wrong with a file is told with its lines, what is wrong with a run with its parameters", async () => {
  using served = new ServedMesh();
  using scratch = new ScratchDir();
  const broken = scratch.write(
    "t.yaml",
    "name: t\nparameters:\n  n: {type: numbr}\nspec:\n  run: x {{m}}\n  timeout: 5x\n",
  );
  const { code, err } = await cli(["jobs", "template", "add", broken], served.env);
  expect(code).toBe(2);
  expect(err).toContain("t.yaml:3:13: parameters.n.type: must be text, number, boolean or list");
  expect(err).toContain("t.yaml:5:8: spec.run: {{m}} is not among the parameters");
  await cli(["jobs", "template", "add", scratch.write("deploy.yaml", deploy)], served.env);
  const run = await cli(["jobs", "template", "run", "deploy", "-p", "zones=mars"], served.env);
  expect(run.code).toBe(2);
  expect(run.err).toContain("params.version: is required: what to deploy");
  expect(run.err).toContain('params.zones: "mars" is none of eu, us');
  for (const argv of [
    ["-p", "version"],
    ["-p", "=1"],
    ["--revision", "x"],
  ])
    expect((await cli(["jobs", "template", "run", "deploy", ...argv], served.env)).code).toBe(2);
  expect(
    (await cli(["jobs", "template", "run", "deploy", "-p", "version=1", "--revision", "7"], served.env)).code,
  ).toBe(6);
});
