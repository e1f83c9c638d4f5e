/**
 * What do ten thousand watchers of one node cost? Memory for each of them, processor time at rest (streams say every 15 s that they are alive), what a job
 * costs while they watch, and what its end costs, beside the same node without any. Watchers wait for a job (ten for each of a thousand), read events of topics that
 * nothing happens in, read those of one job each, or, a tenth as many, read all events of jobs.
 *
 * `npm run bench -- watchers [--watchers=10000] [--jobs=4000] [--rest=15]` (seconds at rest)
 */
import { connect, type Socket } from "node:net";
import { Mesh, type MeshNode, patienceMs, until } from "../scripts/mesh.ts";
import { option, printMachine } from "./harness.ts";
import { usageOf } from "./processes.ts";

const watcherCount = option("watchers", 10_000);
const jobCount = option("jobs", 4000);
const restSeconds = option("rest", 15);
/** Jobs that are watched; they are not to start before somebody cancels them. */
const watchedCount = 1000;

/** Path of the request of one watcher, by its number and the watched jobs. */
type PathOf = (number: number, jobs: readonly number[]) => string;
const kinds: readonly { readonly name: string; readonly count: number; readonly path: PathOf }[] = [
  { name: "nobody", count: 0, path: () => "" },
  { name: "waits", count: watcherCount, path: (number, jobs) => `/v1/jobs/${jobs[number % jobs.length]}?wait=10m` },
  { name: "events of other topics", count: watcherCount, path: () => "/v1/events?topic=node,cluster" },
  {
    name: "events of one job each",
    count: watcherCount,
    path: (number, jobs) => `/v1/events?job=${jobs[number % jobs.length]}`,
  },
  { name: "all events of jobs", count: watcherCount / 10, path: () => "/v1/events?topic=job" },
];

async function once(count: number, path: PathOf): Promise<Record<string, number>> {
  await using mesh = await Mesh.start({ nodes: 1 });
  const node = await mesh.leader();
  await run(node, jobCount);
  const far = new Date(Date.now() + 86_400_000).toISOString();
  const watched = await submit(node, watchedCount, { driver: "noop", start_at: far });
  await untilQuiet(node);
  const before = usageOf(node);
  const watchers = await Promise.all(Array.from({ length: count }, (_, at) => Watcher.open(node, path(at, watched))));
  try {
    await until(
      async () => ((await watchersOf(node)) === count ? true : undefined),
      patienceMs,
      () => `the node does not have ${count} watchers`,
    );
    await untilQuiet(node);
    const opened = usageOf(node);
    const pieces = watchers.map((one) => one.pieces);
    await pause(restSeconds * 1000);
    const rested = usageOf(node);
    await run(node, jobCount);
    await untilQuiet(node);
    const worked = usageOf(node);
    await cancelAll(node, watched);
    await untilQuiet(node);
    const ended = usageOf(node);
    return {
      watchers: count,
      kibPerWatcher: count === 0 ? 0 : (opened.rssBytes - before.rssBytes) / 1024 / count,
      cpuUsToOpenOne: count === 0 ? 0 : ((opened.cpuMs - before.cpuMs) * 1000) / count,
      percentOfACoreAtRest: (rested.cpuMs - opened.cpuMs) / 10 / restSeconds,
      cpuUsPerJob: ((worked.cpuMs - rested.cpuMs) * 1000) / jobCount,
      cpuUsPerCancel: ((ended.cpuMs - worked.cpuMs) * 1000) / watchedCount,
      toldAfterOpening: watchers.filter((one, at) => one.pieces > pieces[at]!).length,
    };
  } finally {
    for (const watcher of watchers) watcher.close();
  }
}

/** One request on a connection of its own; it takes what comes and looks at nothing of it. */
class Watcher {
  readonly #socket: Socket;
  /** Times at which something came. */
  pieces = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", () => (this.pieces += 1)).on("error", () => {});
  }

  static async open(node: MeshNode, path: string): Promise<Watcher> {
    const { hostname, port } = new URL(node.ready.api);
    const socket = connect(Number(port), hostname);
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.write(`GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${node.token}\r\n\r\n`);
    return new Watcher(socket);
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function submit(node: MeshNode, count: number, spec: object): Promise<number[]> {
  const answer = await node.api("POST", "/v1/jobs", { jobs: Array.from({ length: count }, () => spec) });
  if (answer.status !== 201) throw new Error(`POST /v1/jobs: ${answer.status} ${JSON.stringify(answer.body)}`);
  return (answer.body as { ids: number[] }).ids;
}

/** Runs so many jobs to their end. */
async function run(node: MeshNode, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 500) {
    const ids = await submit(node, Math.min(500, left), { driver: "noop" });
    await node.api("POST", "/v1/jobs/wait", { ids, timeout: "50s" });
  }
}

async function cancelAll(node: MeshNode, jobs: readonly number[]): Promise<void> {
  const queue = [...jobs];
  const drive = async (): Promise<void> => {
    for (let job = queue.pop(); job !== undefined; job = queue.pop())
      await node.api("POST", `/v1/jobs/${job}/cancel`, {});
  };
  await Promise.all(Array.from({ length: 16 }, drive));
}

async function watchersOf(node: MeshNode): Promise<number> {
  const page = (await node.api("GET", "/metrics")).body as string;
  return Number(/^skein_watchers (\d+)$/m.exec(page)?.[1]);
}

/** Until the node has done what it had to do: less than 5 % of a core for a second. */
async function untilQuiet(node: MeshNode): Promise<void> {
  for (let second = 0; second < 30; second++) {
    const before = usageOf(node).cpuMs;
    await pause(1000);
    if (usageOf(node).cpuMs - before < 50) return;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

await printMachine();
// Each has a node of its own, so none has to be warmed up, or is measured twice.
for (const { name, count, path } of kinds) {
  const figures = Object.entries(await once(count, path));
  console.log(`\n${name}`);
  for (const [figure, value] of figures)
    console.log(`  ${figure}: ${Number.isInteger(value) ? value : value.toFixed(2)}`);
}
