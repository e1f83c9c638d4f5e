/** Trouble for a mesh, chosen from a seed: what happens, to whom, for how long. It heals what it did before it resolves. */
import { type Random, randomInteger } from "../src/lib/prng.ts";
import type { Mesh, MeshNode } from "./mesh.ts";

/** Sends a signal to a node's process; one that has ended meanwhile is passed over. */
export function signal(node: MeshNode, name: NodeJS.Signals): void {
  if (!node.running) return;
  try {
    process.kill(node.pid, name);
  } catch {
    // it ended between the question and the signal
  }
}

const troubles = ["kill", "kill all", "freeze", "stop", "rolling restart"] as const;

/** One trouble after the other until `isOver`, mostly of one node, now and then of all. Tells `say` what it does. */
export async function disturb(
  mesh: Mesh,
  random: Random,
  isOver: () => boolean,
  say: (what: string) => void,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const between = (low: number, high: number): number => randomInteger(random, low, high);
  while (!isOver()) {
    const draw = random();
    const kind = troubles[draw < 0.4 ? 0 : draw < 0.5 ? 1 : draw < 0.75 ? 2 : draw < 0.92 ? 3 : 4];
    // Half of the trouble is the leader's: that is where a mesh is hurt.
    const leads = random() < 0.5;
    const any = mesh.nodes[between(0, mesh.nodes.length - 1)]!;
    const forMs = between(0, 3000);
    const restMs = between(500, 3000);
    const victim = leads ? await mesh.leader({ timeoutMs: 60_000 }) : any;
    counts[kind] = (counts[kind] ?? 0) + 1;
    say(
      kind.endsWith("all") || kind.startsWith("rolling") ? kind : `${kind} node ${victim.ready.node} for ${forMs} ms`,
    );
    if (kind === "kill") {
      await victim.kill();
      await pause(forMs);
      await victim.start();
    } else if (kind === "kill all") {
      await Promise.all(mesh.nodes.map((node) => node.kill()));
      await Promise.all(mesh.nodes.map((node) => node.start()));
    } else if (kind === "freeze") {
      signal(victim, "SIGSTOP");
      try {
        await pause(forMs);
      } finally {
        signal(victim, "SIGCONT");
      }
    } else if (kind === "stop") {
      await victim.stop();
      await pause(forMs);
      await victim.start();
    } else {
      await rollingRestart(mesh);
    }
    await pause(restMs);
  }
  return counts;
}

/** Stops and starts every node in good order, each once the one before is back and a leader is there. */
export async function rollingRestart(mesh: Mesh): Promise<void> {
  for (const node of mesh.nodes) {
    const code = await node.stop();
    if (code !== 0) throw new Error(`node ${node.ready.node} ended with exit code ${code} after SIGTERM:\n${node.log}`);
    await node.start();
    await mesh.leader({ voters: Math.min(3, mesh.nodes.length), timeoutMs: 60_000 });
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
