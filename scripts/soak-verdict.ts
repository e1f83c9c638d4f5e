/** What must hold once the trouble is over: nothing acknowledged is lost, every job has one end, all nodes have the same state, the mesh is as before. */
import path from "node:path";
import { SkeinClient } from "../src/client/client.ts";
import type { ClusterView, NodeView } from "../src/state/answers.ts";
import { ownLevel } from "../src/state/levels.ts";
import { type Mesh, patienceMs, until } from "./mesh.ts";
import { tasksOf } from "./mesh-jobs.ts";
import { pulseName, pulseProblem, pulsesIn } from "./soak-pulses.ts";
import { run, tool } from "./steps.ts";

interface State {
  readonly applied: number;
  readonly hash: string;
}

const readState = `
  const { Database } = require("bun:sqlite");
  console.log(JSON.stringify(process.argv.slice(1).map((file) => {
    const database = new Database(file, { readonly: true });
    try { return database.query("select applied, hash from meta").get(); } finally { database.close(); }
  })));`;

/** The acknowledged ids that one node does not know, and those that two calls were given: the first one's job is lost. */
export async function lostOf(mesh: Mesh, acknowledged: readonly number[]): Promise<number[]> {
  const client = clientOf(mesh);
  const known = new Set<number>();
  const oldest = Math.min(...acknowledged);
  let next: string | undefined;
  do {
    const page = await client.jobs({ limit: 1000, next });
    for (const job of page.jobs) known.add(job.id);
    if ((page.jobs.at(-1)?.id ?? 0) <= oldest) break;
    next = page.next;
  } while (next !== undefined);
  const seen = new Set<number>();
  return acknowledged.filter((id) => {
    const again = seen.has(id);
    seen.add(id);
    return again || !known.has(id);
  });
}

/** Waits until all jobs have ended, and gives those that ended other than well. */
export async function notSucceeded(mesh: Mesh, ids: readonly number[], timeoutMs = patienceMs): Promise<string[]> {
  const client = clientOf(mesh);
  const view = await client.wait(ids, { timeoutMs });
  return view.jobs.filter((job) => job.state !== "succeeded").map((job) => `job ${job.id} is ${job.state}`);
}

/** Of these jobs, which have ended, those of {@link pulsed}: whose tasks had two attempts alive at once, or more or fewer than the state says. */
export async function notOnce(
  mesh: Mesh,
  ids: readonly number[],
  directory: string,
): Promise<{ readonly judged: number; readonly problems: readonly string[] }> {
  const client = clientOf(mesh);
  const traces = pulsesIn(directory);
  const acknowledged = new Set(ids);
  const pulsing = new Set<number>();
  let next: string | undefined;
  do {
    const page = await client.jobs({ name: pulseName, limit: 1000, next });
    for (const job of page.jobs) if (acknowledged.has(job.id)) pulsing.add(job.id);
    next = page.next;
  } while (next !== undefined);
  const problems: string[] = [];
  const node = mesh.nodes.find((one) => one.running)!;
  for (const id of pulsing) {
    for (const task of await tasksOf(node, id)) {
      const key = `${id}.${task.task}`;
      const problem = pulseProblem(task, traces.get(key) ?? [], `task ${key}`);
      if (problem !== undefined) problems.push(problem);
    }
  }
  return { judged: pulsing.size, problems };
}

/** Waits until nothing moves any more, and gives the different states: one when all nodes are equal. */
export async function statesOf(mesh: Mesh, timeoutMs = patienceMs): Promise<State[]> {
  const files = mesh.nodes.map((node) => path.join(node.data, "state.db"));
  let seen: State[] = [];
  const states = await until(
    async () => {
      const said = await run(tool("bun"), ["-e", readState, ...files], { timeoutMs: patienceMs });
      if (said.code !== 0) throw new Error(`the states cannot be read: ${said.output}`);
      seen = JSON.parse(said.output) as State[];
      return seen.every((one) => one.applied === seen[0]!.applied) ? seen : undefined;
    },
    timeoutMs,
    () => `the states do not meet: ${JSON.stringify(seen)}`,
  );
  return [...new Map(states.map((one) => [one.hash, one])).values()];
}

/** Waits until the mesh is what it was before the trouble: these nodes, well and at work, so many voters, one authority; gives what is not so. */
export async function notSettled(mesh: Mesh, voters: number, timeoutMs = 90_000): Promise<string[]> {
  const client = clientOf(mesh);
  let problems: string[] = [];
  await until(
    async () => {
      problems = unsettledIn(await client.cluster(), mesh, voters);
      return problems.length === 0 ? true : undefined;
    },
    timeoutMs,
    () => "",
  ).catch((error: unknown) => (problems.length === 0 ? problems.push(String(error)) : undefined));
  return problems;
}

function unsettledIn(cluster: ClusterView, mesh: Mesh, voters: number): string[] {
  const wanted = mesh.nodes.map((node) => node.ready.node).toSorted((a, b) => a - b);
  const members = cluster.nodes.map((node) => node.id).toSorted((a, b) => a - b);
  const [authority, ...others] = cluster.authorities;
  const isWell = ({ state, quarantine, certificate }: NodeView): boolean =>
    state === "up" && quarantine === null && certificate?.authority === authority?.fingerprint;
  return [
    ...(members.join() === wanted.join() ? [] : [`the members are ${members.join(", ")}, not ${wanted.join(", ")}`]),
    ...cluster.nodes
      .filter((node) => !isWell(node))
      .map((node) => `node ${node.id} is not well: ${JSON.stringify(node)}`),
    ...(cluster.level === ownLevel ? [] : [`the cluster is at level ${cluster.level}, not ${ownLevel}`]),
    ...(cluster.voters.length === voters ? [] : [`${cluster.voters.length} nodes vote, not ${voters}`]),
    ...(others.length === 0 ? [] : [`the authority is still being replaced: ${JSON.stringify(cluster.authorities)}`]),
    ...(cluster.undecided === null ? [] : [`nobody knows which state is right: ${JSON.stringify(cluster.undecided)}`]),
  ];
}

/** States that differed on the way and were made right again (S1), and commands whose apply threw (S4): neither may happen. */
export async function bugsOf(mesh: Mesh): Promise<string[]> {
  const client = clientOf(mesh);
  const { audit: differing } = await client.audit({ what: "node.quarantine" });
  const { audit } = await client.audit({ limit: 1000 });
  return [...differing, ...audit.filter((one) => one.outcome === "bug")].map(
    ({ at, command, what, outcome }) => `the audit says: ${at} ${command} ${what}: ${outcome}`,
  );
}

function clientOf(mesh: Mesh): SkeinClient {
  const running = mesh.nodes.filter((node) => node.running);
  return new SkeinClient({ addrs: running.map((node) => node.ready.api), token: mesh.nodes[0]!.token });
}
