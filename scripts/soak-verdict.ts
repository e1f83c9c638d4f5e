/** What must hold once the trouble is over: nothing acknowledged is lost, every job has one end, all nodes have the same state. */
import path from "node:path";
import { SkeinClient } from "../src/client/client.ts";
import { type Mesh, until } from "./mesh.ts";
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
export async function notSucceeded(mesh: Mesh, ids: readonly number[], timeoutMs = 120_000): Promise<string[]> {
  const client = clientOf(mesh);
  const view = await client.wait(ids, { timeoutMs });
  return view.jobs.filter((job) => job.state !== "succeeded").map((job) => `job ${job.id} is ${job.state}`);
}

/** Waits until nothing moves any more, and gives the different states: one when all nodes are equal. */
export async function statesOf(mesh: Mesh, timeoutMs = 60_000): Promise<State[]> {
  const files = mesh.nodes.map((node) => path.join(node.data, "state.db"));
  let seen: State[] = [];
  const states = await until(
    async () => {
      const said = await run(tool("bun"), ["-e", readState, ...files], { timeoutMs: 30_000 });
      if (said.code !== 0) throw new Error(`the states cannot be read: ${said.output}`);
      seen = JSON.parse(said.output) as State[];
      return seen.every((one) => one.applied === seen[0]!.applied) ? seen : undefined;
    },
    timeoutMs,
    () => `the states do not meet: ${JSON.stringify(seen)}`,
  );
  return [...new Map(states.map((one) => [one.hash, one])).values()];
}

function clientOf(mesh: Mesh): SkeinClient {
  const running = mesh.nodes.filter((node) => node.running);
  return new SkeinClient({ addrs: running.map((node) => node.ready.api), token: mesh.nodes[0]!.token });
}
