/**
 * What does a mesh cost that does nothing, and how soon is it there? Time from start to `ready`, to the first accepted job of a three-node mesh,
 * and to three voters; then memory and processor time of every node with its guard, at rest.
 *
 * `npm run bench -- idle [--rounds=3] [--settle=30] [--rest=20]` (seconds before and while it is measured)
 */
import { Mesh } from "../scripts/mesh.ts";
import { submit } from "../scripts/mesh-jobs.ts";
import { compare, option, printMachine } from "./harness.ts";
import { usageWithGuard } from "./processes.ts";

const restSeconds = option("rest", 20);
const settleSeconds = option("settle", 30);

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
  const before = mesh.nodes.map((node) => usageWithGuard(node));
  await pause(restSeconds * 1000);
  const after = mesh.nodes.map((node) => usageWithGuard(node));
  const leader = mesh.nodes.indexOf(await mesh.leader());
  const percent = (at: number): number => ((after[at]!.cpuMs - before[at]!.cpuMs) / 1000 / restSeconds) * 100;
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
