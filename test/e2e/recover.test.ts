/** The quorum is lost for good: the binary's way on from what one survivor has, and what becomes of everybody else. */
import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { binary } from "../../scripts/build.ts";
import { Mesh, type MeshNode, patienceMs, runSkein, until } from "../../scripts/mesh.ts";
import { finished, submit } from "../../scripts/mesh-jobs.ts";
import type { SurvivorView } from "../../src/lib/survivors.ts";
import { writeLost } from "../../src/storage/log-lost.ts";

const epochSpan = 2 ** 40;

interface Cluster {
  readonly epoch: string;
  readonly leader: number | null;
  readonly index: number;
  readonly applied: number;
  readonly voters: readonly number[];
  readonly nodes: readonly { readonly id: number; readonly role: string }[];
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

async function inStep(nodes: readonly MeshNode[]): Promise<void> {
  const goal = Math.max(...(await Promise.all(nodes.map(async (node) => (await clusterOf(node)).index))));
  for (const node of nodes) {
    await until(
      async () => ((await clusterOf(node)).applied >= goal ? true : undefined),
      patienceMs,
      () => `node ${node.ready.node} does not reach entry ${goal}:\n${node.log}`,
    );
  }
}

function placeOf(node: MeshNode): { applied: number; hash: string } {
  const database = new Database(path.join(node.data, "state.db"), { readonly: true });
  try {
    return database.query("select applied, hash from meta").get() as { applied: number; hash: string };
  } finally {
    database.close();
  }
}

interface Recovered {
  readonly epoch: string;
  readonly node: number;
  readonly survivors: readonly number[];
  readonly gone: readonly number[];
  readonly words: readonly string[];
  readonly rejoin: string;
}

function recoverWords(...nodes: readonly MeshNode[]): string[] {
  return ["cluster", "recover", "--yes", "-o", "json", ...nodes.flatMap((node) => ["--data", node.data])];
}

async function recover(...nodes: readonly MeshNode[]): Promise<Recovered> {
  const said = await nodes[0]!.skein(recoverWords(...nodes));
  if (said.code !== 0) throw new Error(`recover ended with ${said.code}: ${said.stderr}`);
  return JSON.parse(said.stdout) as Recovered;
}

async function run(node: MeshNode, mesh: Mesh, spec: object): Promise<number> {
  const id = await submit(node, spec);
  expect((await finished(mesh, id)).state).toBe("succeeded");
  return id;
}

/** Its last words are about the epoch, and it has ended by itself with the exit code of a conflict. */
async function expectFenced(node: MeshNode): Promise<void> {
  expect({ code: await node.exited, log: node.log }).toMatchObject({ code: 6 });
  await node.said("was recovered into epoch 1.");
  await node.said("skein up --join");
}

test("two of three are gone for good: the third goes on alone, jobs go on, and the others are fenced when they come back", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  const [first, second, survivor] = [leader, ...mesh.nodes.filter((node) => node !== leader)] as [
    MeshNode,
    MeshNode,
    MeshNode,
  ];
  const before = await run(survivor, mesh, { run: "echo before" });
  const lost = await submit(leader, { run: "sleep 600", on: `name=${first.ready.node}` }).catch(() => undefined);
  expect(lost).toBeDefined();
  await inStep(mesh.nodes);
  const position = (await clusterOf(survivor)).applied;
  // Without it nobody could vouch for the next authority to those who know the present one, and a join token of before would end with it.
  if (survivor !== mesh.nodes[0]) await survivor.said("holds the key of the cluster's authority now");
  await first.kill();
  await second.kill();

  // As long as it runs it can only be asked; and nothing is decided without a person or --yes.
  const running = await survivor.skein(recoverWords(survivor));
  expect([running.code, running.stderr]).toEqual([7, expect.stringContaining("in use by another process")]);
  await survivor.stop();
  const unasked = await survivor.skein(["cluster", "recover", "--data", survivor.data]);
  expect([unasked.code, unasked.stderr]).toEqual([2, expect.stringContaining("--yes")]);
  expect(existsSync(path.join(survivor.data, "next-epoch"))).toBe(false);

  const recovered = await recover(survivor);
  const { node } = survivor.ready;
  expect(recovered).toMatchObject({ node, survivors: [node] });
  expect(new Set(recovered.gone)).toEqual(new Set([first.ready.node, second.ready.node]));
  expect(recovered.words.join("\n")).toContain("2 of 3 voters");
  await survivor.start();
  await mesh.leader();
  const now = await clusterOf(survivor);
  expect(now).toMatchObject({ epoch: recovered.epoch, leader: node, voters: [node] });
  expect(now.nodes.map(({ id }) => id)).toEqual([node]);

  // What was there is there, new work runs, its fence and its id are above all that were given out before.
  expect((await survivor.api("GET", `/v1/jobs/${before}`)).body).toMatchObject({ state: "succeeded" });
  const after = await submit(survivor, { run: "echo $SKEIN_FENCE" });
  expect(after).toBeGreaterThan(1_000_000);
  await finished(mesh, after);
  expect((await clusterOf(survivor)).index).toBeGreaterThan(epochSpan);
  const { body } = await survivor.api("GET", `/v1/jobs/${after}/tasks/0`);
  expect(Number((body as { tail: string }).tail)).toBeGreaterThan(epochSpan);
  // The admin's token of the first node goes on.
  const admin = { authorization: `Bearer ${mesh.nodes[0]!.token}` };
  const audit = await survivor.api("GET", "/v1/audit?what=cluster", undefined, admin);
  expect(JSON.stringify(audit.body)).toContain("cluster.recover");
  // Readers of events resume with a position of the other epoch: it says so.
  const events = await survivor.api("GET", `/v1/events?from=${position}`);
  expect([events.status, JSON.stringify(events.body)]).toEqual([409, expect.stringContaining("epoch")]);

  // One comes back, then both: each is told and stops, also at the next start; the survivor is not disturbed. It never says that it is ready.
  await first.start().then(
    () => expect.unreachable(),
    (error: Error) => expect(error.message).toContain("ended with exit code 6"),
  );
  await expectFenced(first);
  await Promise.all([first.start().catch(() => {}), second.start().catch(() => {})]);
  await Promise.all([expectFenced(first), expectFenced(second)]);
  expect(await clusterOf(survivor)).toMatchObject({ epoch: recovered.epoch, leader: node, voters: [node] });
  await run(survivor, mesh, { run: "true" });
  // They are not made a second cluster of beside it: not with what they were told, and not without, while one of it answers.
  for (const text of [
    "skein cluster recover --rejoin",
    `and is of epoch ${recovered.epoch}: the cluster was recovered`,
  ]) {
    const second = await first.skein(recoverWords(first));
    expect([second.code, second.stderr]).toEqual([6, expect.stringContaining(text)]);
    rmSync(path.join(first.data, "fenced.json"), { force: true });
  }

  // With an empty directory such a host is welcome as a new node.
  const added = await mesh.add();
  expect(added.ready.node).toBeGreaterThan(1000);
  await run(added, mesh, { run: "true", each_node: true });
}, 600_000);

test("three of five are gone and the two left differ: the most advanced one is found, the other one learns from it", async () => {
  await using mesh = await Mesh.start({ nodes: 5 });
  const leader = await mesh.leader({ voters: 5 });
  await inStep(mesh.nodes);
  const others = mesh.nodes.filter((node) => node !== leader);
  const [behind, ahead] = others as [MeshNode, MeshNode];
  await behind.kill();
  const written: number[] = [];
  while (written.length < 20) written.push(await submit(leader, { driver: "noop" }));
  await inStep([ahead]);
  for (const node of mesh.nodes) if (node !== behind && node !== ahead) await node.kill();
  await ahead.stop();

  // The one that is behind alone would lose more: named with the other one, it is not chosen. Its report may travel as a file.
  const report = await behind.skein(["cluster", "recover", "--report", "--data", behind.data, "-o", "json"]);
  expect(report.code).toBe(0);
  const file = path.join(mesh.directory, "behind.json");
  writeFileSync(file, report.stdout);
  const there = await ahead.skein(["cluster", "recover", "--report", "--data", ahead.data, "-o", "json"]);
  const otherFile = path.join(mesh.directory, "ahead.json");
  writeFileSync(otherFile, there.stdout);
  const wrongPlace = await behind.skein([...recoverWords(behind), "--survivor", otherFile]);
  expect([wrongPlace.code, wrongPlace.stderr]).toEqual([
    6,
    expect.stringMatching(new RegExp(`node ${ahead.ready.node} \\(node-\\d\\) is the most advanced`)),
  ]);

  await expectLogOnRightState(mesh, behind, ahead, written);

  const said = await ahead.skein([...recoverWords(ahead), "--survivor", file]);
  expect([said.code, said.stderr]).toEqual([0, expect.stringContaining("kept")]);
  const recovered = JSON.parse(said.stdout) as Recovered & { rejoin_on: number[] };
  expect(recovered).toMatchObject({ node: ahead.ready.node, rejoin_on: [behind.ready.node] });
  await ahead.start();
  await mesh.leader();
  // Before it is told, the other survivor is of the old epoch, and is fenced like everybody else.
  await behind.start().catch(() => {}); // it may hear of it before it is ready
  await expectFenced(behind);
  const rejoined = await behind.skein(["cluster", "recover", "--data", behind.data, "--rejoin", recovered.rejoin]);
  expect([rejoined.code, rejoined.stderr]).toEqual([0, ""]);
  await behind.start();
  await run(behind, mesh, { run: "true", each_node: true });
  for (const id of written) expect((await behind.api("GET", `/v1/jobs/${id}`)).status).toBe(200);
  // Read while they run: of two nodes that are being stopped one may get an entry more than the other.
  const places = await until(
    () => {
      const both = [placeOf(behind), placeOf(ahead)] as const;
      return Promise.resolve(both[0].applied === both[1].applied ? both : undefined);
    },
    patienceMs,
    () => `the states do not meet: ${JSON.stringify([placeOf(behind), placeOf(ahead)])}`,
  );
  expect(places[0]).toEqual(places[1]);
}, 600_000);

test("a quorum that is there is not recovered, and neither are members that answer given up", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  await mesh.leader({ voters: 3 });
  const [one, two, three] = mesh.nodes as [MeshNode, MeshNode, MeshNode];
  await one.stop();
  await until(
    async () => ((await clusterOf(two)).leader === null ? undefined : true),
    patienceMs,
    () => `nobody leads:\n${two.log}`,
  );
  const alive = await one.skein(recoverWords(one));
  expect([alive.code, alive.stderr]).toEqual([
    6,
    expect.stringMatching(/answer, and the cluster has a leader \(node \d+\)/),
  ]);
  expect(alive.stderr).toContain(`skein up --data ${one.data}`);
  // A token that is lost or was revoked makes nobody silent.
  const contextPath = path.join(one.data, "context.json");
  const context = readFileSync(contextPath, "utf8");
  rmSync(contextPath);
  for (const token of [undefined, `${(JSON.parse(context) as { token: string }).token.slice(0, -1)}_`]) {
    if (token !== undefined) writeFileSync(contextPath, JSON.stringify({ ...(JSON.parse(context) as object), token }));
    const unknown = await one.skein(recoverWords(one));
    expect([unknown.code, unknown.stderr]).toEqual([
      6,
      expect.stringMatching(/node \d \(node-\d\) at \S+ and node \d \(node-\d\) at \S+ answer, so they are not gone/),
    ]);
  }
  writeFileSync(contextPath, context);
  const led = await one.skein([...recoverWords(one), "--survivor", two.ready.api]);
  expect([led.code, led.stderr]).toEqual([6, expect.stringContaining("nothing to recover")]);
  await three.kill();
  await two.stop();
  const quorum = await one.skein(recoverWords(one, two));
  expect([quorum.code, quorum.stderr]).toEqual([6, expect.stringContaining("which is a quorum")]);
  await Promise.all([one.start(), two.start()]);
  await run(one, mesh, { run: "true" });

  // An epoch that exists nowhere: nobody goes on in it, and whoever was made to believe in it ends nobody.
  const rejoin = `${one.ready.cluster}/7.deadbeef@1@${one.ready.peer}`;
  const invented = await three.skein(["cluster", "recover", "--data", three.data, "--rejoin", rejoin]);
  expect([invented.code, invented.stderr]).toEqual([6, expect.stringContaining("is of epoch 0")]);
  const identityPath = path.join(three.data, "identity.json");
  const identity = JSON.parse(readFileSync(identityPath, "utf8")) as object;
  writeFileSync(identityPath, JSON.stringify({ ...identity, epoch: { number: 7, id: "deadbeef" } }));
  void three.start().catch(() => {}); // nobody lets it in
  for (const node of [one, two]) await node.said("recovered into epoch 7.deadbeef, without what this node has");
  await run(two, mesh, { run: "true" });
}, 600_000);

/** Its guard may be on its way out, and takes its files with it. */
const withoutGuard = { recursive: true, filter: (name: string) => !path.basename(name).startsWith("guard.") };

test("SIGKILL at every step of a recovery: the old epoch is whole, or the next command or start goes on with the new one", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  const job = await run(leader, mesh, { run: "true" });
  await inStep(mesh.nodes);
  const best = mesh.nodes.find((node) => node !== leader)!;
  for (const node of mesh.nodes) await node.kill();
  // A leader has told it that its log lacks something: that is of the old log, and must not bar the new one.
  writeLost(path.join(best.data, "log.db"), epochSpan - 1);
  // Of the old state, in the same way: the new epoch would never leave quarantine, with nobody to give it another state.
  writeFileSync(path.join(best.data, "quarantine.json"), "{}");
  const old = await reportOf(best.data);
  const steps: string[] = [];
  // In a process of its own that kills itself at the n-th step, until one survives.
  for (let n = 1; n < 100; n++) {
    const copy = path.join(mesh.directory, `copy-${n}`);
    cpSync(best.data, copy, withoutGuard);
    const ended = await killedAt(copy, n);
    steps.push(...ended.steps.slice(-1));
    if (ended.signal === null) break;
    if (n % 2 === 0) await reportOf(copy); // looking goes on with what was decided
    const found = await reportOf(copy);
    const isDecided = ended.steps.includes("decided");
    if (isDecided) {
      expect([n, found.epoch.slice(0, 2), found.applied, found.voters]).toEqual([
        n,
        "1.",
        epochSpan,
        [best.ready.node],
      ]);
    } else {
      expect([n, found]).toEqual([n, old]);
      expect((await killedAt(copy, 0)).signal).toBeNull();
      expect((await reportOf(copy)).epoch).toStartWith("1.");
    }
    expect(readdirSync(copy)).not.toContain("next-epoch");
    expect(readdirSync(path.join(copy, "epoch-0"))).toEqual(
      expect.arrayContaining(["identity.json", "log.db", "log.db-lost", "quarantine.json", "state.db"]),
    );
    expect(readdirSync(copy)).not.toContain("log.db-lost");
    expect(readdirSync(copy)).not.toContain("quarantine.json");
  }
  expect(steps).toContain("decided");
  expect(steps).toContain("log.db in place");
  expect(steps.at(-1)).toBe("done");

  // The node itself goes on with what was decided when it starts.
  const at = steps.indexOf("state.db aside") + 1;
  expect((await killedAt(best.data, at)).signal).toBe("SIGKILL");
  await best.start();
  await mesh.leader();
  expect((await best.api("GET", `/v1/jobs/${job}`)).status).toBe(200);
  await run(best, mesh, { run: "true" });
}, 600_000);

/** On copies: the state of the one that has more was found wrong, and is. Its log is right, and goes on from the other one's state. */
async function expectLogOnRightState(
  mesh: Mesh,
  right: MeshNode,
  wrong: MeshNode,
  written: readonly number[],
): Promise<void> {
  const [rightData, wrongData] = [right, wrong].map((node) => {
    const copy = path.join(mesh.directory, `in-quarantine-${node.ready.node}`);
    cpSync(node.data, copy, withoutGuard);
    return copy;
  }) as [string, string];
  writeFileSync(path.join(wrongData, "quarantine.json"), JSON.stringify({ index: 7, quorum: "aa" }));
  const state = new Database(path.join(wrongData, "state.db"));
  state.run("delete from job");
  state.close();
  const words = ["cluster", "recover", "--yes", "-o", "json"];
  const alone = await wrong.skein([...words, "--data", wrongData]);
  expect([alone.code, alone.stderr]).toEqual([6, expect.stringContaining("no survivor has a right one")]);
  const rightReport = await reportOf(rightData);
  expect((await reportOf(wrongData)).quarantined_at).toBe(7);
  const both = await wrong.skein([...words, "--data", rightData, "--data", wrongData]);
  expect([both.code, both.stderr]).toEqual([0, expect.stringContaining("Its log is right and the longest")]);
  expect(JSON.parse(both.stdout)).toMatchObject({
    node: right.ready.node,
    survivors: [right.ready.node, wrong.ready.node],
  });
  const recovered = new Database(path.join(rightData, "state.db"), { readonly: true });
  const jobs = (recovered.query("select id from job").all() as { id: number }[]).map(({ id }) => id);
  recovered.close();
  expect(rightReport.applied).toBeLessThan(epochSpan);
  expect(jobs).toEqual(expect.arrayContaining([...written]));
  // The other one goes on with nothing but its id, and its wrong state is aside with what was known of it.
  expect(readdirSync(wrongData)).not.toContain("quarantine.json");
  expect(readdirSync(path.join(wrongData, "epoch-0"))).toContain("quarantine.json");
}

async function reportOf(data: string): Promise<SurvivorView> {
  const said = await runSkein(binary, ["cluster", "recover", "--report", "--data", data, "-o", "json"]);
  if (said.code !== 0) throw new Error(`--report ended with ${said.code}: ${said.stderr}`);
  return JSON.parse(said.stdout) as SurvivorView;
}

async function killedAt(data: string, step: number): Promise<{ signal: string | null; steps: string[] }> {
  const script = new URL("recover-until-killed.ts", import.meta.url).pathname;
  const child = Bun.spawn([process.execPath, script, data, String(step)], { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  await child.exited;
  return { signal: child.signalCode as string | null, steps: text.split("\n").filter((line) => line !== "") };
}
