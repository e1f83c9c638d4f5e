import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { finished, submit, submitToEach } from "../../scripts/mesh-jobs.ts";
import { anySaid, untilForgotten } from "./harness.ts";

/** Only so few entries are kept that a node which was away for a while needs a snapshot. */
const env = { SKEIN_LOG_ENTRIES: "50" };

interface Cluster {
  readonly index: number;
  readonly applied: number;
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

/** Jobs one by one, so that each is an entry of its own. */
async function writeEntries(node: MeshNode, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) ids.push(await submit(node, { driver: "noop", name: `job-${ids.length}` }));
  return ids;
}

function hashOf(node: MeshNode): { applied: number; hash: string } {
  const database = new Database(path.join(node.data, "state.db"), { readonly: true });
  try {
    return database.query("select applied, hash from meta").get() as { applied: number; hash: string };
  } finally {
    database.close();
  }
}

async function inStep(mesh: Mesh, nodes: readonly MeshNode[] = mesh.nodes): Promise<void> {
  const goal = Math.max(...(await Promise.all(nodes.map(async (node) => (await clusterOf(node)).index))));
  for (const node of nodes) {
    await until(
      async () => ((await clusterOf(node)).applied >= goal ? true : undefined),
      patienceMs,
      () => `node ${node.ready.node} does not reach entry ${goal}:\n${node.log}`,
    );
  }
}

/** A mesh in which `away` was down while the others wrote on and forgot what it lacks. */
async function withNodeAway(): Promise<{ mesh: Mesh; away: MeshNode; leader: MeshNode }> {
  const mesh = await Mesh.start({ nodes: 3, env });
  const leader = await mesh.leader({ voters: 3 });
  const away = mesh.nodes.find((node) => node !== leader)!;
  await writeEntries(leader, 5);
  await inStep(mesh);
  await away.kill();
  const { index } = await clusterOf(leader);
  await writeEntries(leader, 300);
  await untilForgotten(
    mesh.nodes.filter((node) => node !== away),
    index,
  );
  return { mesh, away, leader };
}

async function expectEqualStates(mesh: Mesh): Promise<void> {
  await Promise.all(mesh.nodes.map((node) => node.stop()));
  const states = mesh.nodes.map(hashOf);
  const newest = Math.max(...states.map(({ applied }) => applied));
  const equal = new Map(states.map(({ applied, hash }) => [applied, hash]));
  for (const { applied, hash } of states) expect(hash).toBe(equal.get(applied)!);
  expect(states.filter(({ applied }) => applied === newest).length).toBeGreaterThan(0);
}

test("a node that was away for longer than the log goes back comes back by a snapshot, and runs work", async () => {
  const { mesh, away, leader } = await withNodeAway();
  await using _ = mesh;
  await away.start();
  await inStep(mesh);
  await away.said("goes on from a snapshot");
  const id = await submitToEach(mesh, away, { run: "true" });
  expect((await finished(mesh, id)).counts).toMatchObject({ succeeded: 3 });
  await writeEntries(leader, 20);
  await inStep(mesh);
  await expectEqualStates(mesh);
}, 600_000);

test("SIGKILL at many moments of receiving and installing: the next start goes on, with the same state as the others", async () => {
  const { mesh, away, leader } = await withNodeAway();
  await using _ = mesh;
  for (const ms of [20, 60, 100, 140, 180, 220, 260, 300]) {
    const started = away.start();
    await Promise.race([started.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 60))]);
    await new Promise((resolve) => setTimeout(resolve, ms));
    await away.kill();
    await started.catch(() => {});
    await writeEntries(leader, 80);
  }
  await away.start();
  await inStep(mesh);
  await expectEqualStates(mesh);
}, 600_000);

test("a damaged entry of one node's log is repaired from the others, and nothing is lost", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  const ids = await writeEntries(leader, 30);
  await inStep(mesh);
  const damaged = mesh.nodes.find((node) => node !== leader)!;
  await damaged.kill();
  const database = new Database(path.join(damaged.data, "log.db"));
  const { last } = database.query("select max(idx) as last from entry").get() as { last: number };
  // The state goes back too, so that the entry is needed: what it holds is gone with the file.
  database.query("update entry set data = zeroblob(length(data)) where idx = ?").run(last - 10);
  database.close();
  for (const name of ["state.db", "state.db-wal", "state.db-shm"])
    await Bun.file(path.join(damaged.data, name))
      .delete()
      .catch(() => {});
  await damaged.start();
  await inStep(mesh);
  await damaged.said("are damaged");
  for (const id of ids) expect((await damaged.api("GET", `/v1/jobs/${id}`)).status).toBe(200);
  await expectEqualStates(mesh);
}, 600_000);

test("an entry that goes wrong under a running leader: the node that lacks it comes back by a snapshot, and nobody is restarted", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const first = await mesh.leader({ voters: 3 });
  const away = mesh.nodes.find((node) => node !== first)!;
  await away.kill();
  // More than a restarted node keeps in memory, so that the oldest of it is read from the disk.
  const text = "x".repeat(256 * 1024);
  const ids: number[] = [];
  while (ids.length < 40) ids.push(await submit(first, { run: "true", stdin: text, on: "node=nowhere" }));
  const others = mesh.nodes.filter((node) => node !== away);
  await inStep(mesh, others);
  for (const node of others) await node.kill();
  for (const node of others) await node.start();
  await mesh.leader({ voters: 3 });
  await inStep(mesh, others);
  for (const node of others) {
    const database = new Database(path.join(node.data, "log.db"));
    database.run("pragma busy_timeout = 10000");
    database.run(
      "update entry set data = zeroblob(length(data)) where idx = (select idx from entry where length(data) > 200000 order by idx limit 1)",
    );
    database.close();
  }
  await away.start();
  await inStep(mesh);
  await anySaid(others, "is damaged; the state has it");
  for (const id of ids) expect((await away.api("GET", `/v1/jobs/${id}`)).status).toBe(200);
  await expectEqualStates(mesh);
}, 600_000);

test("a file that SQLite cannot read ends the node with words that lead back, and they do", async () => {
  await using mesh = await Mesh.start({ nodes: 3 });
  const leader = await mesh.leader({ voters: 3 });
  const broken = mesh.nodes.find((node) => node !== leader)!;
  for (const name of ["state.db", "log.db"]) {
    await broken.stop(); // which brings the WAL home: with it a file is made whole again
    const file = path.join(broken.data, name);
    const kept = readFileSync(file);
    rmSync(`${file}-wal`, { force: true });
    writeFileSync(file, "no database, but text".repeat(1000));
    const ended = await broken.start().then(
      () => "it started",
      (error: unknown) => String(error),
    );
    expect(ended).toContain("exit code 7");
    expect(ended).toContain(`${name}: file is not a database`);
    expect(ended).toContain(`skein nodes rm ${broken.ready.node}`);
    if (name === "state.db") writeFileSync(file, kept);
  }
  const removal = ["nodes", "rm", String(broken.ready.node)];
  const admin = { env: { SKEIN_TOKEN: mesh.nodes[0]!.token } };
  await until(
    async () => ((await leader.skein(removal, admin)).code === 0 ? true : undefined),
    patienceMs,
    () => "the broken node is not removed",
  );
  const again = await mesh.add();
  await mesh.leader({ voters: 3 });
  expect((await finished(mesh, await submitToEach(mesh, again, { run: "true" }))).counts).toMatchObject({
    succeeded: 3,
  });
}, 600_000);
