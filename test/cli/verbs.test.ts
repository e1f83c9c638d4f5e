import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { parse } from "yaml";
import { Cli } from "../../src/cli/cli.ts";
import { laterVerbs } from "../../src/cli/later.ts";
import { buildProgram } from "../../src/cli/program.ts";
import { nodeId } from "../../src/lib/ids.ts";
import { operatorToken, viewerToken } from "../http/fake-node.ts";
import { cli, ScratchDir, ServedMesh, start, TestIo } from "./support.ts";

describe("what is typed wrongly", () => {
  test.each([
    [["run", "--cuont", "3", "--", "ls"], "--count"],
    [["jbos", "ls"], "jobs"],
    [["jobs", "lst"], "ls"],
  ])("%p is answered with a suggestion", async (argv, suggestion) => {
    const { code, out, err } = await cli(argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^skein: unknown /);
    expect(err).toContain(`did you mean ${suggestion}?`);
    expect(err.trim().split("\n")).toHaveLength(1);
  });

  test.each([
    [["jobs"]],
    [["wait"]],
    [["wait", "five"]],
    [["wait", "1", "--timeout", "-1s"]],
    [["submit", "/nonexistent/spec.yaml"]],
    [["jobs", "ls", "--state", "done"]],
    [["jobs", "ls", "--limit", "5000"]],
    [["jobs", "ls", "-o", "xml"]],
    [["completion", "tcsh"]],
    [["--addr", "ftp://x", "jobs", "ls"]],
    [["version", "more"]],
  ])("%p exits 2", async (argv) => {
    const { code, out, err } = await cli(argv);
    expect([code, out]).toEqual([2, ""]);
    expect(err).not.toBe("");
  });

  test("a form of output in the environment that does not exist", async () => {
    const { code, err } = await cli(["jobs", "ls"], { SKEIN_OUTPUT: "xml" });
    expect([code, err.includes("SKEIN_OUTPUT")]).toEqual([2, true]);
  });

  test("help and version are no mistakes", async () => {
    expect(await cli(["--version"])).toEqual({ code: 0, out: "skein 0.1.0\n", err: "" });
    expect((await cli(["run", "--help"])).code).toBe(0);
  });
});

describe("what the contract has and this version has not", () => {
  const words = laterVerbs.map((verb) => verb.words);

  test("every verb of the contract is either built or refused by name", () => {
    const contract = readFileSync(join(import.meta.dir, "../../docs/contract.md"), "utf8");
    const commands = contract.slice(contract.indexOf("## Commands"), contract.indexOf("Global: `--addr"));
    const listed = (verb: string): string[] =>
      new RegExp(`^skein ${verb} +([a-z|]+)`, "m")
        .exec(commands)![1]!
        .split("|")
        .map((one) => `${verb} ${one}`);
    const named = [...commands.matchAll(/(?:^|; )skein ([a-z]+)/gm)].map((match) => match[1]!);
    const groups = ["jobs", "nodes", "cluster", "bench", "token"];
    const all = [...named.filter((name) => !groups.includes(name)), ...groups.flatMap(listed)];
    expect(all).toContain("bench failover");
    const unused = (): never => expect.unreachable();
    const actions = {
      version: "0.1.0",
      up: () => Promise.resolve(0),
      askForToken: unused,
      openStopped: unused,
      restore: unused,
    };
    const program = buildProgram(new Cli({}, new TestIo(), actions));
    for (const one of all) {
      const found = one
        .split(" ")
        .reduce<Command | undefined>((at, name) => at?.commands.find((sub) => sub.name() === name), program);
      expect([one, found !== undefined]).toEqual([one, true]);
    }
  });

  test.each(words)("skein %s is refused by its name, whatever follows", async (verb) => {
    for (const more of [[], ["5", "--only", "failed"], ["--help"], ["-o", "json"]]) {
      const { code, out, err } = await cli([...verb.split(" "), ...more]);
      expect([code, out]).toEqual([2, ""]);
      expect(err).toStartWith(`skein: '${verb}' is not built yet in this version (docs/status.md says what is); `);
      expect(err.trim().split("\n")).toHaveLength(1);
    }
  });

  test("it is neither in the help nor in a completion", async () => {
    expect((await cli(["--help"])).out).not.toMatch(/^ +(alert|console)/m);
    const { out } = await cli(["completion", "bash"]);
    expect(out).toContain("jobs ls");
    for (const verb of ["alert", "bench failover"]) expect(out).not.toMatch(new RegExp(`\\b${verb}\\b`));
  });
});

describe("errors of the mesh become exit codes", () => {
  test("no node: 5, and the address is told", async () => {
    const { code, err } = await cli(["jobs", "ls"], { SKEIN_ADDR: "http://127.0.0.1:9" });
    expect([code, err.includes("127.0.0.1:9"), err.startsWith("skein: ")]).toEqual([5, true, true]);
  });

  test("no such job: 3", async () => {
    using served = new ServedMesh();
    for (const argv of [
      ["wait", "7"],
      ["jobs", "show", "7"],
      ["jobs", "tasks", "7"],
      ["logs", "7"],
      ["cancel", "7"],
    ]) {
      expect([argv, (await cli(argv, served.env)).code]).toEqual([argv, 3]);
    }
    expect((await cli(["nodes", "show", "nobody"], served.env)).code).toBe(3);
    expect((await cli(["wait", "last"], served.env)).code).toBe(3);
  });

  test("a wrong token, or one that may not: 4", async () => {
    using served = new ServedMesh();
    const wrong = await cli(["jobs", "ls", "--token", "wrong"], served.env);
    expect([wrong.code, wrong.err.includes("SKEIN_TOKEN")]).toEqual([4, true]);
    expect((await cli(["run", "--token", viewerToken, "--", "ls"], served.env)).code).toBe(4);
    expect((await cli(["cluster", "token", "--token", operatorToken], served.env)).code).toBe(4);
  });

  test("an invalid spec: 2, every problem with its place in the file", async () => {
    using served = new ServedMesh();
    using dir = new ScratchDir();
    const path = dir.write("bad.yaml", "run: ''\ncount: 0\ntimeout: -5s\nretries: {max: -1}\nprioritty: 3\n");
    const { code, err } = await cli(["submit", path], served.env);
    expect(code).toBe(2);
    expect(err.trim().split("\n")).toHaveLength(6);
    for (const place of ["1:6: run", "2:8: count", "3:10: timeout", "4:16: retries.max", "prioritty"]) {
      expect(err).toContain(place);
    }
  });

  test("a key used for another body: 6", async () => {
    using served = new ServedMesh();
    expect((await cli(["run", "-d", "--idempotency-key", "k", "--", "a"], served.env)).code).toBe(0);
    expect((await cli(["run", "-d", "--idempotency-key", "k", "--", "b"], served.env)).code).toBe(6);
  });
});

describe("submit", () => {
  test("prints the ids: one a line, or one value", async () => {
    using served = new ServedMesh();
    using dir = new ScratchDir();
    const path = dir.write("two.yaml", "run: a\n---\nrun: b\n");
    expect(await cli(["submit", path], served.env)).toEqual({ code: 0, out: "1\n2\n", err: "" });
    expect((await cli(["submit", path, "-o", "quiet"], served.env)).out).toBe("3\n4\n");
    expect(JSON.parse((await cli(["-o", "json", "submit", path], served.env)).out)).toEqual({ ids: [5, 6] });
    const one = await cli(["submit", "-", "-o", "yaml"], served.env, new TestIo({ stdin: '{"run":"c"}' }));
    expect(parse(one.out)).toEqual({ id: 7, ids: [7] });
  });

  test("under a key it is done once", async () => {
    using served = new ServedMesh();
    const again = ["submit", "-", "--idempotency-key", "k"];
    await cli(again, served.env, new TestIo({ stdin: "run: a" }));
    const { out, err } = await cli(again, served.env, new TestIo({ stdin: "run: a" }));
    expect([out, err.includes("before")]).toEqual(["1\n", true]);
  });

  test("--wait exits as wait does", async () => {
    using served = new ServedMesh();
    const io = new TestIo({ stdin: "run: a" });
    const code = start(["submit", "-", "--wait"], served.env, io);
    const id = await served.submitted();
    served.assign(id);
    served.finish(id, 0, "failed");
    expect(await code).toBe(1);
  });
});

describe("wait", () => {
  test("exits 0 when all succeeded, 1 when one did not", async () => {
    using served = new ServedMesh();
    const [good, bad] = [served.submit(), served.submit()];
    for (const id of [good, bad]) served.assign(id);
    served.finish(good);
    expect(await cli(["wait", "1"], served.env)).toMatchObject({ code: 0 });
    served.finish(bad, 0, "failed");
    const { code, out } = await cli(["wait", "1-2", "-o", "json"], served.env);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toEqual({
      finished: true,
      jobs: [
        { id: 1, state: "succeeded" },
        { id: 2, state: "failed" },
      ],
    });
  });

  test("returns when the job ends", async () => {
    using served = new ServedMesh();
    const id = served.submit();
    served.assign(id);
    const io = new TestIo();
    const code = start(["wait", "last", "-o", "quiet"], served.env, io);
    await io.stderr.has("0/1 done");
    served.finish(id);
    expect([await code, io.stdout.text]).toEqual([0, "1\n"]);
  });

  test("gives up after --timeout with 124; the job goes on", async () => {
    using served = new ServedMesh();
    served.submit();
    const { code, out, err } = await cli(["wait", "1", "--timeout", "50ms", "-o", "json"], served.env);
    expect([code, JSON.parse(out)]).toEqual([124, { finished: false, jobs: [{ id: 1, state: "queued" }] }]);
    expect(err).toContain("the time is up");
  });

  test("interrupted: 130", async () => {
    using served = new ServedMesh();
    served.submit();
    const io = new TestIo();
    const code = start(["wait", "1"], served.env, io);
    await io.stderr.has("0/1 done");
    io.interrupt();
    expect(await code).toBe(130);
  });
});

describe("looking", () => {
  test("jobs in every form", async () => {
    using served = new ServedMesh();
    served.submit({ name: "build", count: 3 });
    served.submit({ name: "test" });
    served.assign(1, 2);
    served.finish(1, 2, "failed");
    const { out } = await cli(["ps"], served.env);
    const lines = out.trim().split("\n");
    expect(lines[0]).toMatch(/^ *ID +NAME +STATE +TASKS +FAILED/);
    expect(lines[2]).toMatch(/1 +build +running +1\/3 +1 /);
    expect((await cli(["jobs", "ls", "-o", "quiet"], served.env)).out).toBe("2\n1\n");
    const listed = JSON.parse(
      (await cli(["jobs", "ls", "--name", "test"], { ...served.env, SKEIN_OUTPUT: "json" })).out,
    );
    expect(listed.jobs.map((job: { id: number }) => job.id)).toEqual([2]);
    const page = await cli(["jobs", "ls", "--limit", "1"], served.env);
    expect(page.err).toContain("--next");
    const next = /--next (\S+)/.exec(page.err)![1]!;
    expect((await cli(["jobs", "ls", "-o", "quiet", "--next", next], served.env)).out).toBe("1\n");
  });

  test("one job, several, and their tasks", async () => {
    using served = new ServedMesh();
    served.submit({ name: "build", count: 2 });
    served.submit();
    served.assign(1, 0);
    served.finish(1, 0, "failed", { reason: "no such command: mkae" });
    expect((await cli(["jobs", "show", "1"], served.env)).out).toMatch(/tasks +1 queued, 1 failed/);
    expect(JSON.parse((await cli(["jobs", "show", "1", "-o", "json"], served.env)).out).name).toBe("build");
    expect(JSON.parse((await cli(["jobs", "show", "1,2", "-o", "json"], served.env)).out).jobs).toHaveLength(2);
    const { out } = await cli(["jobs", "tasks", "1"], served.env);
    expect(out).toContain("no such command: mkae");
    expect((await cli(["jobs", "tasks", "1", "--state", "queued", "-o", "quiet"], served.env)).out).toBe("1/1\n");
    expect(JSON.parse((await cli(["jobs", "tasks", "1/0", "-o", "json"], served.env)).out).exit_code).toBe(1);
  });

  test("cancelling goes on past what cannot be cancelled", async () => {
    using served = new ServedMesh();
    served.submit();
    served.submit();
    const { code, out, err } = await cli(["jobs", "cancel", "1,9,2", "-o", "json"], served.env);
    expect([code, JSON.parse(out)]).toEqual([3, { cancelling: [1, 2] }]);
    expect(err).toContain("job 9");
    expect(served.mesh.cluster.job(2).state).toBe("cancelled");
  });

  test("of several nodes nothing is done where one is mistyped", async () => {
    using served = new ServedMesh();
    served.mesh.change((cluster) => cluster.join(2));
    const before = served.mesh.cluster.database.applied;
    for (const verb of ["drain", "rm", "promote", "demote"]) {
      const { code, err } = await cli(["nodes", verb, "n2", "nosuch"], served.env);
      expect([verb, code, err]).toEqual([verb, 3, "skein: nothing was done\n  there is no node nosuch\n"]);
    }
    expect(served.mesh.cluster.database.applied).toBe(before);
  });

  test("what was done before a later token is refused is told", async () => {
    using served = new ServedMesh();
    const made = await cli(["token", "create", "--role", "viewer", "-o", "json"], served.env);
    const { id } = JSON.parse(made.out) as { id: string };
    const { code, err } = await cli(["token", "revoke", id, "nosuch"], served.env);
    expect([code, err]).toEqual([3, expect.stringContaining(`skein: done before: token ${id}\n`)]);
  });

  test("a lost quorum is said, and what there is to do about it", async () => {
    using served = new ServedMesh();
    served.mesh.change((cluster) => [2, 3].forEach((id) => cluster.join(id)));
    served.node.ready = false;
    served.node.voters = [nodeId(1), nodeId(2), nodeId(3)];
    served.node.peers = [2, 3].map((id) => ({ node: nodeId(id), connected: false, lag: null, leaseMs: null }));
    const { out } = await cli(["nodes", "ls"], served.env);
    expect(out).toMatch(/n3 +voter +silent/);
    expect(out).toContain(
      "no quorum: of 3 voters 2 are not connected: 2 (n2), 3 (n3). Writes wait until 2 are up again.",
    );
    expect(out).toContain("skein cluster recover");
  });

  test("nodes: list, show, drain, undrain, remove", async () => {
    using served = new ServedMesh();
    served.mesh.change((cluster) => cluster.join(2));
    expect((await cli(["nodes", "ls"], served.env)).out).toMatch(/n2 +learner +up +127\.0\.0\.1:7402/);
    expect((await cli(["nodes", "drain", "n2"], served.env)).out).toBe("node 2 is draining\n");
    expect(JSON.parse((await cli(["nodes", "show", "2", "-o", "json"], served.env)).out).state).toBe("draining");
    expect((await cli(["nodes", "undrain", "2", "-o", "quiet"], served.env)).out).toBe("2\n");
    expect((await cli(["nodes", "rm", "2"], served.env)).code).toBe(0);
    expect((await cli(["nodes", "ls", "-o", "quiet"], served.env)).out).toBe("1\n");
  });

  test("the cluster, and tokens for it", async () => {
    using served = new ServedMesh();
    expect((await cli(["cluster", "status"], served.env)).out).toMatch(/leader +1 \(n1\)/);
    expect(JSON.parse((await cli(["cluster", "status", "-o", "json"], served.env)).out).leader).toBe(1);
    const token = await cli(["cluster", "token", "--ttl", "1h", "--uses", "2", "-o", "quiet"], served.env);
    expect(token).toEqual({ code: 0, out: "skein1.h.3600000.2\n", err: "" });
    expect((await cli(["cluster", "token", "--uses", "0"], served.env)).code).toBe(2);
  });

  test("leave is about one address", async () => {
    using served = new ServedMesh();
    expect((await cli(["leave", "--addr", `${served.url},http://127.0.0.1:9`], served.env)).code).toBe(2);
    expect(served.node.left).toBe(false);
    expect((await cli(["leave"], served.env)).code).toBe(0);
    expect(served.node.left).toBe(true);
  });

  test("colours only on a terminal, and not when they are unwanted", async () => {
    using served = new ServedMesh();
    served.submit();
    const colour = "\u001b[";
    expect((await cli(["ps"], served.env)).out).not.toContain(colour);
    expect((await cli(["ps"], served.env, new TestIo({ tty: true }))).out).toContain(colour);
    expect((await cli(["ps", "--no-color"], served.env, new TestIo({ tty: true }))).out).not.toContain(colour);
    expect((await cli(["--no-color", "ps"], served.env, new TestIo({ tty: true }))).out).not.toContain(colour);
    expect((await cli(["ps"], { ...served.env, NO_COLOR: "1" }, new TestIo({ tty: true }))).out).not.toContain(colour);
  });
});
