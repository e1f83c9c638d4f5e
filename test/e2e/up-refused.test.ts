import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { Mesh, type MeshNode } from "../../scripts/mesh.ts";
import { submit } from "../../scripts/mesh-jobs.ts";
import { temporaryDirectory } from "./harness.ts";

/** `skein up` that cannot be: each reason with one message for people and the exit code of the contract. */
let mesh: Mesh;
let member: MeshNode;
let scratch: ReturnType<typeof temporaryDirectory>;

beforeAll(async () => {
  scratch = temporaryDirectory();
  mesh = await Mesh.start({ nodes: 1 });
  member = mesh.nodes[0]!;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
  scratch[Symbol.dispose]();
}, 600_000);

interface Ended {
  readonly code: number | null;
  readonly message: string;
  readonly wasReady: boolean;
}

/** It ended by itself with this code and said all of this, without a stack trace. */
function expectRefused(ended: Ended, code: number, ...texts: readonly string[]): void {
  for (const text of texts) expect(ended.message).toContain(text);
  expect(ended.message).not.toMatch(/^\s+at /m);
  expect({ code: ended.code, wasReady: ended.wasReady }).toEqual({ code, wasReady: false });
}

const anyPorts = ["--api", "127.0.0.1:0", "--peer", "127.0.0.1:0"];

/** Runs `up` until it ends by itself, or, when it becomes ready, kills it. */
async function up(words: readonly string[], as: readonly string[] = []): Promise<Ended> {
  const marks = Object.entries(process.env).filter(([name]) => name.startsWith("SKEIN_TEST_"));
  const child = Bun.spawn([...as, binary, "up", ...words], {
    env: { ...Object.fromEntries(marks), PATH: process.env["PATH"], HOME: scratch.path, XDG_CONFIG_HOME: scratch.path },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const errors = new Response(child.stderr).text();
  let stdout = "";
  for await (const chunk of child.stdout) {
    stdout += Buffer.from(chunk).toString();
    if (/^ready /m.test(stdout)) child.kill("SIGKILL");
  }
  await child.exited;
  return { code: child.exitCode, message: await errors, wasReady: /^ready /m.test(stdout) };
}

function fresh(name: string): string {
  return path.join(scratch.path, name);
}

async function join(words: readonly string[], name = "joiner"): Promise<Ended> {
  return up(["--data", fresh(name), ...anyPorts, "--join", mesh.addresses(), ...words]);
}

/** The parts of a good token, to be spoilt. */
async function tokenParts(): Promise<[string, string, string, string]> {
  return (await mesh.joinToken()).split(".") as [string, string, string, string];
}

describe("flags", () => {
  test.each([
    [["--bogus"], "unknown option '--bogus'"],
    [["extra"], "too many arguments"],
    [["--slots", "-1"], '--slots: "-1" is not a whole number'],
    [["--api", "127.0.0.1:99999"], '--api: "127.0.0.1:99999" is not HOST:PORT'],
    [["--advertise", "http://a"], '--advertise: "http://a" is not a host\'s name or address'],
    [["--token", "skein1.a.b.c"], "a join token goes with --join"],
    [["--join", "127.0.0.1:1", "--join-timeout=-5s"], '--join-timeout: "-5s" is not a duration'],
    [["--config", "/none.yaml"], "cannot read /none.yaml: there is no such file"],
  ])("%p: exit 2", async (words, message) => {
    const refused = await up(["--data", fresh("flags"), ...words]);
    expectRefused(refused, 2, message);
    expect(existsSync(fresh("flags"))).toBe(false);
  });
});

describe("this host", () => {
  test("the API's or the peers' port is in use: exit 7, before there is a cluster", async () => {
    const { api, peer } = member.ready;
    const busyApi = await up(["--data", fresh("ports"), "--api", new URL(api).host, "--peer", "127.0.0.1:0"]);
    expectRefused(busyApi, 7, `${new URL(api).host}: it is in use`);
    const busyPeer = await up(["--data", fresh("ports"), "--api", "127.0.0.1:0", "--peer", peer]);
    expectRefused(busyPeer, 7, `${peer} is in use`);
    expect(existsSync(path.join(fresh("ports"), "identity.json"))).toBe(false);
    // Nor has a joiner asked for a place that it could not take.
    const words = ["--join", mesh.addresses(), "--token", await mesh.joinToken()];
    expectRefused(await up(["--data", fresh("ports"), "--api", "127.0.0.1:0", "--peer", peer, ...words]), 7);
    expect(((await member.api("GET", "/v1/nodes")).body as { nodes: unknown[] }).nodes.length).toBe(1);
  });

  test("a name that stands for no address: exit 7, and says that", async () => {
    const api = await up(["--data", fresh("name"), "--api", "no-such-host.invalid:0", "--peer", "127.0.0.1:0"]);
    expectRefused(api, 7, "no-such-host.invalid:0", "the name no-such-host.invalid does not resolve", "--api");
    const peer = await up(["--data", fresh("name"), "--api", "127.0.0.1:0", "--peer", "no-such-host.invalid:0"]);
    expectRefused(peer, 7, "the name no-such-host.invalid does not resolve", "--peer");
  });

  test("the data directory is in use by a running node: exit 7, with its pid", async () => {
    const refused = await up(["--data", member.data, ...anyPorts]);
    expectRefused(refused, 7, `in use by another process (pid ${member.pid})`);
  });

  test("the data directory is a file, or cannot be made: exit 7", async () => {
    writeFileSync(fresh("a-file"), "");
    expectRefused(
      await up(["--data", fresh("a-file"), ...anyPorts]),
      7,
      "is not a directory: choose another one with --data",
    );
    expectRefused(await up(["--data", path.join(fresh("a-file"), "below"), ...anyPorts]), 7);
  });

  // Root may write everywhere: it becomes another user for this.
  const asNobody = process.getuid?.() === 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  test.skipIf(asNobody.length > 0 && Bun.which("setpriv") === null)(
    "the data directory may not be written: exit 7",
    async () => {
      const directory = fresh("read-only");
      mkdirSync(directory, { mode: 0o555 });
      chmodSync(scratch.path, 0o755);
      const refused = await up(["--data", directory, ...anyPorts], asNobody);
      expectRefused(refused, 7, "cannot be written by this user");
    },
  );

  const canMount = process.getuid?.() === 0 && process.platform === "linux" && mounts();
  for (const [what, size] of [
    ["full", "8k"],
    ["too small for a log", "64k"],
  ] as const) {
    const why = canMount ? "" : " (skipped: mounting a small file system needs root)";
    test.skipIf(!canMount)(`the file system is ${what}: exit 7${why}`, async () => {
      const directory = fresh(`small-${size}`);
      mkdirSync(directory);
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", directory]);
      try {
        if (size === "8k") writeFileSync(path.join(directory, "filler"), Buffer.alloc(8192));
        const refused = await up(["--data", path.join(directory, "data"), ...anyPorts]);
        expectRefused(refused, 7, "full");
      } finally {
        execFileSync("umount", ["-l", directory]);
      }
    });
  }
});

/** Containers often forbid it to root too. */
function mounts(): boolean {
  using probe = temporaryDirectory();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", probe.path], { stdio: "ignore" });
    execFileSync("umount", [probe.path]);
    return true;
  } catch {
    return false;
  }
}

describe("data that is not what it should be", () => {
  test("a token of another cluster is ignored, with a word; a part that is lost: exit 7", async () => {
    const other = await Mesh.start({ nodes: 1 });
    try {
      const [node] = other.nodes as [MeshNode];
      const job = await submit(node, { run: "true" });
      await node.stop();
      const words = ["--data", node.data, ...anyPorts, "--join", mesh.addresses(), "--token"];
      for (const [token, why] of [
        [await mesh.joinToken(), "is of no authority that this cluster is known here to have had"],
        ["hunter2", "is none"],
      ] as const) {
        const { wasReady, message } = await up([...words, token]);
        expect(wasReady).toBe(true);
        expect(message).toContain(
          `the join token ${why}, and is ignored: ${node.data} belongs to cluster ${node.ready.cluster}`,
        );
      }
      await node.start();
      expect((await node.api("GET", `/v1/jobs/${job}`)).status).toBe(200);

      // Parts of it are lost: never a new cluster on old data, never a log that the state does not belong to.
      await node.stop();
      const files = readdirSync(node.data).filter((name) => name.startsWith("log.db"));
      const [identity, log] = [path.join(node.data, "identity.json"), files.map((name) => path.join(node.data, name))];
      for (const file of log) rmSync(file);
      const withoutLog = await up(["--data", node.data, ...anyPorts]);
      expectRefused(withoutLog, 7, "log.db");
      rmSync(identity);
      const withoutIdentity = await up(["--data", node.data, ...anyPorts]);
      expectRefused(withoutIdentity, 7, "its identity.json is gone");
      writeFileSync(identity, '{"version": 1');
      expectRefused(await up(["--data", node.data, ...anyPorts]), 7, "identity.json is damaged (it is not JSON)");
    } finally {
      await other.stop();
    }
  }, 600_000);
});

describe("joining", () => {
  test("no token, no token at all, half a token: exit 4", async () => {
    const [kind, cluster, id] = await tokenParts();
    expectRefused(await join([]), 4, "joining needs a token");
    expectRefused(await join(["--token", "hunter2"]), 4, "not a join token");
    expectRefused(await join(["--token", [kind, cluster, id].join(".")]), 4, "has 3 of 4 parts");
    expectRefused(await join(["--token", member.token]), 4, "not a join token");
  });

  test("a wrong secret, an unknown token, another cluster's: exit 4, and nobody was let in", async () => {
    const [kind, cluster, id, secret] = await tokenParts();
    const wrong = [
      [kind, cluster, id, (secret.startsWith("A") ? "B" : "A") + secret.slice(1)],
      [kind, cluster, "000000000000", secret],
      [kind, "0".repeat(32), id, secret],
    ];
    const messages = [
      "is not known to this cluster",
      "is not known to this cluster",
      "is for another cluster than this one",
    ];
    for (const [at, parts] of wrong.entries()) {
      const whatToDo = "with 'skein cluster token'";
      expectRefused(await join(["--token", parts.join(".")]), 4, messages[at]!, whatToDo);
    }
    expect(((await member.api("GET", "/v1/nodes")).body as { nodes: unknown[] }).nodes.length).toBe(1);
  });

  test("a token that has expired, or was used as often as it may be: exit 4", async () => {
    const expired = (await member.skein(["cluster", "token", "--ttl", "1ms", "-o", "quiet"])).stdout.trim();
    expectRefused(await join(["--token", expired]), 4, "has expired");
    const once = (await member.skein(["cluster", "token", "--uses", "1", "-o", "quiet"])).stdout.trim();
    expect((await join(["--token", once], "first")).wasReady).toBe(true);
    expectRefused(await join(["--token", once]), 4, "has been used as often as it may be");
  });

  test("addresses where nobody is: exit 5 with each one's reason, after --join-timeout", async () => {
    const nobody = ["--join", "127.0.0.1:1,127.0.0.1:2", "--join-timeout", "300ms", "--token", await mesh.joinToken()];
    const refused = await up(["--data", fresh("nobody"), ...anyPorts, ...nobody]);
    expectRefused(refused, 5, "127.0.0.1:1:", "127.0.0.1:2:", "tried for 300ms");
  });

  test("an address that is no skein: exit 5", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    const words = ["--join", `127.0.0.1:${server.port}`, "--join-timeout", "0", "--token", await mesh.joinToken()];
    expectRefused(await up(["--data", fresh("stranger"), ...anyPorts, ...words]), 5);
  });

  test("a learner that nobody leads: exit 2; one that is a member already goes on without --join", async () => {
    expectRefused(
      await up(["--data", fresh("alone"), ...anyPorts, "--learner"]),
      2,
      "the first node of a cluster must vote",
    );
    const data = ["--data", fresh("learner"), ...anyPorts, "--name", "learner", "--learner"];
    const token = await mesh.joinToken();
    expect((await up([...data, "--join", new URL(member.ready.api).host, "--token", token])).wasReady).toBe(true);
    expect((await up(data)).wasReady).toBe(true);
  });

  test("a name that a member has, or another number of voters: exit 6", async () => {
    const token = ["--token", await mesh.joinToken()];
    const taken = await join([...token, "--name", "node-1"]);
    expectRefused(taken, 6, "a node named node-1 is in the cluster already");
    const voters = await join([...token, "--voters", "3"]);
    expectRefused(voters, 6, "this cluster wants 5 voters, not 3");
    expect(existsSync(path.join(fresh("joiner"), "identity.json"))).toBe(false);
  });
});
