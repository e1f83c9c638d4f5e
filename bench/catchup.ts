/**
 * How long does a voter that was away take to be back under load, and what does that cost the others? Three nodes; one is killed; then, in turns of
 * their own:
 *   missed   so many entries are written meanwhile
 *   state    so many jobs are in the state, and the log no longer goes back to where it was
 * It is started again under half of the load that the mesh took at most, and is back when it has applied what the leader had committed a moment
 * before. Memory is sampled all the while: it must not grow with what was missed.
 *
 * `npm run bench -- catchup [--missed=1000000] [--jobs=1000000] [--seconds=10] [--kept=20000] [--only=missed|state]`
 */
import { request, Agent } from "node:http";
import { limits } from "../src/lib/limits.ts";
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";
import { option, printMachine } from "./harness.ts";
import { usageOf } from "./processes.ts";

const missed = option("missed", 1_000_000);
const jobs = option("jobs", 1_000_000);
const seconds = option("seconds", 10);
/** Entries that are kept; fewer, to try this with less. */
const kept = option("kept", limits.logTrailingEntries);
const backMs = 600_000;
/** Single jobs, so that entries are small and many. */
const connections = 64;
const held = { driver: "noop", on: "nowhere=true" };

interface Cluster {
  readonly leader: number | null;
  readonly index: number;
  readonly applied: number;
}

interface Result {
  readonly name: string;
  readonly entriesMissed: number;
  readonly maximumPerSecond: number;
  readonly loadAlonePerSecond: number;
  readonly loadMeanwhilePerSecond: number;
  readonly backMs: number;
  readonly way: string;
  readonly leaderMiB: readonly [number, number];
  readonly followerMiB: number;
}

async function withNodeAway(name: string, prepare: (leader: MeshNode) => Promise<void>): Promise<Result> {
  const env = kept === limits.logTrailingEntries ? {} : { SKEIN_LOG_ENTRIES: `${kept}` };
  await using mesh = await Mesh.start({ nodes: 3, env });
  const leader = await mesh.leader({ voters: 3 });
  using load = new Load(leader, "/v1/jobs", held, 201);
  const away = mesh.nodes.find((node) => node !== leader)!;
  const { applied } = await clusterOf(away);
  await away.kill();
  await prepare(leader);
  const entriesMissed = (await clusterOf(leader)).index - applied;
  console.log(`${name}: ${entriesMissed} entries were missed`);

  const maximum = await load.run(Infinity, () => pause(seconds * 1000));
  const alone = await load.run(maximum / 2, () => pause(seconds * 1000));
  console.log(`  ${maximum.toFixed(0)} writes/s at most; of ${(maximum / 2).toFixed(0)} asked for ${alone.toFixed(0)}`);
  const before = usageOf(leader).rssBytes;
  let leaderPeak = 0;
  let followerPeak = 0;
  const sampling = setInterval(() => {
    leaderPeak = Math.max(leaderPeak, usageOf(leader).rssBytes);
    if (away.running) followerPeak = Math.max(followerPeak, usageOf(away).rssBytes);
  }, 100);
  const began = performance.now();
  let took = 0;
  const meanwhile = await load.run(maximum / 2, async () => {
    await away.start();
    await until(
      async () => {
        const goal = (await clusterOf(leader)).index;
        await pause(100);
        return (await clusterOf(away)).applied >= goal ? true : undefined;
      },
      backMs,
      () => `it is not back:\n${away.log.slice(-2000)}`,
    );
    took = performance.now() - began;
  });
  clearInterval(sampling);
  const way = away.log.includes("goes on from a snapshot") ? "a snapshot, then the log" : "the log";
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);
  const result: Result = {
    name,
    entriesMissed,
    maximumPerSecond: maximum,
    loadAlonePerSecond: alone,
    loadMeanwhilePerSecond: meanwhile,
    backMs: took,
    way,
    leaderMiB: [mib(before), mib(leaderPeak)],
    followerMiB: mib(followerPeak),
  };
  console.log(`  ${JSON.stringify(result)}`);
  return result;
}

/** Entries that leave nothing in the state which grows with their number: they cancel a job that does not exist. */
async function missEntries(leader: MeshNode, count: number): Promise<void> {
  using load = new Load(leader, "/v1/jobs/4000000000/cancel", {}, 404);
  const goal = (await clusterOf(leader)).index + count;
  for (;;) {
    const { index } = await clusterOf(leader);
    if (index >= goal) return;
    await load.run(Infinity, () => pause(2000));
  }
}

/** In more entries than are kept, so that the log does not go back to where the node was. */
async function fillState(leader: MeshNode): Promise<void> {
  const batch = Math.ceil(jobs / (kept * 1.5));
  using load = new Load(leader, "/v1/jobs", { jobs: Array.from({ length: batch }, () => held) }, 201);
  let written = 0;
  while (written < jobs) written += batch * (await load.run(Infinity, () => pause(1000)));
  const { index } = await clusterOf(leader);
  if (index < kept * 1.5) await missEntries(leader, kept * 1.5 - index);
}

/** Writes at a rate, or as fast as they are taken, over connections that are kept. */
class Load implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connections });
  readonly #node: MeshNode;
  readonly #path: string;
  readonly #body: string;
  readonly #wanted: number;
  readonly #token: string;

  constructor(node: MeshNode, path: string, body: object, wanted: number) {
    this.#node = node;
    this.#path = path;
    this.#body = JSON.stringify(body);
    this.#wanted = wanted;
    this.#token = node.token;
  }

  /** Until `work` is done; gives acknowledged writes per second. */
  async run(perSecond: number, work: () => Promise<void>): Promise<number> {
    const began = performance.now();
    const end = { isOver: false };
    let started = 0;
    let acknowledged = 0;
    const worker = async (): Promise<void> => {
      while (!end.isOver) {
        const due = began + (started / perSecond) * 1000;
        started++;
        const wait = due - performance.now();
        if (wait > 1) await pause(wait);
        const status = await this.#write();
        if (status === this.#wanted) acknowledged++;
        else await pause(20); // busy: asked for again at once it would only be refused again
      }
    };
    const workers = Array.from({ length: connections }, () => worker());
    try {
      await work();
    } finally {
      end.isOver = true;
    }
    const ms = performance.now() - began;
    const counted = acknowledged;
    await Promise.all(workers);
    return (counted / ms) * 1000;
  }

  #write(): Promise<number> {
    return new Promise((resolve, reject) => {
      const asked = request(
        this.#node.ready.api + this.#path,
        {
          method: "POST",
          agent: this.#agent,
          headers: {
            authorization: `Bearer ${this.#token}`,
            "content-type": "application/json",
            "content-length": this.#body.length,
          },
        },
        (answer) => {
          answer.resume();
          answer.on("end", () => resolve(answer.statusCode ?? 0));
        },
      );
      asked.on("error", () =>
        this.#node.running ? resolve(0) : reject(new Error(`the leader ended:\n${this.#node.log}`)),
      );
      asked.end(this.#body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

function printTable(): void {
  const line = (cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
  const column = (pick: (result: Result) => string): string[] => results.map(pick);
  console.log(`\n${new Date().toISOString().slice(0, 10)}\n`);
  line(["", ...column(({ name }) => name)]);
  line(["---", ...results.map(() => "---:")]);
  line(["entries missed", ...column(({ entriesMissed }) => `${entriesMissed}`)]);
  line(["came back by", ...column(({ way }) => way)]);
  line(["back after", ...column((result) => formatMs(result.backMs))]);
  line(["writes per second at most", ...column((result) => result.maximumPerSecond.toFixed(0))]);
  line(["at half of it, alone", ...column((result) => result.loadAlonePerSecond.toFixed(0))]);
  line([
    "meanwhile",
    ...column(({ loadMeanwhilePerSecond: meanwhile, loadAlonePerSecond: alone }) => {
      return `${meanwhile.toFixed(0)} (${((meanwhile / alone) * 100).toFixed(0)} %)`;
    }),
  ]);
  line(["leader's memory before and at most, MiB", ...column(({ leaderMiB }) => leaderMiB.join(", "))]);
  line(["its own memory at most, MiB", ...column(({ followerMiB }) => `${followerMiB}`)]);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

await printMachine();
const results: Result[] = [];
const only = process.argv.find((arg) => arg.startsWith("--only="))?.slice("--only=".length);
if (only !== "state") results.push(await withNodeAway("missed entries", (leader) => missEntries(leader, missed)));
if (only !== "missed") results.push(await withNodeAway("a large state", fillState));
printTable();
