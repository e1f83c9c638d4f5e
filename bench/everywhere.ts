/**
 * A command on every node of a large mesh, as a person gives it: `skein run --each-node -b`, from the start of the program until it has ended. All nodes are real ones,
 * on this machine, and share its cores: they wait for one another longer than by default (`cluster set heartbeat=200ms election-timeout=2s`), the voters are scheduled before the others, which
 * wake all at once where a command is for all of them (nice -10, where that is allowed), and they are measured once they are at rest and each has run a task.
 *
 * `npm run bench -- everywhere [--nodes=100] [--rounds=9] [--write]`
 */
import { readdirSync } from "node:fs";
import { cpus, setPriority } from "node:os";
import { Mesh, until } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";
import { measureInTurns, option, printMachine } from "./harness.ts";
import { pause } from "./measure/gauges.ts";
import { conclude } from "./page/conclude.ts";
import { shown, under } from "./page/rows.ts";
import { usageOf } from "./processes.ts";

const count = option("nodes", 100);
/** Joins at once: each takes a core for a while, and every node that is there some of one. */
const joinsAtOnce = 4;
const patienceMs = 600_000;
/** They are at rest when they have left over a fifth of the machine in so many looks, one after the other. */
const restShare = 0.8;
const quietLooks = 3;
const lookMs = 5_000;
const restMsMost = 180_000;
/** Entries that a node may be behind, and counts as one that is there. */
const lagAllowed = 20;

const conditions = await printMachine();
await using mesh = await Mesh.start({ nodes: Math.min(5, count), readyTimeoutMs: patienceMs });
const voters = count < 5 ? (count < 3 ? 1 : 3) : 5;
await mesh.leader({ voters, timeoutMs: patienceMs });
await patiently();
preferVoters();
const began = performance.now();
while (mesh.nodes.length < count) {
  const more = Math.min(joinsAtOnce, count - mesh.nodes.length);
  await Promise.all(Array.from({ length: more }, () => mesh.add()));
}
await everyoneUp(count);
console.log(`${count} nodes after ${formatMs(performance.now() - began)}`);
await atRest();
await firstOnEach();
await atRest();
const same = `the same on ${count} nodes: one line`;
const others = `another line on each of ${count} nodes`;
const figures = await measureInTurns(
  [
    { name: same, measure: () => everywhere("echo here", 1) },
    { name: others, measure: () => everywhere("echo $SKEIN_TARGET", count) },
  ],
  option("rounds", 9),
);
conclude("everywhere", conditions, {
  rows: [under(same, 2000, " ms", figures[same]!["tookMs"]!), shown(others, " ms", figures[others]!["tookMs"]!)],
  figures,
});

/** Runs it and looks whether all of it is there. */
async function everywhere(command: string, groups: number): Promise<{ tookMs: number }> {
  const at = performance.now();
  const said = await mesh.nodes[0]!.skein(["run", "--each-node", "-b", "--", "sh", "-c", command]);
  const tookMs = performance.now() - at;
  const folded = said.stdout.split("\n").filter((line) => /^-+$/.test(line)).length / 2;
  if (said.code !== 0 || folded !== groups || (groups === 1 && !said.stdout.includes(`(${count})`)))
    throw new Error(`${said.code}, ${folded} groups: ${said.stdout.slice(0, 1000)} ${said.stderr.slice(-1000)}`);
  return { tookMs };
}

/** So many nodes on so few cores wait for one another as others do across an ocean: that is no reason to take them for gone, nor to ask more often. */
async function patiently(): Promise<void> {
  const { code, stderr } = await mesh.nodes[0]!.skein(["cluster", "set", "heartbeat=200ms", "election-timeout=2s"]);
  if (code !== 0) throw new Error(stderr);
}

/** On hosts of their own they would not stand in a queue with a hundred others for a core: a leader that has no turn for two seconds is taken for gone. */
function preferVoters(): void {
  try {
    for (const { pid } of mesh.nodes.slice(0, voters))
      for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), -10);
  } catch (error) {
    console.log(`voters are scheduled as all others are: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Young processes are still compiling: until they leave something over is waited for. Where they never do, that is said, and what is measured then is the machine. */
async function atRest(): Promise<void> {
  const end = performance.now() + restMsMost;
  for (let quiet = 0; quiet < quietLooks;) {
    if (performance.now() > end) return console.log(`not at rest after ${formatMs(restMsMost)}: measured all the same`);
    const before = usedMs();
    await pause(lookMs);
    const share = (usedMs() - before) / lookMs / cpus().length;
    quiet = share < restShare ? quiet + 1 : 0;
    console.log(`at rest all nodes take ${(share * 100).toFixed(0)} % of this machine`);
  }
}

/** Processor time of all nodes so far, ms. */
function usedMs(): number {
  return mesh.nodes.reduce((sum, node) => sum + usageOf(node).cpuMs, 0);
}

/** The first task of a node starts its guard, which is another process and stays: a hundred of them at once are no measure of a command. */
async function firstOnEach(): Promise<void> {
  const said = await mesh.nodes[0]!.skein(["run", "--each-node", "--parallel", "4", "--", "true"]);
  if (said.code !== 0) throw new Error(`the first task of a node: ${said.code} ${said.stderr.slice(-500)}`);
}

/** Who joined last is not up for all at once, and who is up may have entries to take in still: all have what the asked one has. */
async function everyoneUp(wanted: number): Promise<void> {
  await until(
    async () => {
      const { body } = await mesh.nodes[0]!.api("GET", "/v1/cluster");
      const { nodes } = body as { nodes: readonly { state: string; lag: number | null }[] };
      const there = nodes.filter(({ state, lag }) => state === "up" && (lag ?? 0) < lagAllowed);
      return there.length === wanted ? true : undefined;
    },
    patienceMs,
    () => `not all of ${wanted} nodes are up`,
  );
}
