import { describe, expect, test } from "bun:test";
import { limits } from "../../src/lib/limits.ts";
import { upOptions } from "../../src/cli/up.ts";
import type { UpOptions } from "../../src/cli/up-options.ts";
import { cli, ScratchDir, start, TestIo } from "./support.ts";

async function up(argv: readonly string[], env: Record<string, string> = {}): Promise<UpOptions> {
  const ups: UpOptions[] = [];
  const io = new TestIo();
  expect([await start(["up", ...argv], env, io, ups), io.stderr.text]).toEqual([0, ""]);
  return ups[0]!;
}

describe("up", () => {
  test("without flags: data in the home directory, addresses left to the node", async () => {
    const options = await up([], { HOME: "/home/anna" });
    expect(options).toMatchObject({
      dataDir: "/home/anna/.skein",
      api: undefined,
      peer: undefined,
      join: [],
      labels: {},
    });
    expect(options.slots).toBeGreaterThanOrEqual(4);
    expect(options.ioTasks).toBe(64);
  });

  test("all flags", async () => {
    const text =
      "--data /d --name n1 --api 127.0.0.1:0 --api http://0.0.0.0:80 --peer [::1]:9 --label zone=eu --label gpu= --slots 3 --resource license=2 --resource memory=1GiB --resource cores=2.5";
    const more =
      "--join a:1,https://b --join c:3 --join-timeout 5s --token t --voters 3 --learner --io-tasks 5 --advertise localhost --zabbix zabbix.lan,10.0.0.9:11051 --zabbix-mesh mesh --cors https://a.lan --cors http://b:81/,* --distribute --distribute-git git@git.lan:ops --distribute-key ops-key -o json";
    expect(await up(`${text} ${more}`.split(" "))).toEqual({
      dataDir: "/d",
      name: "n1",
      api: [
        { scheme: "http", host: "127.0.0.1", port: 0, exposed: false },
        { scheme: "http", host: "0.0.0.0", port: 80, exposed: true },
      ],
      peer: { host: "::1", port: 9 },
      advertise: "localhost",
      apiCertificate: undefined,
      origins: ["https://a.lan", "http://b:81", "*"],
      distribute: { git: "git@git.lan:ops", gitKey: "ops-key" },
      zabbix: {
        servers: [
          { host: "zabbix.lan", port: 10_051 },
          { host: "10.0.0.9", port: 11_051 },
        ],
        host: undefined,
        meshHost: "mesh",
      },
      labels: { zone: "eu", gpu: "" },
      slots: 3,
      resources: { cores: 2.5, license: 2, memory: 1_073_741_824 },
      ioTasks: 5,
      join: ["a:1", "https://b:7400", "c:3"],
      joinTimeoutMs: 5000,
      joinToken: "t",
      voters: 3,
      learner: true,
      output: "json",
      colours: false,
    });
  });

  test("its token is the join token: an API token in the environment is not read", async () => {
    expect((await up([], { SKEIN_TOKEN: "api" })).joinToken).toBeUndefined();
    expect((await up([], { SKEIN_JOIN_TOKEN: "join", SKEIN_TOKEN: "api" })).joinToken).toBe("join");
  });

  test("every mistake is told at once", async () => {
    const flags =
      "--voters many --name 12 --peer 10.0.0.1:x --advertise 0.0.0.0 --api-cert c --label x --slots -1 --cors https://a/b --zabbix a:b --zabbix-host x:y --distribute-git -o;x";
    const { code, err } = await cli(["up", ...flags.split(" "), "--token", "t", "--api", "http://h:99999"]);
    expect(code).toBe(2);
    for (const flag of [
      "voters",
      "name",
      "peer",
      "advertise",
      "api-key",
      "label",
      "slots",
      "token",
      "api",
      "cors",
      "zabbix",
      "zabbix-host",
      "distribute-git",
    ]) {
      expect(err).toContain(`  --${flag}: `);
    }
  });

  test("an address off loopback is served over TLS unless http is written out, and all addresses need a name for others", async () => {
    const schemes = async (...argv: string[]) => (await up(argv)).api?.map(({ scheme, exposed }) => [scheme, exposed]);
    expect(await schemes("--api", "10.0.0.1:7400")).toEqual([["https", false]]);
    expect(await schemes("--api", "http://10.0.0.1:7400", "--api", "127.0.0.1:1")).toEqual([
      ["http", true],
      ["http", false],
    ]);
    expect(await schemes("--api", "https://127.0.0.1:7400")).toEqual([["https", false]]);
    const { code, err } = await cli(["up", "--api", "0.0.0.0:7400"]);
    expect([code, err.includes("--advertise HOST")]).toEqual([2, true]);
    expect((await up(["--api", "0.0.0.0:7400", "--advertise", "10.0.0.1"])).advertise).toBe("10.0.0.1");
  });

  test("joining oneself is refused", async () => {
    expect((await cli(["up", "--api", "127.0.0.1:7", "--join", "127.0.0.1:7"])).code).toBe(2);
  });

  test("a configuration file has the same keys, and flags win", async () => {
    using dir = new ScratchDir();
    const text = "slots: 8\nname: from-file\nlabels: {zone: eu, rack: 7}\njoin: [a, b:2]\nlearner: true\nio-tasks: 9\n";
    const options = await up(["--config", dir.write("c.yaml", text), "--name", "from-flag"]);
    const { name, slots, labels, join, learner, ioTasks } = options;
    expect({ name, slots, labels, join, learner, ioTasks }).toEqual({
      name: "from-flag",
      slots: 8,
      labels: { zone: "eu", rack: "7" },
      join: ["a:7400", "b:2"],
      learner: true,
      ioTasks: 9,
    });
  });

  test("a configuration file with mistakes", async () => {
    using dir = new ScratchDir();
    const wrong = await cli(["up", "--config", dir.write("a.yaml", "slotz: 8\nname: [a]\nvoters: none\n")]);
    expect(wrong.code).toBe(2);
    for (const part of ["slotz", "name: must be", "--voters"]) expect(wrong.err).toContain(part);
    const broken = await cli(["up", "--config", dir.write("b.yaml", "name: 'x\n")]);
    expect([broken.code, broken.err]).toEqual([2, expect.stringMatching(/b\.yaml:\d+:\d+: /)]);
  });
});

test("as many voters can be wished for at the start as later", async () => {
  const most = limits.votersWanted;
  for (const words of [
    ["up", "--voters", `${most + 1}`],
    ["cluster", "set", `voters=${most + 1}`],
  ]) {
    const { code, err } = await cli(words, { SKEIN_ADDR: "http://127.0.0.1:1", SKEIN_TOKEN: "t" });
    expect([code, err]).toEqual([2, expect.stringContaining(`is not a whole number from 1 to ${most}`)]);
  }
  expect(upOptions({ voters: `${most}` }, {}).voters).toBe(most);
});
