import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, tasksOf } from "../../scripts/mesh-jobs.ts";
import { skein, temporaryDirectory } from "./harness.ts";

/** What people and programs get wrong, told by the real binary: one clear message, the exit code or status of the contract, nothing done. */
let mesh: Mesh;
let a: MeshNode;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 3 });
  a = mesh.nodes[0]!;
  await mesh.leader({ voters: 3 });
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

async function newestJob(): Promise<number> {
  const { body } = await a.api("GET", "/v1/jobs?limit=1");
  return (body as { jobs: { id: number }[] }).jobs[0]?.id ?? 0;
}

describe("words that mean nothing", () => {
  test.each([
    [["frob"], "unknown command 'frob'"],
    [["jobs", "frob"], "unknown command 'frob'"],
    [["load"], "skein: 'load' is not built yet in this version"],
    [["bench", "failover"], "skein: 'bench failover' is not built yet in this version"],
    [["run", "--frob", "--", "true"], "unknown option '--frob'"],
    [["run"], "missing required argument"],
    [["wait", "abc"], '"abc" is no job id'],
    [["wait", "--timeout=-1s", "1"], '--timeout "-1s" is not a duration'],
    [["run", "--timeout", "-5s", "--", "true"], '--timeout: "-5s" is not a duration'],
    [["run", "--count", "0", "--on", "a==", "--", "true"], "2 flags are wrong"],
    [["jobs", "ls", "--state", "done"], '"done" is none of queued, running'],
    [["jobs", "ls", "-o", "xml"], "Allowed choices are table, json, yaml, quiet"],
    [["jobs", "ls", "--addr", "ftp://x"], "is no address of a node"],
    [["submit", "/none.yaml"], "cannot read /none.yaml: there is no such file"],
    [["completion", "tcsh"], "Allowed choices are bash, zsh, fish"],
  ])("%p: exit 2", async (words, message) => {
    const said = await a.skein(words);
    expect(said.stderr).toContain(message);
    expect(said).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("things that are not there", () => {
  test.each([
    [["jobs", "show", "999999"]],
    [["jobs", "tasks", "999999"]],
    [["logs", "999999"]],
    [["logs", "999999/0", "-f"]],
    [["wait", "999999"]],
    [["cancel", "999999"]],
  ])("%p: exit 3", async (words) => {
    const said = await a.skein(words);
    expect(said.stderr).toStartWith("skein: there is no job 999999");
    expect(said).toMatchObject({ code: 3, stdout: "" });
  });

  test("a task, a node, a route", async () => {
    const id = await submit(a, { run: "true" });
    expect(await a.skein(["logs", `${id}/7`])).toMatchObject({ code: 3, stderr: `skein: job ${id} has no task 7\n` });
    expect((await a.skein(["nodes", "show", "nobody"])).code).toBe(3);
    expect((await a.api("GET", "/v1/frobs")).status).toBe(404);
    expect((await a.api("GET", "/v1/jobs/999999")).status).toBe(404);
  });
});

/** A thousand values on each of three axes. */
const axes = ["x", "y", "z"]
  .map((axis) => `${axis}: [${Array.from({ length: 1000 }, (_, at) => at).join(", ")}]`)
  .join(", ");

describe("specs", () => {
  async function refused(text: string, ...texts: readonly string[]): Promise<void> {
    const before = await newestJob();
    const said = await a.skein(["submit", "-"], { stdin: text });
    for (const part of texts) expect(said.stderr).toContain(part);
    expect(said.stderr).not.toMatch(/^\s+at /m);
    expect(said).toMatchObject({ code: 2, stdout: "" });
    expect(await newestJob()).toBe(before);
  }

  test("five mistakes in one spec: all five, each with its place in the file and its path", async () => {
    const text = 'run: ""\ncount: 0\ntimeout: -5s\nretries: {max: -1}\ncolour: red\n';
    await refused(
      text,
      "stdin:1:6: run: must not be empty",
      "stdin:2:8: count: must be at least 1",
      'stdin:3:10: timeout: "-5s" is not a duration',
      "stdin:4:16: retries.max: must be at least 0",
      "stdin:5:9: colour: no such key",
    );
    const { status, body } = await a.api("POST", "/v1/jobs", {
      run: "",
      count: 0,
      timeout: "-5s",
      retries: { max: -1 },
      colour: 1,
    });
    expect(status).toBe(422);
    const { details } = (body as { error: { details: { path: string }[] } }).error;
    expect(details.map(({ path }) => path).toSorted()).toEqual(["colour", "count", "retries.max", "run", "timeout"]);
  });

  test.each([
    ["broken YAML", "run: echo\nname: [a\ncount: 3\n", "stdin:3:1:"],
    ["broken JSON lines", '{"run": "true"}\n{"run": "true"\n', "stdin:2:1:"],
    ["a key twice", "run: a\nrun: b\n", "stdin:2:1: Map keys must be unique"],
    ["text that is no spec", "just text\n", "it is no job spec"],
    ["nothing", "", "stdin holds no job spec"],
    ["a number where text belongs", "run: 5\n", "stdin:1:6: run: must be text for /bin/sh -c, or a list of words"],
    [
      "each_node that no node matches",
      "run: x\neach_node: true\non: zone=none\n",
      'stdin:3:5: on: no node that is up matches "zone=none"',
    ],
  ])("%s: exit 2, with the position", async (_what, text, message) => {
    await refused(text, message);
  });

  test.each([
    [
      "jobs that wait for each other",
      "name: a\nrun: x\nafter: [c]\n---\nname: b\nrun: x\nafter: [a]\n---\nname: c\nrun: x\nafter: [b]\n",
      [/a .*b .*c|wait for each other/],
    ],
    [
      "parents that are not there",
      "run: x\nafter: [999998, {job: 999999, when: failed}]\n",
      [/after\[0\]: there is no job 999998/, /after\[1\]: there is no job 999999/],
    ],
    ["a matrix of 10^9 points", `run: x\nmatrix: {${axes}}\n`, [/matrix: .*1000000/]],
    [
      "a secret that is not there",
      "run: x\nenv: {A: {secret: nobody-has-it}}\n",
      [/env\.A: there is no secret nobody-has-it/],
    ],
  ])("%s: exit 2, with the reason", async (_what, text, patterns) => {
    const before = await newestJob();
    const said = await a.skein(["submit", "-"], { stdin: text });
    for (const pattern of patterns) expect(said.stderr).toMatch(pattern);
    expect(said).toMatchObject({ code: 2, stdout: "" });
    expect(await newestJob()).toBe(before);
  });

  test("one bad spec of several: none is submitted", async () => {
    await refused('run: "true"\n---\nrun: "true"\npriority: 500\n', "priority: must be at most 100");
    await refused(
      '{"run": "true"}\n{"run": "true", "priority": 500}\n',
      "stdin:2:1: jobs[1].priority: must be at most 100",
    );
  });

  test("bytes that are no text: exit 2", async () => {
    const file = path.join(scratch.path, "bytes");
    writeFileSync(file, Buffer.from([0xff, 0xfe, 0x00, 0x80]));
    const said = await a.skein(["submit", file]);
    expect(said).toMatchObject({
      code: 2,
      stderr: `skein: ${file} is not UTF-8 text: line 1, byte 1 of it is the first that is none\n`,
    });
  });

  test("standard input that is closed: exit 2, and a task's is empty", async () => {
    const closed = (words: string): string[] => ["-c", `exec '${binary}' ${words} <&-`];
    const shell = async (words: string) => {
      const child = Bun.spawn(["/bin/sh", ...closed(words)], {
        env: { SKEIN_DATA: a.data, HOME: scratch.path, PATH: process.env["PATH"] },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { code: await child.exited, stdout, stderr };
    };
    expect(await shell("submit -")).toEqual({ code: 2, stdout: "", stderr: "skein: stdin holds no job spec\n" });
    expect(await shell("run 'cat; echo end'")).toEqual({ code: 0, stdout: "end\n", stderr: "" });
  });
});

describe("requests", () => {
  async function post(body: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) {
    const response = await fetch(`${a.ready.api}/v1/jobs`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${a.token}`, "content-type": "application/json", ...headers },
    });
    return { status: response.status, body: (await response.json()) as { error: { code: string; message: string } } };
  }

  test("a body of 100 MiB, with and without its length announced: 413, and the node goes on", async () => {
    const body = Buffer.alloc(100 * 1024 * 1024, " ");
    const file = path.join(scratch.path, "large");
    writeFileSync(file, body);
    const curl = (more: readonly string[]) =>
      Bun.spawn(
        [
          "curl",
          "-sS",
          "-o",
          "/dev/null",
          "-w",
          "%{http_code}",
          "-H",
          `Authorization: Bearer ${a.token}`,
          ...more,
          "--data-binary",
          `@${file}`,
          `${a.ready.api}/v1/jobs`,
        ],
        { stdout: "pipe" },
      );
    expect(await post(body)).toMatchObject({ status: 413, body: { error: { code: "too-large" } } });
    if (Bun.which("curl") !== null) {
      for (const more of [
        ["-H", "Expect:"],
        ["-H", "Transfer-Encoding: chunked"],
      ]) {
        expect(await new Response(curl(more).stdout).text()).toBe("413");
      }
    }
    expect((await finished(mesh, await submit(a, { run: "true" }))).state).toBe("succeeded");
  });

  test("JSON that is broken: 400 with the position; of the wrong type: 422", async () => {
    const broken = await post('{"run": "true",\n "count": }');
    expect(broken).toMatchObject({ status: 400, body: { error: { code: "bad-json" } } });
    expect(broken.body.error.message).toContain("line 2, column 11");
    for (const body of ["[]", '"text"', "5", '{"jobs": 5}', '{"jobs": []}']) {
      expect((await post(body)).status).toBe(422);
    }
  });

  test("no token, a wrong one, and one whose rights do not suffice", async () => {
    const none = await fetch(`${a.ready.api}/v1/jobs`);
    expect(none.status).toBe(401);
    expect((await a.api("GET", "/v1/jobs", undefined, { authorization: "Bearer skein_0_0" })).status).toBe(401);
    // The id of a token that is known, with a secret of the right form that is not its own.
    const [id, secret] = /^(skein_[^_]+_)(.{32})$/.exec(a.token)!.slice(1) as [string, string];
    const other = secret.replace(/./g, (letter) => (letter === "0" ? "1" : "0"));
    for (const token of [`${id}${other}`, `${id}${secret.slice(0, -1)}`, id]) {
      const answer = await a.api("GET", "/v1/jobs", undefined, { authorization: `Bearer ${token}` });
      expect(answer).toMatchObject({ status: 401, body: { error: { code: "unauthorized" } } });
    }
    const wrong = await a.skein(["jobs", "ls", "--token", "skein_000000000000_wrong"]);
    expect(wrong.code).toBe(4);
    expect(wrong.stderr).toContain("--token or SKEIN_TOKEN");
    // A joined node's context is an operator's: it runs jobs and makes no tokens.
    const operator = await mesh.nodes[1]!.skein(["cluster", "token"]);
    expect(operator.code).toBe(4);
  });

  test("a command without any context, and no node there: exit 5, naming the address", async () => {
    const said = await skein(scratch.path, ["jobs", "ls", "--addr", "127.0.0.1:1"]);
    expect(said).toMatchObject({ code: 5, stdout: "" });
    expect(said.stderr).toContain("no node answered (http://127.0.0.1:1: connection refused)");
  });

  test("of several addresses the first one that answers is enough", async () => {
    const said = await a.skein([
      "jobs",
      "ls",
      "-o",
      "quiet",
      "--limit",
      "1",
      "--addr",
      `127.0.0.1:1,${new URL(a.ready.api).host}`,
    ]);
    expect(said).toMatchObject({ code: 0, stdout: `${await newestJob()}\n` });
  });
});

describe("work that is too much", () => {
  /** Bytes of memory that the process had at most, and of files in the node's data. */
  const peakOf = (pid: number): number =>
    1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]);
  const sizeOf = (directory: string): number =>
    existsSync(directory)
      ? readdirSync(directory, { recursive: true, withFileTypes: true }).reduce(
          (sum, file) => sum + (file.isFile() ? statSync(path.join(file.parentPath, file.name)).size : 0),
          0,
        )
      : 0;

  test("a task that prints 10 GiB is cut at its cap, and fills neither memory nor disk", async () => {
    const [MiB, GiB] = [2 ** 20, 2 ** 30];
    const id = await submit(a, { run: `head -c ${10 * GiB} /dev/zero`, output: { keep: "16MiB" } });
    expect((await finished(mesh, id, 5 * patienceMs)).state).toBe("succeeded");
    const [task] = await tasksOf(a, id);
    expect(task!.log!.bytes).toBe(16 * MiB);
    expect(task!.reason).toContain("output");
    for (const node of mesh.nodes) {
      for (const pid of [node.pid, ...node.guards()]) expect(peakOf(pid)).toBeLessThan(512 * MiB);
      expect(sizeOf(path.join(node.data, "logs"))).toBeLessThan(64 * MiB);
    }
  }, 900_000);
});

describe("a node without a quorum", () => {
  test("refuses writes with 503 and exit 5, and nothing of them happens later; stale reads go on", async () => {
    const before = await newestJob();
    await Promise.all(mesh.nodes.slice(1).map((node) => node.kill()));
    await until(
      async () => ((await fetch(`${a.ready.api}/readyz`)).status === 503 ? true : undefined),
      patienceMs,
      () => "it says that it is ready",
    );
    const [answer, said] = await Promise.all([
      a.api("POST", "/v1/jobs", { run: "true" }),
      a.skein(["submit", "-"], { stdin: 'run: "true"\n' }),
    ]);
    expect(answer).toMatchObject({ status: 503, body: { error: { code: "unavailable" } } });
    expect(answer.headers.get("retry-after")).not.toBeNull();
    expect(said).toMatchObject({ code: 5, stdout: "" });
    expect((await a.api("GET", "/v1/jobs?consistency=stale")).status).toBe(200);
    expect((await fetch(`${a.ready.api}/healthz`)).status).toBe(200);

    await Promise.all(mesh.nodes.slice(1).map((node) => node.start()));
    await mesh.leader({ voters: 3 });
    expect(await newestJob()).toBe(before);
  }, 600_000);
});
