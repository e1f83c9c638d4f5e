import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import path from "node:path";
import { finished, submit, submitToEach } from "../../scripts/mesh-jobs.ts";
import { Mesh, type MeshNode, patienceMs, until } from "../../scripts/mesh.ts";
import { untilForgotten } from "./harness.ts";

/** More than two learners feed each other, two each: a small mesh with a deep tree. Who is fed by another one than it should be tries that one often. */
const env = { SKEIN_RELAY: "2,2,3000" };

interface Cluster {
  readonly leader: number | null;
  readonly index: number;
  readonly applied: number;
  readonly voters: readonly number[];
  readonly fed_by: number | null;
  readonly feeds: readonly number[];
  readonly nodes: readonly { readonly id: number; readonly lag: number | null }[];
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

function logsOf(mesh: Mesh): string {
  return mesh.nodes.map((node) => `--- ${node.data}\n${node.log.slice(-1500)}`).join("\n");
}

async function inStep(mesh: Mesh): Promise<void> {
  const running = mesh.nodes.filter((node) => node.running);
  const goal = Math.max(...(await Promise.all(running.map(async (node) => (await clusterOf(node)).index))));
  for (const node of running) {
    await until(
      async () => ((await clusterOf(node)).applied >= goal ? true : undefined),
      patienceMs,
      () => `node ${node.ready.node} does not reach entry ${goal}:\n${logsOf(mesh)}`,
    );
  }
}

/**
 * Every running learner has a feeder that runs, none feeds more than two, and following feeders ends at a voter: one that does not lead, where all run
 * (who finds its feeder gone may have to ask the leader, until that one is back).
 */
async function inTree(mesh: Mesh): Promise<Map<number, number>> {
  let seen = "";
  return await until(
    async () => {
      const running = mesh.nodes.filter((node) => node.running);
      const views = new Map<number, Cluster>();
      for (const node of running) views.set(node.ready.node, await clusterOf(node));
      const leader = [...views].find(([id, view]) => view.leader === id)?.[1];
      const feeders = new Map<number, number>();
      seen = JSON.stringify([...views].map(([id, { fed_by, feeds }]) => ({ id, fed_by, feeds })));
      for (const [id, { fed_by }] of views) {
        if (leader === undefined || leader.voters.includes(id)) continue;
        if (fed_by === null || !views.has(fed_by)) return undefined;
        feeders.set(id, fed_by);
      }
      for (const start of feeders.keys()) {
        let at: number | undefined = start;
        for (let hops = 0; hops <= views.size && at !== undefined; hops++) at = feeders.get(at);
        if (at !== undefined) return undefined;
      }
      for (const { feeds } of views.values()) if (feeds.length > 2) return undefined;
      if (running.length === mesh.nodes.length && leader !== undefined && leader.feeds.length > 0) return undefined;
      return feeders.size === views.size - leader!.voters.length ? feeders : undefined;
    },
    patienceMs,
    () => `no tree: ${seen}\n${logsOf(mesh)}`,
  );
}

async function meshOf(learners: number, more: Readonly<Record<string, string>> = {}): Promise<Mesh> {
  const mesh = await Mesh.start({ nodes: 3, env: { ...env, ...more } });
  try {
    await mesh.leader({ voters: 3 });
    await Promise.all(Array.from({ length: learners }, () => mesh.add(["--label", "learner=true"])));
    return mesh;
  } catch (error) {
    await mesh.stop();
    throw error;
  }
}

function hashOf(node: MeshNode): { applied: number; hash: string } {
  const database = new Database(path.join(node.data, "state.db"), { readonly: true });
  try {
    return database.query("select applied, hash from meta").get() as { applied: number; hash: string };
  } finally {
    database.close();
  }
}

async function expectEqualStates(mesh: Mesh): Promise<void> {
  await Promise.all(mesh.nodes.map((node) => node.stop()));
  const states = mesh.nodes.map(hashOf);
  const equal = new Map(states.map(({ applied, hash }) => [applied, hash]));
  for (const { applied, hash } of states) expect(hash).toBe(equal.get(applied)!);
}

test("ten learners feed each other, go on when relays and the leader are killed, and run work all the while", async () => {
  await using mesh = await meshOf(10);
  const feeders = await inTree(mesh);
  const leader = await mesh.leader({ voters: 3 });
  expect([...feeders.values()]).not.toContain(leader.ready.node);
  expect((await finished(mesh, await submitToEach(mesh, leader, { run: "true" }))).counts).toMatchObject({
    succeeded: 13,
  });
  await inStep(mesh);
  // Two that feed others.
  const relays = mesh.nodes.filter((node) => [...feeders.values()].includes(node.ready.node)).slice(-2);
  for (const relay of relays) await relay.kill();
  for (let written = 0; written < 20; written++) await submit(leader, { driver: "noop" });
  await inStep(mesh);
  await inTree(mesh);
  await leader.kill();
  const next = await mesh.leader({ voters: 3 });
  for (let written = 0; written < 20; written++) await submit(next, { driver: "noop" });
  await inStep(mesh);
  for (const node of [leader, ...relays]) await node.start();
  await inTree(mesh);
  expect((await finished(mesh, await submitToEach(mesh, next, { run: "true" }))).counts).toMatchObject({
    succeeded: 13,
  });
  await inStep(mesh);
  await expectEqualStates(mesh);
}, 600_000);

test("a relay that freezes is left within moments by those below it, and comes back as it was", async () => {
  await using mesh = await meshOf(8);
  const leader = await mesh.leader({ voters: 3 });
  const feeders = await inTree(mesh);
  const relay = mesh.nodes.find(
    (node) => [...feeders.values()].includes(node.ready.node) && feeders.has(node.ready.node),
  )!;
  const below = mesh.nodes.filter((node) => feeders.get(node.ready.node) === relay.ready.node);
  expect(below.length).toBeGreaterThan(0);
  process.kill(relay.pid, "SIGSTOP");
  try {
    const ids = [await submit(leader, { driver: "noop" }), await submit(leader, { driver: "noop" })];
    for (const node of below) {
      await until(
        async () => ((await node.api("GET", `/v1/jobs/${ids[1]}?consistency=stale`)).status === 200 ? true : undefined),
        patienceMs,
        () => `node ${node.ready.node} hears nothing more:\n${node.log}`,
      );
      const { fed_by } = await clusterOf(node);
      expect(fed_by).not.toBe(relay.ready.node);
    }
  } finally {
    process.kill(relay.pid, "SIGCONT");
  }
  await inStep(mesh);
  await inTree(mesh);
}, 600_000);

test("a learner that others feed becomes a voter, and one that leaves takes nobody along", async () => {
  await using mesh = await meshOf(6);
  await inTree(mesh);
  const leader = await mesh.leader({ voters: 3 });
  // The last one is deepest; a person's wish counts more than its label.
  const promoted = mesh.nodes.at(-1)!;
  for (const words of [
    ["cluster", "set", "voters=5"],
    ["nodes", "promote", `${promoted.ready.node}`],
  ])
    // The first node's token is an admin's, whoever leads.
    expect(await mesh.nodes[0]!.skein(words)).toMatchObject({ code: 0 });
  const other = mesh.nodes.at(-2)!;
  expect(await leader.skein(["nodes", "promote", `${other.ready.node}`])).toMatchObject({ code: 0 });
  await mesh.leader({ voters: 5 });
  const { voters } = await clusterOf(leader);
  expect(voters).toContain(promoted.ready.node);
  await inTree(mesh);
  // It counts: with two of the first three gone it is needed for every write.
  const gone = mesh.nodes.slice(0, 3).filter((node) => node !== leader);
  await Promise.all(gone.map((node) => node.kill()));
  await submit(leader, { driver: "noop" });
  await inStep(mesh);
  for (const node of gone) await node.start();
  await inStep(mesh);
  await expectEqualStates(mesh);
}, 600_000);

test("a learner that was away for longer than the log goes back gets the state from who feeds it", async () => {
  await using mesh = await meshOf(6, { SKEIN_LOG_ENTRIES: "50" });
  const leader = await mesh.leader({ voters: 3 });
  const away = mesh.nodes.at(-1)!;
  await inTree(mesh);
  await away.kill();
  const { index } = await clusterOf(leader);
  for (let written = 0; written < 300; written++) await submit(leader, { driver: "noop" });
  await inStep(mesh);
  await untilForgotten(
    mesh.nodes.filter((node) => node !== away),
    index,
  );
  await away.start();
  await inStep(mesh);
  await away.said("goes on from a snapshot");
  // On a busy machine nobody may report of it in time, and then the leader sees to it as well.
  const givers = mesh.nodes.filter((node) => node.log.includes(`node ${away.ready.node} gets a snapshot`));
  expect(givers.length).toBeGreaterThan(0);
  expect((await finished(mesh, await submitToEach(mesh, away, { run: "true" }))).counts).toMatchObject({
    succeeded: 9,
  });
  await inStep(mesh);
  await inTree(mesh);
  await expectEqualStates(mesh);
}, 600_000);
