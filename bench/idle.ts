/**
 * What does a mesh cost that does nothing, and how soon is it there? Time from start to `ready`, to the first accepted job of a three-node mesh,
 * and to three voters; then memory and processor time of every node with its guard, at rest.
 *
 * `npm run bench -- idle [--rounds=3] [--settle=30] [--rest=20]` (seconds before and while it is measured)
 */
import { readdirSync, readFileSync } from "node:fs";
import { Mesh, type MeshNode } from "../scripts/mesh.ts";
import { submit } from "../scripts/mesh-jobs.ts";
import { compare, option, printMachine } from "./harness.ts";

const restSeconds = option("rest", 20);
const settleSeconds = option("settle", 30);
/** Linux counts processor time in these. */
const ticksPerSecond = 100;

await printMachine();
await compare([{ name: "three nodes", measure: () => once() }], option("rounds", 3));

async function once(): Promise<Record<string, number>> {
  const began = performance.now();
  await using mesh = await Mesh.start({ nodes: 1 });
  const readyMs = performance.now() - began;
  const others = [mesh.add(), mesh.add()];
  await Promise.all(others);
  await submit(mesh.nodes[2]!, { driver: "noop" });
  const firstJobMs = performance.now() - began;
  await mesh.leader({ voters: 3 });
  const threeVotersMs = performance.now() - began;
  // The runtime goes on compiling what start-up used; that is not rest.
  await pause(settleSeconds * 1000);
  const before = mesh.nodes.map((node) => usage(node));
  await pause(restSeconds * 1000);
  const after = mesh.nodes.map((node) => usage(node));
  const leader = mesh.nodes.indexOf(await mesh.leader());
  const percent = (at: number): number => ((after[at]!.ticks - before[at]!.ticks) / ticksPerSecond / restSeconds) * 100;
  const followers = [0, 1, 2].filter((at) => at !== leader);
  return {
    readyMs,
    firstJobMs,
    threeVotersMs,
    leaderPercentOfACore: percent(leader),
    followerPercentOfACore: Math.max(...followers.map(percent)),
    nodeAndGuardMiB: Math.max(...after.map((each) => each.rssBytes)) / 2 ** 20,
  };
}

/** Of the node's process and its guard's, all threads. */
function usage(node: MeshNode): { readonly ticks: number; readonly rssBytes: number } {
  let ticks = 0;
  let rssBytes = 0;
  for (const pid of [node.pid, guardOf(node)]) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
    rssBytes += Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096;
  }
  return { ticks, rssBytes };
}

function guardOf(node: MeshNode): number {
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      if (words[1] === "guard" && words[3] === node.data) return Number(name);
    } catch {
      // It ended while we looked.
    }
  }
  throw new Error(`the guard of ${node.data} was not found`);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
