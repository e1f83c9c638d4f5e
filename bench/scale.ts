/**
 * What does a large mesh cost, and does it hold together? Real nodes of this binary on this machine: five voters (three of three), the rest
 * learners. For each size: until all are in step; processor time at rest; what an entry costs at a fixed rate of writes, on top of rest; and how long
 * writes are held up when the leader's process dies, and until all are in step again. Rest is measured before the writes and after them: half of what the
 * two differ by is noise, and a cost that is no larger is not told from it.
 *
 * `npm run bench -- scale [--sizes=3,10,30,100] [--settle=20] [--rest=20] [--load=20] [--rate=20] [--kills=3]` (seconds; writes per second)
 *
 * Each wait has a bound. A size that does not get as far is said, and left out; the others are measured all the same. The last lines are a table for
 * docs/reliability.md.
 */
import { Mesh, type MeshNode, until } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";
import { list, load, median, option, printMachine } from "./harness.ts";
import { usageOf, usageWithGuard } from "./processes.ts";

const sizes = list("sizes", [3, 10, 30, 100]);
const settleSeconds = option("settle", 20);
const restSeconds = option("rest", 20);
const loadSeconds = option("load", 20);
const ratePerSecond = option("rate", 20);
const kills = option("kills", 3);
/** Until a write counts as one that never comes. */
const writeMs = 60_000;
/** Joins at once: each takes a core for a while. */
const joinsAtOnce = 4;
const inStepMs = 300_000;

interface Cluster {
  readonly leader: number | null;
  readonly term: number;
  readonly index: number;
  readonly applied: number;
  readonly voters: readonly number[];
  readonly feeds: readonly number[];
  readonly fed_by: number | null;
}

interface Row {
  readonly nodes: number;
  readonly joinedMs: number;
  readonly joinCpuMs: number;
  readonly leaderRestPercent: number;
  readonly followerRestPercent: number;
  readonly learnerRestPercent: number;
  readonly allRestPercent: number;
  readonly nodeMiB: number;
  readonly leaderCost: CostOfEntries;
  readonly allCost: CostOfEntries;
  readonly elections: number;
  readonly nextWriteMs: number;
  readonly inStepAgainMs: number;
}

/** Milliseconds of processor time for 1,000 entries, and how much of that rest alone may be. */
interface CostOfEntries {
  readonly cpuMs: number;
  readonly noiseMs: number;
}

await printMachine();
const rows: Row[] = [];
const failed: number[] = [];
for (const size of sizes) {
  try {
    rows.push(await measure(size));
  } catch (error) {
    failed.push(size);
    console.log(`${size} nodes: ${error instanceof Error ? error.message : String(error)}`);
  }
}
printTable();
if (failed.length > 0) process.exitCode = 1;

async function measure(size: number): Promise<Row> {
  const began = performance.now();
  await using mesh = await Mesh.start({ nodes: Math.min(size, 5), readyTimeoutMs: inStepMs });
  const voters = size < 5 ? 3 : 5;
  await mesh.leader({ voters, timeoutMs: inStepMs });
  while (mesh.nodes.length < size) {
    const count = Math.min(joinsAtOnce, size - mesh.nodes.length);
    await Promise.all(Array.from({ length: count }, () => mesh.add()));
  }
  await inStep(mesh);
  const joinedMs = performance.now() - began;
  const joinCpuMs = sum(mesh.nodes.map((node) => usageOf(node).cpuMs)) / size;
  console.log(`${size} nodes: all in step after ${formatMs(joinedMs)}, ${joinCpuMs.toFixed(0)} ms of CPU each`);

  await pause(settleSeconds * 1000);
  const { leader, views, rests, loaded, entries, elections } = await steadily(mesh, voters);
  const votes = new Set(views.get(leader)!.voters);
  /** Of one core, before the writes and after them. */
  const shares = (nodes: readonly MeshNode[]): [number, number] => {
    const [before, after] = rests.map(({ ms, cpuMs }) => sum(nodes.map((node) => cpuMs.get(node)!)) / ms);
    return [before!, after!];
  };
  const percent = (nodes: readonly MeshNode[]): number =>
    nodes.length === 0 ? 0 : (sum(shares(nodes)) / 2 / nodes.length) * 100;
  const followers = mesh.nodes.filter((node) => node !== leader && votes.has(node.ready.node));
  const learners = mesh.nodes.filter((node) => !votes.has(node.ready.node));
  const deepest = Math.max(...[...views.keys()].map((node) => depthOf(node, views)));
  console.log(`  tree: ${views.get(leader)!.feeds.length} fed by the leader, ${deepest} hops deep`);
  const costOf1000 = (nodes: readonly MeshNode[]): CostOfEntries => {
    const [before, after] = shares(nodes);
    const perThousand = (ms: number): number => (ms / entries) * 1000;
    const spent = sum(nodes.map((node) => loaded.cpuMs.get(node)!));
    return {
      cpuMs: perThousand(spent - ((before + after) / 2) * loaded.ms),
      noiseMs: perThousand((Math.abs(after - before) / 2) * loaded.ms),
    };
  };
  await inStep(mesh);

  const next: number[] = [];
  const again: number[] = [];
  for (let kill = 0; kill < kills; kill++) {
    const dies = await mesh.leader({ voters, timeoutMs: inStepMs });
    const survivor = mesh.nodes.find((node) => node !== dies && votes.has(node.ready.node))!;
    await written(survivor);
    const at = performance.now();
    const killed = dies.kill();
    await written(survivor);
    next.push(performance.now() - at);
    await killed;
    await inStep(mesh);
    again.push(performance.now() - at);
    await dies.start();
    await inStep(mesh);
  }
  const row: Row = {
    nodes: size,
    joinedMs,
    joinCpuMs,
    leaderRestPercent: percent([leader]),
    followerRestPercent: percent(followers),
    learnerRestPercent: percent(learners),
    allRestPercent: percent(mesh.nodes) * mesh.nodes.length,
    nodeMiB: Math.max(...mesh.nodes.map((node) => usageWithGuard(node).rssBytes)) / 2 ** 20,
    leaderCost: costOf1000([leader]),
    allCost: costOf1000(mesh.nodes),
    elections,
    nextWriteMs: median(next),
    inStepAgainMs: median(again),
  };
  console.log(`  ${JSON.stringify(row)}`);
  return row;
}

interface Steady {
  readonly leader: MeshNode;
  readonly views: ReadonlyMap<MeshNode, Cluster>;
  /** Before the load and after it. */
  readonly rests: readonly [Cost, Cost];
  readonly loaded: Cost;
  readonly entries: number;
  /** That nobody asked for, over all tries. */
  readonly elections: number;
}

/** What rest and load cost under one leader: tried again, a few times, where another one was elected in between, as on a machine that is too busy. */
async function steadily(mesh: Mesh, voters: number): Promise<Steady> {
  let elections = 0;
  for (let tries = 1; ; tries++) {
    const leader = await mesh.leader({ voters, timeoutMs: inStepMs });
    const views = new Map(await Promise.all(mesh.nodes.map(async (node) => [node, await clusterOf(node)] as const)));
    const restBefore = await costOf(mesh, restSeconds * 1000);
    const before = await clusterOf(leader);
    const loaded = await costOf(mesh, loadSeconds * 1000, () => write(leader, loadSeconds * ratePerSecond));
    const entries = (await clusterOf(leader)).index - before.index;
    await inStep(mesh);
    const rests = [restBefore, await costOf(mesh, restSeconds * 1000)] as const;
    const passed = (await clusterOf(leader)).term - views.get(leader)!.term;
    elections += passed;
    if (passed === 0 || tries === 3) return { leader, views, rests, loaded, entries, elections };
    console.log(`  another one was elected meanwhile: measured again`);
  }
}

interface Cost {
  readonly ms: number;
  readonly cpuMs: ReadonlyMap<MeshNode, number>;
}

/** Processor time of every node over a while, or over what is done meanwhile if that takes longer. */
async function costOf(mesh: Mesh, ms: number, work: () => Promise<void> = () => Promise.resolve()): Promise<Cost> {
  const began = performance.now();
  const before = new Map(mesh.nodes.map((node) => [node, usageOf(node).cpuMs]));
  await Promise.all([work(), pause(ms)]);
  const cpuMs = new Map(mesh.nodes.map((node) => [node, usageOf(node).cpuMs - before.get(node)!]));
  return { ms: performance.now() - began, cpuMs };
}

/** One write, asked for again while it is refused for the moment. */
async function written(node: MeshNode): Promise<void> {
  let said = "no answer";
  await until(
    async () => {
      const answer = await node.api("POST", "/v1/jobs", { driver: "noop", on: "nowhere=true" });
      said = `${answer.status} ${JSON.stringify(answer.body)}`;
      return answer.status === 201 ? true : undefined;
    },
    writeMs,
    () => `node ${node.ready.node} took no write: ${said}`,
  );
}

/** At the fixed rate, each an entry of its own as far as they do not meet; nothing is run, so nothing else is logged. */
async function write(leader: MeshNode, count: number): Promise<void> {
  const began = performance.now();
  const under = new Set<Promise<void>>();
  const problems: unknown[] = [];
  for (let sent = 0; sent < count && problems.length === 0; sent++) {
    const due = began + (sent / ratePerSecond) * 1000;
    if (due > performance.now()) await pause(due - performance.now());
    const one = written(leader)
      .catch((error: unknown) => void problems.push(error))
      .finally(() => under.delete(one));
    under.add(one);
    if (under.size > 64) await Promise.race(under);
  }
  await Promise.all(under);
  if (problems.length > 0) throw problems[0];
}

async function inStep(mesh: Mesh): Promise<void> {
  const running = mesh.nodes.filter((node) => node.running);
  const leader = await mesh.leader({ timeoutMs: inStepMs });
  const goal = (await clusterOf(leader)).index;
  let behind: MeshNode[] = running;
  await until(
    async () => {
      const views = await Promise.all(behind.map((node) => clusterOf(node)));
      behind = behind.filter((_, at) => views[at]!.applied < goal);
      return behind.length === 0 ? true : undefined;
    },
    inStepMs,
    () => `nodes ${behind.map((node) => node.ready.node).join(", ")} do not reach entry ${goal}`,
  );
}

function depthOf(node: MeshNode, views: ReadonlyMap<MeshNode, Cluster>): number {
  const feeders = new Map([...views].map(([one, view]) => [one.ready.node, view.fed_by]));
  let hops = 0;
  for (let at = feeders.get(node.ready.node); at !== null && at !== undefined; at = feeders.get(at)) hops++;
  return hops;
}

async function clusterOf(node: MeshNode): Promise<Cluster> {
  return (await node.api("GET", "/v1/cluster")).body as Cluster;
}

function printTable(): void {
  const line = (cells: readonly (string | number)[]): void => console.log(`| ${cells.join(" | ")} |`);
  const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(2));
  const costly = ({ cpuMs, noiseMs }: CostOfEntries): string =>
    cpuMs > noiseMs ? `${short(cpuMs)} ± ${short(noiseMs)}` : `not told from noise (± ${short(noiseMs)})`;
  const column = (pick: (row: Row) => string): string[] => rows.map(pick);
  console.log(`\nload ${load()} after the run\n`);
  line(["", ...rows.map((row) => `${row.nodes} nodes`)]);
  line(["---", ...rows.map(() => "---:")]);
  line(["start to all in step", ...column((row) => formatMs(row.joinedMs))]);
  line(["CPU until then, per node, ms", ...column((row) => row.joinCpuMs.toFixed(0))]);
  line(["at rest, leader, % of a core", ...column((row) => short(row.leaderRestPercent))]);
  line(["at rest, follower", ...column((row) => short(row.followerRestPercent))]);
  line(["at rest, learner", ...column((row) => (row.nodes > 5 ? short(row.learnerRestPercent) : "-"))]);
  line(["at rest, all nodes", ...column((row) => short(row.allRestPercent))]);
  line(["CPU per 1,000 entries, leader, ms", ...column((row) => costly(row.leaderCost))]);
  line(["CPU per 1,000 entries, all nodes, ms", ...column((row) => costly(row.allCost))]);
  line(["elections that nobody asked for, at rest and under load", ...column((row) => `${row.elections}`)]);
  line(["SIGKILL of the leader to the next write", ...column((row) => formatMs(row.nextWriteMs))]);
  line(["SIGKILL of the leader to all in step", ...column((row) => formatMs(row.inStepAgainMs))]);
  if (failed.length > 0) line([`**not measured**: ${failed.join(", ")} nodes`, ...column(() => "")]);
  line(["memory of a node and its guard, most, MiB", ...column((row) => short(row.nodeMiB))]);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
