import { describe, expect, test } from "bun:test";
import { until } from "../../scripts/mesh.ts";
import { cli, ServedMesh, start, TestIo } from "./support.ts";

/** A run under way: its job is submitted and its first task runs. */
async function running(served: ServedMesh, argv: readonly string[], io = new TestIo()) {
  const code = start(["run", ...argv], served.env, io);
  const id = await served.submitted();
  served.assign(id);
  return { id, code, io, log: served.mesh.log(id) };
}

describe("run", () => {
  test("streams both outputs while the job runs and exits with its result", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["--", "make", "-j4"]);
    expect(served.mesh.cluster.job(id).spec["run"]).toEqual(["make", "-j4"]);
    log.write("compiling\n");
    await io.stdout.has("compiling\n");
    log.write("a warning\n", "stderr");
    await io.stderr.has("a warning\n");
    log.write(new Uint8Array([0xff, 0x00, 0x0a]));
    served.finish(id);
    expect(await code).toBe(0);
    expect(Buffer.concat(io.stdout.bytes)).toEqual(Buffer.from("compiling\n\u00ff\u0000\n", "latin1"));
    expect(io.stderr.text).toBe("a warning\n");
  });

  test("a failed job exits 1 and says which task and why; --propagate gives its code", async () => {
    for (const [flags, expected] of [
      [[], 1],
      [["--propagate"], 127],
    ] as const) {
      using served = new ServedMesh();
      const { id, code, io } = await running(served, [...flags, "--", "mkae"]);
      served.finish(id, 0, "failed", { exitCode: 127, reason: "no such command: mkae" });
      expect(await code).toBe(expected);
      expect(io.stderr.text).toContain("task 0: exit 127 on node 1: no such command: mkae");
    }
  });

  test("--propagate of a killed command is 128 and the signal", async () => {
    using served = new ServedMesh();
    const { id, code } = await running(served, ["--propagate", "--", "x"]);
    served.finish(id, 0, "failed", { exitCode: null, signal: "SIGKILL" });
    expect(await code).toBe(137);
  });

  test("--propagate of what timed out, was lost or not reached is 255, whatever others gave", async () => {
    const unreachable = { exitCode: null, reason: "unreachable: web2 port 22: refused" } as const;
    for (const [driver, state, more, expected] of [
      ["shell", "timeout", { exitCode: null, signal: "SIGKILL" }, 255],
      ["shell", "lost", { exitCode: null }, 255],
      ["ssh", "failed", unreachable, 255],
      ["shell", "failed", unreachable, 3],
    ] as const) {
      using served = new ServedMesh();
      const argv = ["run", "--propagate", "--driver", driver, "--on-lost", "fail", "--target", "web[1-2]", "--", "x"];
      const code = start(argv, served.env, new TestIo());
      const id = await served.submitted();
      for (const task of [0, 1]) served.assign(id, task);
      served.finish(id, 0, "failed", { exitCode: 3 });
      served.finish(id, 1, state, more);
      expect(await code).toBe(expected);
    }
  });

  test("--propagate looks at all that failed, however many", async () => {
    using served = new ServedMesh();
    const count = 1200;
    const code = start(["run", "--propagate", "--count", String(count), "--", "x"], served.env, new TestIo());
    const id = await served.submitted();
    served.mesh.change((cluster) => {
      for (let task = 0; task < count; task++) {
        cluster.assign(id, 1, [task, 1]);
        cluster.finish(id, task, 1, 1, "failed", { exitCode: task === 1100 ? 9 : 1 });
      }
    });
    expect(await code).toBe(9);
  });

  test("several tasks come in whole lines with their number", async () => {
    using served = new ServedMesh();
    const { id, code, io } = await running(served, ["--count", "2", "--", "x"]);
    served.assign(id, 1);
    served.mesh.log(id, 1).write("from one, ");
    served.mesh.log(id, 0).write("from zero\n");
    await io.stdout.has("0| from zero\n");
    served.mesh.log(id, 1).write("whole\nand the rest");
    await io.stdout.has("1| from one, whole\n");
    served.finish(id, 0);
    served.finish(id, 1);
    expect(await code).toBe(0);
    expect(io.stdout.text).toContain("1| and the rest\n");
  });

  test("tasks of --each-node are called by their node", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["--each-node", "--", "hostname"]);
    served.mesh.change((cluster) => cluster.join(2));
    log.write("host\n");
    served.finish(id);
    expect(await code).toBe(0);
    expect(io.stdout.text).toBe("host\n");
  });

  test("flags become the spec", async () => {
    using served = new ServedMesh();
    const flags = "-d --name n --count 3 --on zone=eu --slots 2 --parallel 2 --priority 9 --retries 4 --timeout 1h30m";
    const more = "--env A=b=c --env D= --dir /srv --label team=docs --tail 4KiB --on-lost fail --stdin -";
    const io = new TestIo({ stdin: "input" });
    const ran = await cli(["run", ...`${flags} ${more}`.split(" "), "--", "echo", "--name", "x"], served.env, io);
    expect(ran).toEqual({ code: 0, out: "1\n", err: "" });
    expect(served.mesh.cluster.job(1).spec).toMatchObject({
      name: "n",
      run: ["echo", "--name", "x"],
      count: 3,
      on: "zone=eu",
      slots: 2,
      parallel: 2,
      priority: 9,
      retries: { max: 4 },
      timeout: "1h30m",
      env: { A: "b=c", D: "" },
      dir: "/srv",
      stdin: "input",
      labels: { team: "docs" },
      output: { tail: "4KiB" },
      on_lost: "fail",
    });
  });

  test("every flag of a spec becomes what it is there", async () => {
    using served = new ServedMesh();
    const flags =
      "-d --retries 4 --backoff 3s --backoff-factor 1.5 --backoff-cap 1m --jitter 0.2 --retry-on failed,timeout --grace 0s";
    const more = "--max-failures 10% --ttl 1h --tail 4KiB --keep 1MiB --copies 1 --driver noop";
    const ran = await cli(["run", ...`${flags} ${more}`.split(" "), "--", "x"], served.env);
    expect(ran).toEqual({ code: 0, out: "1\n", err: "" });
    expect(served.mesh.cluster.job(1).spec).toEqual({
      driver: "noop",
      retries: { max: 4, backoff: "3s", factor: 1.5, cap: "1m", jitter: 0.2, on: ["failed", "timeout"] },
      grace: "0s",
      max_failures: "10%",
      ttl: "1h",
      output: { tail: "4KiB", keep: "1MiB", copies: 1 },
    });
    const lacking = await cli(["run", "--backoff", "3s", "--jitter", "much", "--", "x"], served.env);
    expect(lacking.code).toBe(2);
    expect(lacking.err).toContain('--jitter: "much" is not a number');
    expect(lacking.err).toContain("--retries: is missing");
  });

  test("one word with spaces is a line for the shell; without -- the first word ends the flags", async () => {
    using served = new ServedMesh();
    await cli(["run", "-d", "echo $HOME | wc"], served.env);
    await cli(["run", "-d", "ls", "-l", "--detach"], served.env);
    expect(served.mesh.cluster.job(1).spec["run"]).toBe("echo $HOME | wc");
    expect(served.mesh.cluster.job(2).spec["run"]).toEqual(["ls", "-l", "--detach"]);
  });

  test("wrong flags are told together, before anything is sent", async () => {
    const flags = "--timeout -5s --count 0 --env x --on a==b=c!= --label ! --retries many --tail 2XB --on-lost panic";
    const { code, err } = await cli(["run", ...flags.split(" "), "--", "x"], { SKEIN_ADDR: "http://127.0.0.1:9" });
    expect(code).toBe(2);
    for (const flag of ["timeout", "count", "env", "on", "label", "retries", "tail", "on-lost"]) {
      expect(err).toContain(`  --${flag}: `);
    }
  });

  test("a playbook that is no YAML is refused with its place; what ansible itself has in it is taken", async () => {
    using served = new ServedMesh();
    const run = (playbook: string): ReturnType<typeof cli> =>
      cli(
        ["run", "-d", "--driver", "ansible", "--target", "web1", "--playbook", "-"],
        served.env,
        new TestIo({ stdin: playbook }),
      );
    const { code, err } = await run("- hosts: all\n  tasks:\n    - debug: {msg: one\n");
    expect(code).toBe(2);
    expect(err).toContain("stdin:4:1: ");
    for (const good of [
      "- hosts: all\n  vars:\n    word: !vault |\n      $ANSIBLE_VAULT;1.1;AES256\n      3631\n    word: !unsafe '{{ x }}'\n",
      "$ANSIBLE_VAULT;1.1;AES256\n36313236\n38333336\n",
      "---\n- hosts: all\n  tasks: [\n    {debug: {msg: '{{ x }}'}},\n  ]\n...\n",
    ])
      expect(await run(good)).toMatchObject({ code: 0, err: "" });
  });

  test("with -o json stdout is one value and the output goes to stderr", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["-o", "json", "--", "x"]);
    log.write("hello\n");
    served.finish(id);
    expect(await code).toBe(0);
    expect(JSON.parse(io.stdout.text)).toMatchObject({ id, state: "succeeded" });
    expect(io.stderr.text).toBe("hello\n");
  });

  test("output that cannot be had does not change the result", async () => {
    using served = new ServedMesh();
    served.node.unreachableLogs.add("1/0.1");
    const { id, code, io } = await running(served, ["--", "x"]);
    served.finish(id);
    expect(await code).toBe(0);
    expect(io.stderr.text).toContain("output of task 0 is missing");
  });

  test("interrupted: the job goes on, and how to end it is told", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["--", "x"]);
    log.write("a\n");
    await io.stdout.has("a\n");
    io.interrupt();
    expect(await code).toBe(130);
    expect(io.stderr.text).toContain("skein cancel 1");
    expect(served.mesh.cluster.job(id).state).toBe("running");
    expect(served.mesh.cluster.job(id).cancelling).toBeFalsy();
  });

  test("--cancel-on-interrupt cancels the job and waits for its end", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["--cancel-on-interrupt", "--", "x"]);
    log.write("a\n");
    await io.stdout.has("a\n");
    io.interrupt();
    await io.stderr.has("cancelling job 1");
    await until(
      () => Promise.resolve(served.mesh.cluster.job(id).cancelling === true ? true : undefined),
      10_000,
      () => "the job was not cancelled",
    );
    served.finish(id, 0, "cancelled");
    expect(await code).toBe(1);
    expect(io.stderr.text).toContain("job 1 was cancelled");
  });

  test("nobody reads its output any more: it ends, the job goes on", async () => {
    using served = new ServedMesh();
    const { id, code, io, log } = await running(served, ["--", "yes"]);
    log.write("y\n");
    await io.stdout.has("y\n");
    io.stdout.close();
    expect(await code).toBe(130);
    expect(served.mesh.cluster.job(id).state).toBe("running");
  });
});

describe("logs", () => {
  test("of a task, of a job, of one stream, of the last lines", async () => {
    using served = new ServedMesh();
    const id = served.submit({ count: 2 });
    for (const task of [0, 1]) {
      served.assign(id, task);
      served.mesh.log(id, task).write(`out ${task}\nmore\n`).write(`err ${task}\n`, "stderr");
      served.finish(id, task);
    }
    expect(await cli(["logs", "1/1"], served.env)).toEqual({ code: 0, out: "out 1\nmore\n", err: "err 1\n" });
    const all = await cli(["logs", "last"], served.env);
    expect([all.out, all.err]).toEqual(["0| out 0\n0| more\n1| out 1\n1| more\n", "0| err 0\n1| err 1\n"]);
    expect((await cli(["logs", "1/0", "--stream", "stderr"], served.env)).out).toBe("");
    expect((await cli(["logs", "1/0", "--tail", "1", "--stream", "stdout"], served.env)).out).toBe("more\n");
  });

  test("-f goes on until the task has ended", async () => {
    using served = new ServedMesh();
    const id = served.submit();
    const io = new TestIo();
    const code = start(["logs", "1", "-f"], served.env, io);
    served.assign(id);
    served.mesh.log(id).write("first\n");
    await io.stdout.has("first\n");
    served.mesh.log(id).write("second\n");
    await io.stdout.has("second\n");
    served.finish(id);
    expect(await code).toBe(0);
  });
});
