/**
 * How long does a voter that was away take to be back under load, what does that cost the others, and does memory stay bounded? Three nodes, one is
 * killed; then, each in a mesh of its own:
 *
 *   log       so many writes are made meanwhile, and the others were told to keep a log that goes back to where it was (SKEIN_LOG_ENTRIES)
 *   snapshot  the same with the log that is kept by default, which does not: what it missed comes as a snapshot of the state
 *   state     so many jobs are in the state, and the log does not go back to where it was
 *
 * What is missed is counted in writes: commands with an acknowledgement of their own, each what other systems log as an entry of its own. Under load an
 * entry of this log holds those of one turn of the leader's loop, so there are fewer entries than writes, and the table gives both. They cancel
 * a job that does not exist, so that what is missed does not grow the state; in the third case single and batched jobs do.
 *
 * The node is started again under half of the load that the other two take at most, and is back when it has applied what the leader had committed a
 * moment before. What the leader keeps of its load is measured until then, or over `--seconds` where that is longer. Resident memory is sampled all
 * the while, beside the size of what had to come.
 *
 * `npm run bench -- catchup [--only=log,snapshot,state] [--missed=1000000] [--jobs=1000000] [--kept=20000] [--seconds=10] [--prepare=1500] [--back=300]`
 *
 * The last three in seconds: of each measurement of load, and what the preparation and the way back may take at most. What was not reached is said, and
 * measured as far as it came. The last lines are a table for docs/reliability.md.
 */
import { readdirSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { Mesh, type MeshNode } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";
import { AnswerReader } from "../src/cli/http-load.ts";
import { limits } from "../src/lib/limits.ts";
import { load as machineLoad, option, printMachine, words } from "./harness.ts";
import { usageOf } from "./processes.ts";

const missed = option("missed", 1_000_000);
const jobs = option("jobs", 1_000_000);
/** Entries that are kept where the log is not to go back; fewer, to try this with less. */
const kept = option("kept", limits.logTrailingEntries);
const seconds = option("seconds", 10);
const prepareMs = option("prepare", 1500) * 1000;
const backMs = option("back", 300) * 1000;
const only = words("only");

const wantedBackMs = 60_000;
const wantedShare = 0.8;
const connections = 64;
const results: Result[] = [];
/** Waits for ever: nothing is run, so nothing else is logged. */
const held = JSON.stringify({ driver: "noop", on: "nowhere=true" });

interface Cluster {
  readonly index: number;
  readonly applied: number;
}

interface Result {
  readonly name: string;
  readonly writesMissed: number;
  readonly entriesMissed: number;
  readonly jobsInState: number;
  readonly logMiB: number;
  readonly stateMiB: number;
  readonly maximumPerSecond: number;
  readonly alonePerSecond: number;
  readonly meanwhilePerSecond: number;
  /** Infinity: not within the bound. */
  readonly backMs: number;
  readonly way: string;
  /** Of a snapshot: until it was made, until it was installed. */
  readonly stagesMs: readonly number[];
  readonly leaderMiB: readonly [number, number];
  readonly followerMiB: number;
  readonly cpuSeconds: readonly [number, number];
}

interface Prepared {
  readonly writes: number;
  readonly jobs: number;
}

async function withNodeAway(
  name: string,
  keptEntries: number,
  prepare: (leader: MeshNode) => Promise<Prepared>,
): Promise<Result> {
  const env = keptEntries === limits.logTrailingEntries ? {} : { SKEIN_LOG_ENTRIES: `${keptEntries}` };
  await using mesh = await Mesh.start({ nodes: 3, env });
  const leader = await mesh.leader({ voters: 3 });
  const away = mesh.nodes.find((node) => node !== leader)!;
  const { applied } = await clusterOf(away);
  await away.kill();
  const began = performance.now();
  const { writes, jobs: jobsInState } = await prepare(leader);
  const entriesMissed = (await clusterOf(leader)).index - applied;
  console.log(
    `${name}: ${writes} writes in ${entriesMissed} entries were missed, after ${formatMs(performance.now() - began)}`,
  );

  using load = new Load(leader, "/v1/jobs", held, 201);
  const maximum = await load.run(Infinity, () => pause(seconds * 1000));
  const alone = await load.run(maximum / 2, () => pause(seconds * 1000));
  console.log(`  ${maximum.toFixed(0)} writes/s at most; of ${(maximum / 2).toFixed(0)} asked for ${alone.toFixed(0)}`);
  const before = usageOf(leader);
  let leaderPeak = 0;
  let followerPeak = 0;
  const sampling = setInterval(() => {
    if (leader.running) leaderPeak = Math.max(leaderPeak, usageOf(leader).rssBytes);
    if (away.running) followerPeak = Math.max(followerPeak, usageOf(away).rssBytes);
  }, 100);
  let took = Infinity;
  const started = performance.now();
  const startedAt = Date.now();
  const meanwhile = await load
    .run(maximum / 2, async () => {
      await away.start();
      while (performance.now() - started < backMs) {
        const goal = (await clusterOf(leader)).index;
        await pause(100);
        if ((await clusterOf(away)).applied < goal) continue;
        took = performance.now() - started;
        break;
      }
      // A rate over less than that says little.
      await pause(seconds * 1000 - (performance.now() - started));
    })
    .finally(() => clearInterval(sampling));
  if (took === Infinity) console.log(`  it is not back after ${formatMs(backMs)}:\n${away.log.slice(-2000)}`);
  const stagesMs = [
    saidAfter(leader, "gets a snapshot", startedAt),
    saidAfter(away, "goes on from a snapshot", startedAt),
  ].filter((ms) => ms !== undefined);
  const result: Result = {
    name,
    writesMissed: writes,
    entriesMissed,
    jobsInState,
    logMiB: mebibytes(sizeOf(leader.data, "log.db")),
    stateMiB: mebibytes(sizeOf(leader.data, "state.db")),
    maximumPerSecond: maximum,
    alonePerSecond: alone,
    meanwhilePerSecond: meanwhile,
    backMs: took,
    way: away.log.includes("goes on from a snapshot") ? "a snapshot, then the log" : "the log",
    stagesMs,
    leaderMiB: [mebibytes(before.rssBytes), mebibytes(leaderPeak)],
    followerMiB: mebibytes(followerPeak),
    cpuSeconds: [(usageOf(leader).cpuMs - before.cpuMs) / 1000, usageOf(away).cpuMs / 1000],
  };
  console.log(`  ${JSON.stringify(result)}`);
  return result;
}

/** Writes that leave nothing in the state which grows with their number. */
async function missWrites(leader: MeshNode): Promise<Prepared> {
  using load = new Load(leader, "/v1/jobs/4000000000/cancel", "{}", 404);
  return { writes: await many(load, missed), jobs: 0 };
}

async function fillState(leader: MeshNode): Promise<Prepared> {
  const perWrite = Math.max(1, Math.ceil(jobs / (kept * 1.5)));
  const body = JSON.stringify({ jobs: Array.from({ length: perWrite }, () => JSON.parse(held) as object) });
  using load = new Load(leader, "/v1/jobs", body, 201);
  const writes = await many(load, Math.ceil(jobs / perWrite));
  return { writes, jobs: writes * perWrite };
}

/** The same, and as many more writes as it takes for the log not to go back to where the node was. */
function forgotten(prepare: (leader: MeshNode) => Promise<Prepared>): (leader: MeshNode) => Promise<Prepared> {
  return async (leader) => {
    const { index } = await clusterOf(leader);
    const prepared = await prepare(leader);
    let { writes } = prepared;
    using more = new Load(leader, "/v1/jobs/4000000000/cancel", "{}", 404);
    const until = performance.now() + prepareMs;
    while ((await clusterOf(leader)).index - index < kept * 1.2 && performance.now() < until)
      writes += await many(more, Math.ceil(kept / 5));
    return { ...prepared, writes };
  };
}

/** So many writes, or as many as the time allows; says how many. */
async function many(load: Load, count: number): Promise<number> {
  const until = performance.now() + prepareMs;
  let written = 0;
  while (written < count && performance.now() < until) {
    const began = performance.now();
    const rate = await load.run(Infinity, async () => {
      while (load.acknowledged < count - written && performance.now() - began < 5000) await pause(20);
    });
    written += load.acknowledged;
    if (process.stdout.isTTY) process.stdout.write(`\r  ${written} of ${count}, ${rate.toFixed(0)}/s   `);
  }
  if (process.stdout.isTTY) process.stdout.write("\r\u001b[K");
  if (written < count) console.log(`  only ${written} of ${count} writes were made in ${formatMs(prepareMs)}`);
  return written;
}

/** Writes at a rate, or as fast as they are taken, over connections that are kept, one write under way on each. */
class Load implements Disposable {
  /** By the present run. */
  acknowledged = 0;
  readonly #node: MeshNode;
  readonly #wanted: number;
  readonly #request: Buffer;
  readonly #lines: Line[] = [];

  constructor(node: MeshNode, route: string, body: string, wanted: number) {
    this.#node = node;
    this.#wanted = wanted;
    const { host } = new URL(node.ready.api);
    this.#request = Buffer.from(
      `POST ${route} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${node.token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
  }

  /** Until `work` is done; gives acknowledged writes per second. */
  async run(perSecond: number, work: () => Promise<void>): Promise<number> {
    const began = performance.now();
    const end = { isOver: false };
    let started = 0;
    this.acknowledged = 0;
    while (this.#lines.length < connections) this.#lines.push(new Line(this.#node));
    const writer = async (line: Line): Promise<void> => {
      while (!end.isOver) {
        const due = began + (started / perSecond) * 1000;
        started++;
        const wait = due - performance.now();
        if (wait > 1) await pause(wait);
        const status = await line.ask(this.#request);
        if (status === this.#wanted) this.acknowledged++;
        else await pause(20); // busy: asked for again at once it would only be refused again
      }
    };
    const writers = this.#lines.map((line) => writer(line));
    try {
      await work();
    } finally {
      end.isOver = true;
    }
    const ms = performance.now() - began;
    const { acknowledged } = this;
    await Promise.all(writers);
    return (acknowledged / ms) * 1000;
  }

  [Symbol.dispose](): void {
    for (const line of this.#lines) line.close();
  }
}

/** One connection. It is made anew after it broke; a leader that has ended is an error. */
class Line {
  readonly #node: MeshNode;
  readonly #reader = new AnswerReader();
  #socket: Socket | undefined;
  #answered: ((status: number) => void) | undefined;

  constructor(node: MeshNode) {
    this.#node = node;
  }

  /** The status of the answer; 0 when the connection broke. */
  ask(request: Buffer): Promise<number> {
    if (!this.#node.running) throw new Error(`the leader ended:\n${this.#node.log}`);
    return new Promise((resolve) => {
      this.#answered = resolve;
      (this.#socket ??= this.#connect()).write(request);
    });
  }

  #connect(): Socket {
    const { hostname, port } = new URL(this.#node.ready.api);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#reader.reset();
    socket.on("data", (bytes: Buffer) => {
      const status = this.#reader.feed(bytes);
      if (status !== undefined) this.#answered?.(status);
    });
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => {
      this.#socket = undefined;
      this.#answered?.(0);
    });
    return socket;
  }

  close(): void {
    this.#socket?.destroy();
  }
}

/** How long after `began` (epoch ms) the node wrote these words, by its own clock; undefined: it did not. */
function saidAfter(node: MeshNode, words: string, began: number): number | undefined {
  const line = node.log.split("\n").findLast((one) => one.includes(words));
  const at = Date.parse(line?.split(" ")[0] ?? "");
  return Number.isNaN(at) || at < began ? undefined : at - began;
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

/** Of a database with its WAL. */
function sizeOf(directory: string, name: string): number {
  const files = readdirSync(directory).filter((each) => each.startsWith(name));
  return files.reduce((sum, each) => sum + statSync(path.join(directory, each)).size, 0);
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

function printTable(): void {
  const line = (cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
  const row = (what: string, wanted: string, pick: (result: Result) => string): void =>
    line([what, wanted, ...results.map(pick)]);
  const judged = (text: string, isMet: boolean): string => (isMet ? text : `${text}, **missed**`);
  const share = (result: Result): number => result.meanwhilePerSecond / result.alonePerSecond;
  console.log(`\nload ${machineLoad()} after the run\n`);
  row("", "wanted", ({ name }) => name);
  row("---", "---", () => "---:");
  row("writes missed", `${missed}`, ({ writesMissed }) => `${writesMissed}`);
  row("in so many entries of the log", "", ({ entriesMissed }) => `${entriesMissed}`);
  row("jobs in the state", `${jobs}`, ({ jobsInState }) => `${jobsInState}`);
  row("log and state of the leader, MiB", "", ({ logMiB, stateMiB }) => `${logMiB}, ${stateMiB}`);
  row("came back by", "", ({ way }) => way);
  row("back in step after", `under ${formatMs(wantedBackMs)}`, (result) =>
    result.backMs === Infinity
      ? judged(`more than ${formatMs(backMs)}`, false)
      : judged(formatMs(result.backMs), result.backMs < wantedBackMs),
  );
  row("a snapshot was made, was installed after", "", ({ stagesMs }) => stagesMs.map(formatMs).join(", ") || "-");
  row("writes per second at most", "", (result) => result.maximumPerSecond.toFixed(0));
  row("at half of it, while nothing happened", "", (result) => result.alonePerSecond.toFixed(0));
  row("at half of it, while it came back", `over ${wantedShare * 100} % of that`, (result) =>
    judged(
      `${result.meanwhilePerSecond.toFixed(0)} (${(share(result) * 100).toFixed(0)} %)`,
      share(result) > wantedShare,
    ),
  );
  row("leader's memory before and at most, MiB", "bounded", ({ leaderMiB }) => leaderMiB.join(", "));
  row("its own memory at most, MiB", "bounded", ({ followerMiB }) => `${followerMiB}`);
  row("processor time of the leader meanwhile, its own, s", "", ({ cpuSeconds }) =>
    cpuSeconds.map((each) => each.toFixed(1)).join(", "),
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}

await printMachine();
const cases: Readonly<Record<string, () => Promise<Result>>> = {
  log: () => withNodeAway("missed, kept in the log", 2 * missed, missWrites),
  snapshot: () => withNodeAway("missed, no longer in the log", kept, forgotten(missWrites)),
  state: () => withNodeAway("a large state", kept, forgotten(fillState)),
};
for (const [name, measure] of Object.entries(cases))
  if (only === undefined || only.includes(name)) results.push(await measure());
printTable();
