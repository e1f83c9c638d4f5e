import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseAllDocuments } from "yaml";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { finished, submit } from "../../scripts/mesh-jobs.ts";
import { Running, skein, temporaryDirectory } from "./harness.ts";

/** Standard output belongs to programs when asked, and exit codes tell a script what happened. */
let mesh: Mesh;
let a: MeshNode;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 1 });
  a = mesh.nodes[0]!;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

describe("-o", () => {
  /** Each verb, and what -o quiet prints of it. */
  const verbs: readonly (readonly [words: readonly string[], quiet: RegExp])[] = [
    [["run", "--", "echo", "hi"], /^\d+\n$/],
    [["run", "-d", "--", "true"], /^\d+\n$/],
    [["submit", "-"], /^\d+\n\d+\n$/],
    [["wait", "1"], /^1\n$/],
    [["jobs", "ls"], /^(\d+\n)+$/],
    [["ps", "--state", "succeeded"], /^(\d+\n)+$/],
    [["jobs", "show", "1-2"], /^1\n2\n$/],
    [["jobs", "tasks", "1"], /^1\/0\n$/],
    [["jobs", "tasks", "1/0"], /^1\/0\n$/],
    [["nodes", "ls"], /^1\n$/],
    [["nodes", "show", "node-1"], /^1\n$/],
    [["nodes", "drain", "1"], /^1\n$/],
    [["nodes", "undrain", "1"], /^1\n$/],
    [["cluster", "status"], /^[0-9a-f]+\n$/],
    [["cluster", "token"], /^skein1\.[^\n]+\n$/],
    [["version"], /^\d+\.\d+\.\d+[^\n]*\n$/],
  ];
  const stdin = 'run: echo one\n---\nrun: "true"\n';

  beforeAll(async () => {
    for (const run of ["echo first", "echo second"]) await finished(mesh, await submit(a, { run }));
  });

  test.each(verbs)("%p: one value in JSON and YAML, ids in quiet", async (words, quiet) => {
    const json = await a.skein(["-o", "json", ...words], { stdin });
    expect(json).toMatchObject({ code: 0 });
    expect(json.stdout.trimEnd().split("\n").length).toBe(1);
    expect(JSON.parse(json.stdout)).toBeObject();
    const yaml = await a.skein(["-o", "yaml", ...words], { stdin });
    expect(yaml).toMatchObject({ code: 0 });
    const documents = parseAllDocuments(yaml.stdout);
    expect(documents.length).toBe(1);
    expect(documents[0]!.errors).toEqual([]);
    expect(Object.keys(documents[0]!.toJS() as object)).toEqual(Object.keys(JSON.parse(json.stdout) as object));
    const ids = await a.skein(words, { stdin, env: { SKEIN_OUTPUT: "quiet" } });
    expect(ids).toMatchObject({ code: 0 });
    expect(ids.stdout).toMatch(quiet);
  });

  test("up -o json: the ready line's object is all of standard output", async () => {
    const words = ["--data", `${scratch.path}/up`, "--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"];
    await using node = new Running(a, ["up", ...words, "-o", "json"]);
    await node.said("\n");
    const ready = JSON.parse(node.bytes.toString()) as Record<string, unknown>;
    expect(Object.keys(ready)).toEqual(["node", "cluster", "api", "peer"]);
    node.child.kill("SIGTERM");
    const { code, stdout, stderr } = await node.ended();
    expect([code, stdout.toString().trimEnd().split("\n").length]).toEqual([0, 1]);
    expect(stderr).toContain("skein run --each-node -- hostname");
    // Both streams may end in a journal: no secret is in them.
    expect(stderr).toContain("SKEIN_JOIN_TOKEN=$(skein cluster token -o quiet) skein up --join");
    expect(stderr).not.toContain("skein1.");
  });

  test("no colours and no progress bar without a terminal", async () => {
    const said = await a.skein(["run", "--count", "5", "sleep 0.1; exit 3"]);
    expect(said.code).toBe(1);
    expect(said.stdout + said.stderr).not.toContain("\u001b");
    expect((await a.skein(["jobs", "ls"])).stdout).not.toContain("\u001b");
  });
});

describe("exit codes", () => {
  test("run: 1 for a job that failed; --propagate: its own code, 127 for a missing command, 128 and a signal's number", async () => {
    const cases = [
      [["--", "true"], 0],
      [["--", "false"], 1],
      [["exit 9; "], 1],
      [["--propagate", "exit 9; "], 9],
      [["--propagate", "--", "no-such-command"], 127],
      [["--propagate", "kill -TERM $$"], 143],
      [["--propagate", "--count", "3", "exit $SKEIN_INDEX"], 2],
    ] as const;
    for (const [words, code] of cases) expect([words, (await a.skein(["run", ...words])).code]).toEqual([words, code]);
  });

  test("run: standard output and error are the command's own, nothing is added when all is well", async () => {
    const said = await a.skein(["run", "echo out; echo err >&2"]);
    expect(said).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" });
    const piped = await a.skein(["run", "--stdin", "-", "--", "tr", "a-z", "A-Z"], { stdin: "shout" });
    expect(piped).toMatchObject({ code: 0, stdout: "SHOUT" });
  });

  test("wait: 0, 1, and 124 when the time is up while the job goes on", async () => {
    const good = await submit(a, { run: "true" });
    const bad = await submit(a, { run: "false" });
    const long = await submit(a, { run: "sleep 60" });
    expect(await a.skein(["wait", String(good)])).toMatchObject({ code: 0 });
    expect(await a.skein(["wait", `${good},${bad}`])).toMatchObject({ code: 1 });
    const late = await a.skein(["wait", `${good}-${long}`, "--timeout", "100ms"]);
    expect(late.code).toBe(124);
    expect(late.stderr).toContain("the time is up");
    expect((await a.api("GET", `/v1/jobs/${long}`)).body).toMatchObject({ state: "running" });
    await a.skein(["cancel", String(long)]);
    expect((await a.skein(["wait", String(long)])).code).toBe(1);
  });
});

describe("without a mesh", () => {
  test("version, help and completion need no node", async () => {
    const { stdout: version } = await skein(scratch.path, ["version"]);
    expect(version).toMatch(/^skein \d+\.\d+\.\d+/);
    expect(await skein(scratch.path, ["--version"])).toMatchObject({ code: 0 });
    const help = await skein(scratch.path, ["--help"]);
    for (const verb of [
      "up",
      "leave",
      "run",
      "submit",
      "wait",
      "jobs",
      "logs",
      "cancel",
      "nodes",
      "cluster",
      "completion",
    ]) {
      expect(help.stdout).toMatch(new RegExp(`^  ${verb} `, "m"));
    }
    for (const shell of ["zsh", "fish"]) {
      expect((await skein(scratch.path, ["completion", shell])).stdout).toContain("propagate");
    }
  });

  test.skipIf(Bun.which("bash") === null)("bash completes verbs, flags and values with the script", async () => {
    const { stdout: script } = await skein(scratch.path, ["completion", "bash"]);
    const complete = (words: readonly string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(" ");
      const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _skein; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const ran = Bun.spawnSync(["bash", "-c", `${script}\n${ask}`]);
      return ran.stdout.toString().trimEnd().split("\n");
    };
    expect(complete(["skein", "ru"])).toEqual(["run"]);
    expect(complete(["skein", "jobs", "c"])).toEqual(["cancel"]);
    expect(complete(["skein", "--addr", "x", "nodes", "un"])).toEqual(["undrain"]);
    expect(complete(["skein", "run", "--prop"])).toEqual(["--propagate"]);
    expect(complete(["skein", "jobs", "ls", "-o", "y"])).toEqual(["yaml"]);
  });
});
