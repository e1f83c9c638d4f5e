import { afterAll, beforeAll, expect, test } from "bun:test";
import path from "node:path";
import { writeFileSync } from "node:fs";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { whyMissing } from "../../scripts/needed.ts";
import { metric, skein, temporaryDirectory } from "./harness.ts";

/** Inventories by the binary on three nodes, of which one leads and any is asked. */
let mesh: Mesh;
let nodes: readonly MeshNode[];

beforeAll(async () => {
  mesh = await Mesh.start({ nodes: 3 });
  nodes = mesh.nodes;
}, 600_000);

afterAll(async () => {
  await mesh.stop();
}, 600_000);

const yaml = `all:
  children:
    web:
      hosts: {"web[1:3]": {}, web2: {word: other}}
      vars: {word: ours}
    db: {hosts: {db1: }}
`;

const noAnsible = whyMissing("ansible", ["ansible-core"], () => Bun.which("ansible-playbook") !== null);
if (noAnsible !== undefined) console.log(`skipped: inventories and driver ansible: ${noAnsible}`);

test("a file is set at one node and named at another; a mistake in either is told with its place", async () => {
  using scratch = temporaryDirectory();
  const file = path.join(scratch.path, "hosts.yml");
  const say = (node: number, ...words: string[]) => skein(scratch.path, [...words, "--data", nodes[node]!.data]);
  writeFileSync(file, yaml);
  expect((await say(0, "inventory", "set", "fleet", file)).stdout).toStartWith("fleet@1: 4 hosts, 2 groups");
  const words = ["run", "--target", "@fleet:web!web3", "--data", nodes[1]!.data, "--", "sh", "-c"];
  const run = await skein(scratch.path, [...words, 'echo "on $SKEIN_TARGET"']);
  expect([run.code, run.stdout.match(/on \w+/g)?.toSorted()]).toEqual([0, ["on web1", "on web2"]]);
  const none = await skein(scratch.path, ["run", "--target", "@fleet:wbe", "--data", nodes[2]!.data, "--", "true"]);
  expect(none.code).toBe(2);
  expect(none.stderr).toMatch(/in fleet there are the groups db, web|in fleet there are the groups web, db/);
  expect(none.stderr).toContain("^^^^^^^^^^");
  writeFileSync(file, yaml.replace("web[1:3]", "web[3:1]"));
  const wrong = await say(0, "inventory", "set", "fleet", file);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining(`${file}:4`)]);
  expect((await say(2, "inventory", "history", "fleet", "-o", "quiet")).stdout).toBe("1\n");
});

test.skipIf(noAnsible !== undefined)(
  "a playbook finds the groups and variables of before, though the inventory is another one by then",
  async () => {
    using scratch = temporaryDirectory();
    const say = (...words: string[]) => skein(scratch.path, [...words, "--data", nodes[1]!.data]);
    const file = path.join(scratch.path, "hosts.yml");
    writeFileSync(file, yaml);
    await say("inventory", "set", "plays", file);
    const playbook = path.join(scratch.path, "site.yml");
    const play = (hosts: string): string =>
      `- hosts: ${hosts}\n  gather_facts: false\n  tasks:\n    - debug: {msg: "{{ inventory_hostname }} has {{ word | default('none') }} in ${hosts}"}\n`;
    writeFileSync(playbook, play("web") + play("db"));
    const words = ["run", "--driver", "ansible", "--target", "@plays", "--ansible", "connection=local", "--detach"];
    const { stdout: id } = await say(...words, "--playbook", playbook, "-o", "quiet");
    await say("inventory", "rm", "plays");
    expect((await say("wait", id.trim())).code).toBe(0);
    const { stdout } = await say("logs", id.trim());
    for (const said of ["web1 has ours in web", "web2 has other in web", "db1 has none in db"])
      expect(stdout).toContain(said);
  },
  600_000,
);

test("a command gives it again and again; garbage leaves what was in force, and is told of", async () => {
  using scratch = temporaryDirectory();
  const say = (...words: string[]) => skein(scratch.path, [...words, "--data", nodes[2]!.data]);
  const script = path.join(scratch.path, "list");
  const give = (text: string): void => writeFileSync(script, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const inventory = async () =>
    JSON.parse((await say("inventory", "show", "made", "-o", "json")).stdout) as {
      version: number;
      hosts: number;
      source: { failing?: { reason: string } };
    };
  give(`echo '{"web": {"hosts": ["h1", "h2"]}}'`);
  expect((await say("inventory", "set", "made", "--command", script, "--every", "1h")).code).toBe(0);
  await until(
    async () => ((await inventory()).hosts === 2 ? true : undefined),
    patienceMs,
    () => "the command gave nothing",
  );
  give("echo 'Traceback (most recent call last):'");
  const { stdout: job } = await say("inventory", "refresh", "made");
  await until(
    async () => ((await inventory()).source.failing !== undefined ? true : undefined),
    patienceMs,
    () => "nobody said that it fails",
  );
  expect(await inventory()).toMatchObject({ hosts: 2 });
  expect((await inventory()).source.failing?.reason).toContain(`what job ${job.trim()} printed is no inventory`);
  expect((await say("inventory", "ls")).stdout).toMatch(/made .*failing since .*is no inventory/);
  await until(
    async () => ((await metric(nodes[0]!, "skein_inventories_failing")) === 1 ? true : undefined),
    patienceMs,
    () => "the metric says nothing",
  );
  give(`echo '{"web": {"hosts": ["h1", "h2", "h3"]}}'`);
  await say("inventory", "refresh", "made");
  await until(
    async () => ((await inventory()).hosts === 3 ? true : undefined),
    patienceMs,
    () => "the command gave nothing",
  );
  expect((await inventory()).source.failing).toBeUndefined();
});

test("nodes say what they are, and are targets by that and by their labels", async () => {
  using scratch = temporaryDirectory();
  const say = (...words: string[]) => skein(scratch.path, [...words, "--data", nodes[1]!.data]);
  const gathered = await say("facts", "gather", "--each-node");
  expect([gathered.code, gathered.stderr]).toEqual([0, expect.any(String)]);
  // What it has found is known when it has ended, and to whoever is asked.
  expect((await say("facts", "ls", "-o", "quiet")).stdout.trim().split("\n")).toHaveLength(3);
  const name = (await say("facts", "ls", "-o", "quiet")).stdout.split("\n", 1)[0]!;
  const { facts } = JSON.parse((await say("facts", "show", name, "-o", "json")).stdout) as { facts: { arch: string } };
  const targets = ["run", "--target", `arch=${facts.arch}`, "--data", nodes[0]!.data, "-o", "quiet", "--", "true"];
  const run = await skein(scratch.path, targets);
  expect([run.code, run.stderr]).toEqual([0, expect.any(String)]);
  expect((await say("results", name, "--limit", "1", "-o", "json")).stdout).toMatch(new RegExp(`"target": ?"${name}"`));
  expect((await say("facts", "gather")).code).toBe(2);
  expect((await say("facts", "gather", "--target", "a", "--ssh", "nope=1")).code).toBe(2);
  expect((await say("facts", "show", "nobody")).code).toBe(3);
});
