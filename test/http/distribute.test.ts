/** Distribute's own API, as its clients call it: over the real state, with results made by hand. The real thing is test/e2e/distribute.test.ts. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DistributeSettings } from "../../src/http/route.ts";
import { temporaryDirectory } from "../e2e/harness.ts";
import { admin } from "../state/support.ts";
import { asking, jsonIn, Mesh, operatorToken, viewerToken } from "./fake-node.ts";

interface Answer {
  readonly code: number;
  readonly data: unknown;
  readonly msg: string;
  readonly length?: number;
  readonly next?: string;
  readonly job?: number;
}

function meshed(settings: DistributeSettings = {}) {
  const mesh = new Mesh();
  const ask = asking(mesh.node(), { distribute: settings });
  const call = async (method: string, path: string, body?: unknown, token = operatorToken) => {
    const response = await ask(method, `/api/v1/distribute/${path}`, body, { authorization: `Bearer ${token}` });
    return { status: response.status, ...(await jsonIn<Answer>(response)) };
  };
  return { mesh, ask, call };
}

const adhoc = {
  ips: " 10.0.0.1, 10.0.0.2,",
  task_id: "t-1",
  task_name: "uptime",
  module: "shell",
  args: "uptime",
  type: "adhoc",
};
const play = {
  ips: "10.0.0.1,10.0.0.2",
  task_id: "p-1",
  task_name: "deploy",
  playbook_name: "deploy-agent",
  playbook_content: "\n- hosts: target_hosts\n  tasks:\n  - name: one\n    shell: 'true'",
  type: "playbook",
};

describe("Distribute's API", () => {
  test("is not there unless it is wanted", async () => {
    const ask = asking(new Mesh().node());
    expect((await ask("POST", "/api/v1/distribute/adhoc/", adhoc)).status).toBe(404);
  });

  test("takes a task with and without the slash, as a job of driver ansible with that program's limits", async () => {
    const { mesh, call } = meshed();
    expect(await call("POST", "adhoc/", adhoc)).toEqual({
      status: 200,
      code: 200,
      data: null,
      msg: "任务下发成功",
      job: 1,
    });
    expect(await call("POST", "playbook", play)).toMatchObject({ status: 200, code: 200, data: null, job: 2 });
    expect(mesh.cluster.job(1)).toMatchObject({
      name: "uptime",
      spec: {
        driver: "ansible",
        targets: ["10.0.0.1,10.0.0.2"],
        timeout: "1m40s",
        ansible: { module: "shell", args: "uptime" },
      },
    });
    expect(mesh.cluster.job(2).spec).toMatchObject({ timeout: "10m", ansible: { groups: ["target_hosts"] } });
    await call("POST", "adhoc/", { ...adhoc, task_id: 17, timeout: 5 });
    expect(mesh.cluster.job(3).spec).toMatchObject({ timeout: "5s" });
  });

  test("refuses a task_id that was given before, whoever gave it and whatever else differs, and one job comes of many at once", async () => {
    const { mesh, call } = meshed();
    const all = await Promise.all(Array.from({ length: 5 }, () => call("POST", "adhoc/", adhoc)));
    expect(all.map(({ code }) => code).toSorted((a, b) => a - b)).toEqual([200, 500, 500, 500, 500]);
    const again = await call("POST", "playbook/", { ...play, task_id: "t-1" }, "skein_a_admin");
    expect([again.status, again.code, again.data]).toEqual([409, 500, null]);
    expect(again.msg).toContain('"t-1" was given before (job 1)');
    expect(() => mesh.cluster.job(2)).toThrow();
  });

  test("wants a token, and one that may: the answer has the same form", async () => {
    const { ask, call } = meshed();
    const bare = await ask("POST", "/api/v1/distribute/adhoc/", adhoc, { authorization: undefined });
    expect([bare.status, await jsonIn(bare)]).toEqual([
      401,
      { code: 500, data: null, msg: expect.stringContaining("needs a token") },
    ]);
    expect(await call("POST", "adhoc/", adhoc, viewerToken)).toMatchObject({ status: 403, code: 500, data: null });
    expect(await call("GET", "adhoc/?ip=10.0.0.1", undefined, viewerToken)).toMatchObject({
      status: 200,
      code: 200,
      data: [],
      length: 0,
    });
  });

  test.each([
    ["adhoc/", "{", 400, "not JSON"],
    ["adhoc/", [], 422, "must be an object"],
    ["adhoc/", {}, 422, "ips: is required; task_id: is required; task_name: is required; module: is required"],
    ["adhoc/", { ...adhoc, ips: ", ," }, 422, "ips: must not be empty"],
    ["adhoc/", { ...adhoc, ips: "10.0.0.1;reboot" }, 422, "ips"],
    ["adhoc/", { ...adhoc, ips: "' or 1=1 --" }, 422, "ips"],
    ["adhoc/", { ...adhoc, ips: "10.0.0.[9-1]" }, 422, "ips"],
    ["adhoc/", { ...adhoc, module: "shell; rm -rf /" }, 422, "module"],
    ["adhoc/", { ...adhoc, timeout: "soon" }, 422, "timeout"],
    ["adhoc/", { ...adhoc, project_name: "../x; rm -rf /" }, 422, "project_name"],
    ["adhoc/", { ...adhoc, task_id: "x".repeat(129) }, 422, "task_id"],
    ["playbook/", { ...play, playbook_content: "" }, 422, "playbook_content: is required"],
    ["playbook/", { ...play, playbook_content: 7 }, 422, "playbook_content"],
    [
      "playbook/",
      { ...play, playbook_content: "\n- hosts: [" },
      422,
      "playbook_content: is no YAML: line 2, column 11: ",
    ],
    ["adhoc/", { ...adhoc, project_name: "nosuch" }, 422, "project_name: there is no bundle nosuch"],
    ["adhoc/", { ...adhoc, ips: "h[1-100001]" }, 422, "ips"],
    ["file/", { project_name: "x; rm -rf /" }, 422, "is no name of a project"],
    ["file/", { project_name: "../up" }, 422, "is no name of a project"],
    ["file/", { project_name: "-o" }, 422, "is no name of a project"],
    ["file/", {}, 422, "project_name: is required"],
  ] as const)("refuses %s with %j", async (path, body, status, words) => {
    const { call } = meshed();
    const answer = await call("POST", path, body);
    expect([answer.status, answer.code]).toEqual([status, 500]);
    expect(answer.msg).toContain(words);
  });

  test.each([
    ["adhoc/", 422, "exactly one of"],
    ["adhoc/?task_id=a&ip=10.0.0.1", 422, "exactly one of"],
    ["adhoc/?ip=10.0.0.1,10.0.0.2", 422, "use ips"],
    ["adhoc/?ip=' or '1'='1", 422, ""],
    ["adhoc/?task_id=none", 404, 'no adhoc task "none"'],
    ["playbook/", 422, "ips: is required"],
    ["playbook/?task_id=none", 404, 'no playbook task "none"'],
    ["playbook/?ips=[", 422, ""],
    ["playbook/?page=2", 422, "page"],
  ] as const)("refuses GET %s", async (path, status, words) => {
    const answer = await meshed().call("GET", path);
    expect([answer.status, answer.code]).toEqual([status, 500]);
    expect(answer.msg).toContain(words);
  });

  test("tells of each host as it ends, in that program's words, by task and by address", async () => {
    const { mesh, call } = meshed();
    const ips = "10.0.0.[1-5]";
    await call("POST", "adhoc/", { ...adhoc, ips });
    mesh.cluster.assign(1, 1, [0, 1], [1, 1], [2, 1], [3, 1], [4, 1]);
    const ends = mesh.cluster;
    ends.finish(1, 0, 1, 1, "succeeded", { tail: Buffer.from("up 3 days\n"), exitCode: 0 });
    const one = await call("GET", "adhoc/?task_id=t-1");
    expect(one).toMatchObject({ code: 200, msg: "", length: 1 });
    expect(one.data).toMatchObject([
      {
        result: "执行成功",
        task_name: "uptime",
        module: "shell",
        args: "uptime",
        ip: "10.0.0.1",
        cmd: "uptime",
        stdout: "up 3 days\n",
        id: 100_000,
        asset_id: 100_000,
        task_id: "t-1",
      },
    ]);
    expect((one.data as { created_date: string }[])[0]!.created_date).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    ends.finish(1, 1, 1, 1, "failed", {
      tail: Buffer.from("no such\n"),
      exitCode: 2,
      reason: '"shell" failed with code 2',
    });
    ends.finish(1, 2, 1, 1, "failed", { reason: "unreachable: Connection refused" });
    ends.finish(1, 3, 1, 1, "timeout", { reason: "ran longer than its timeout of 1m40s" });
    const all = await call("GET", "adhoc/?task_id=t-1");
    expect((all.data as object[]).slice(1)).toMatchObject([
      { ip: "10.0.0.2", result: "执行失败", msg: '"shell" failed with code 2', stderr: "no such\n" },
      { ip: "10.0.0.3", result: "无法连接", msg: "unreachable: Connection refused" },
      { ip: "10.0.0.4", result: "执行超时" },
    ]);
    const pages = await call("GET", "adhoc/?task_id=t-1&limit=2");
    const rest = await call("GET", `adhoc/?task_id=t-1&limit=2&next=${pages.next}`);
    expect([...(pages.data as object[]), ...(rest.data as object[])]).toEqual(all.data as object[]);
    // Another task on the same address does not take the first one's place.
    await call("POST", "adhoc/", {
      ...adhoc,
      task_id: "t-2",
      module: "copy",
      args: "src=/a dest=/tmp/b",
      ips: "10.0.0.1",
    });
    mesh.cluster.assign(2, 1, [0, 1]);
    ends.finish(2, 0, 1, 1, "succeeded", { tail: Buffer.from('changed {"dest": "/tmp/b", "mode": "0644"}\n') });
    const byIp = await call("GET", "adhoc/?ip=10.0.0.1");
    expect(byIp.data).toMatchObject([
      { task_id: "t-2", result: "拷贝成功", dest: "/tmp/b" },
      { task_id: "t-1", result: "执行成功" },
    ]);
    expect((await call("GET", "adhoc/?ips=10.0.0.1,10.0.0.3")).length).toBe(3);
    expect((await call("GET", "adhoc/?task_id=t-2")).length).toBe(1);
  });

  test("lists what was run on an address by this API, however much else was run there since, and as many as are asked for", async () => {
    const { mesh, call } = meshed();
    for (const task of ["t-1", "t-2"]) await call("POST", "adhoc/", { ...adhoc, task_id: task, ips: "10.0.0.1" });
    for (const job of [1, 2]) {
      mesh.cluster.assign(job, 1, [0, 1]);
      mesh.cluster.finish(job, 0, 1, 1);
    }
    for (let job = 0; job < 1_100; job++) mesh.cluster.submit({ targets: "10.0.0.1" });
    const all = await call("GET", "adhoc/?ip=10.0.0.1");
    expect((all.data as { task_id: string }[]).map((row) => row.task_id)).toEqual(["t-2", "t-1"]);
    const first = await call("GET", "adhoc/?ip=10.0.0.1&limit=1");
    const rest = await call("GET", `adhoc/?ip=10.0.0.1&limit=1&next=${first.next}`);
    expect([first, rest].map(({ data }) => (data as { task_id: string }[]).map((row) => row.task_id))).toEqual([
      ["t-2"],
      ["t-1"],
    ]);
  });

  test("what is not there is said in its form, too", async () => {
    const { call } = meshed();
    expect(await call("GET", "nope/")).toMatchObject({ status: 404, code: 500, data: null });
    expect(await call("PUT", "adhoc/")).toMatchObject({
      status: 405,
      code: 500,
      msg: expect.stringContaining("use POST, GET"),
    });
  });

  test("the share of a playbook's tasks is of each host's own playbook, its newest one or a task's", async () => {
    const { mesh, call } = meshed();
    const recap = (percent: number) =>
      Buffer.from(`recap: ok=1 changed=0 unreachable=0 failed=1 skipped=0 rescued=0 ignored=0 success=${percent}%\n`);
    await call("POST", "playbook/", play);
    await call("POST", "playbook/", { ...play, task_id: "p-2", ips: "10.0.0.2" });
    await call("POST", "adhoc/", adhoc);
    mesh.cluster.assign(1, 1, [0, 1], [1, 1]);
    mesh.cluster.assign(2, 1, [0, 1]);
    mesh.cluster.finish(1, 0, 1, 1, "succeeded", { tail: recap(100) });
    mesh.cluster.finish(1, 1, 1, 1, "failed", { tail: recap(25), reason: "no" });
    mesh.cluster.finish(2, 0, 1, 1, "failed", { tail: recap(66), reason: "no" });
    const newest = await call("GET", "playbook/?ips=10.0.0.1,10.0.0.2,10.0.0.9");
    expect(newest.data).toMatchObject([
      { ip: "10.0.0.1", success_rate: "100%", result: "success", task_id: "p-1" },
      { ip: "10.0.0.2", success_rate: "66%", result: "fail", task_id: "p-2" },
    ]);
    expect((await call("GET", "playbook/?task_id=p-1&ips=10.0.0.2")).data).toMatchObject([
      { ip: "10.0.0.2", success_rate: "25%" },
    ]);
  });

  test("what was chosen for all of its jobs is a template's to say, but what is run and where is not", async () => {
    const { mesh, call } = meshed();
    const spec = {
      driver: "ansible",
      ssh: { user: "ops", become: "root" },
      on: "zone=eu",
      ansible: { module: "ping", forks: 10 },
      targets: "x",
      timeout: "1h",
    };
    mesh.cluster.must("template.set", { name: "distribute", spec }, admin);
    expect(await call("POST", "playbook/", play)).toMatchObject({ code: 200 });
    const { spec: made } = mesh.cluster.job(1);
    expect(made).toMatchObject({
      ssh: { user: "ops", become: "root" },
      on: "zone=eu",
      timeout: "10m",
      targets: ["10.0.0.1,10.0.0.2"],
    });
    expect(made["ansible"]).toMatchObject({ forks: 10, groups: ["target_hosts"] });
    expect(made["ansible"]).not.toHaveProperty("module");
  });

  test.skipIf(Bun.which("git") === null)("fetches a project as it is now, and a task runs in its tree", async () => {
    using scratch = temporaryDirectory();
    const project = join(scratch.path, "site.git");
    const git = (...words: string[]) =>
      Bun.spawnSync(["git", "-C", project, "-c", "user.name=a", "-c", "user.email=a@b", ...words]).exitCode;
    mkdirSync(project);
    writeFileSync(join(project, "site.yml"), "- hosts: all\n");
    expect([git("init", "-q"), git("add", "."), git("commit", "-qm", "one")]).toEqual([0, 0, 0]);
    const { mesh, call } = meshed({ git: scratch.path });
    expect(await call("POST", "file/", { project_name: "site" })).toMatchObject({
      status: 200,
      code: 200,
      data: "",
      msg: "site克隆成功",
      bundle: "site@1",
    });
    expect(await call("POST", "adhoc/", { ...adhoc, project_name: "site" })).toMatchObject({ code: 200 });
    expect(mesh.cluster.job(1).spec).toMatchObject({ bundle: expect.stringContaining("site@sha256:") });
    const missing = await call("POST", "file/", { project_name: "other" });
    expect([missing.status === 200, missing.code]).toEqual([false, 500]);
  });

  test("a project is not fetched by a node that was not told where projects are, and says so", async () => {
    const answer = await meshed().call("POST", "file/", { project_name: "site" });
    expect([answer.status, answer.code, answer.msg]).toEqual([501, 500, expect.stringContaining("--distribute-git")]);
  });

  test("says what it knows at a path of its own, with the slash too", async () => {
    const { ask } = meshed();
    for (const path of ["adhoc", "adhoc/"]) {
      const response = await ask("DELETE", `/api/v1/distribute/${path}`);
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST, GET"]);
    }
  });

  test("is in the documents where it is answered", async () => {
    const { ask } = meshed();
    const { paths } = await jsonIn<{ paths: Record<string, object> }>(await ask("GET", "/v1/openapi.json"));
    expect(Object.keys(paths).filter((path) => path.includes("distribute"))).toEqual([
      "/api/v1/distribute/adhoc",
      "/api/v1/distribute/playbook",
      "/api/v1/distribute/file",
    ]);
  });
});
