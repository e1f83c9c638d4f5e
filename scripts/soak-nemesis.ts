/** Trouble for a mesh, chosen from a seed: what happens, to whom, for how long. It heals what it did before it resolves. */
import { type Random, randomInteger } from "../src/lib/prng.ts";
import type { FaultyDisk } from "./faulty-disk.ts";
import { files } from "./faulty-disk.ts";
import { type Mesh, type MeshNode, until } from "./mesh.ts";
import type { Namespaces } from "./namespaces.ts";

/** What trouble can be made with. */
export interface World {
  readonly mesh: Mesh;
  /** In the order of the nodes; empty: their disks are as they are. */
  readonly disks: readonly FaultyDisk[];
  /** Host N is that of the N-th node; undefined: all are on one. */
  readonly network: Namespaces | undefined;
}

/** Every kind of trouble, what it needs, and how often it is chosen among the others. */
export const faults = {
  kill: { needs: "nothing", weight: 8 },
  "kill-all": { needs: "nothing", weight: 2 },
  freeze: { needs: "nothing", weight: 5 },
  stop: { needs: "nothing", weight: 3 },
  rolling: { needs: "nothing", weight: 2 },
  /** Once per run: the mesh begins one level lower, every node is restarted as its newer self, and the level is raised. */
  upgrade: { needs: "nothing", weight: 2 },
  partition: { needs: "network", weight: 6 },
  "one-way": { needs: "network", weight: 6 },
  stall: { needs: "disk", weight: 4 },
  full: { needs: "disk", weight: 4 },
  clock: { needs: "disk", weight: 3 },
  "power-loss": { needs: "disk", weight: 3 },
} as const satisfies Record<string, { readonly needs: "nothing" | "network" | "disk"; readonly weight: number }>;
export type Fault = keyof typeof faults;

/** Lowers what a binary understands: see docs/contract.md. */
export const levelVariable = "SKEIN_LEVEL_MAX";

/** Sends a signal to a node's process; one that has ended meanwhile is passed over. */
export function signal(node: MeshNode, name: NodeJS.Signals): void {
  if (!node.running) return;
  try {
    process.kill(node.pid, name);
  } catch {
    // it ended between the question and the signal
  }
}

/** One trouble after the other until `isOver` and each kind was there. Tells `say` what it does; gives how often each was. */
export async function disturb(
  world: World,
  random: Random,
  kinds: readonly Fault[],
  isOver: () => boolean,
  say: (what: string) => void,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  let left = kinds;
  for (;;) {
    // What has not been yet comes first.
    const fresh = left.filter((kind) => counts[kind] === undefined);
    if (left.length === 0 || (fresh.length === 0 && isOver())) return counts;
    const kind = draw(fresh.length > 0 ? fresh : left, random);
    if (kind === "upgrade") left = left.filter((one) => one !== "upgrade");
    counts[kind] = (counts[kind] ?? 0) + 1;
    await makeTrouble(world, random, kind, say);
    await pause(randomInteger(random, 300, 2000));
  }
}

function draw(kinds: readonly Fault[], random: Random): Fault {
  let at = random() * kinds.reduce((sum, kind) => sum + faults[kind].weight, 0);
  for (const kind of kinds) {
    at -= faults[kind].weight;
    if (at < 0) return kind;
  }
  return kinds.at(-1)!;
}

async function makeTrouble(world: World, random: Random, kind: Fault, say: (what: string) => void): Promise<void> {
  const { mesh, disks, network } = world;
  const between = (low: number, high: number): number => randomInteger(random, low, high);
  // Half of the trouble is the leader's: that is where a mesh is hurt.
  const ofLeader = random() < 0.5;
  const any = between(0, mesh.nodes.length - 1);
  const forMs = between(0, 3000);
  const mask = ([files.log, files.state, files.all] as const)[between(0, 2)]!;
  const offMs = between(6000, 3_600_000) * (random() < 0.5 ? 1 : -1);
  const inward = random() < 0.5;
  const victim = ofLeader ? await mesh.leader({ timeoutMs: 60_000 }) : mesh.nodes[any]!;
  const at = mesh.nodes.indexOf(victim);
  const disk = disks[at];
  const others = mesh.nodes.map((_, index) => index + 1).filter((number) => number !== at + 1);
  const ofAll = kind === "kill-all" || kind === "rolling" || kind === "upgrade" || kind === "power-loss";
  say(ofAll ? kind : `${kind} node ${victim.ready.node}${ofLeader ? ", which leads," : ""} for ${forMs} ms`);
  switch (kind) {
    case "kill":
      await victim.kill();
      await pause(forMs);
      await victim.start();
      return;
    case "kill-all":
      await Promise.all(mesh.nodes.map((node) => node.kill()));
      await Promise.all(mesh.nodes.map((node) => node.start()));
      return;
    case "freeze":
      signal(victim, "SIGSTOP");
      await healed(forMs, () => signal(victim, "SIGCONT"));
      return;
    case "stop":
      await stopInOrder(victim);
      await pause(forMs);
      await victim.start();
      return;
    case "rolling":
      await rollingRestart(mesh);
      return;
    case "upgrade":
      await upgrade(mesh);
      return;
    case "partition":
      network!.isolate(at + 1, others);
      await healed(forMs, () => network!.heal());
      return;
    case "one-way":
      for (const other of others) network!.cut(inward ? other : at + 1, inward ? at + 1 : other);
      await healed(forMs, () => network!.heal());
      return;
    case "stall":
      disk!.set("stall", mask);
      await healed(forMs, () => disk!.heal());
      return;
    case "full":
      disk!.set("full", mask);
      await healed(forMs, () => disk!.heal());
      return;
    case "clock":
      disk!.set("clockOffMs", offMs);
      await healed(forMs, () => disk!.heal());
      return;
    case "power-loss": {
      await mesh.killEverything();
      const losses = disks.map((one) => one.powerLoss(random));
      say(`taken back: ${losses.map((loss) => `${loss.undone} of ${loss.unsynced}`).join(", ")}`);
      await Promise.all(mesh.nodes.map((node) => node.start()));
      return;
    }
  }
}

async function healed(forMs: number, heal: () => void): Promise<void> {
  try {
    await pause(forMs);
  } finally {
    heal();
  }
}

async function stopInOrder(node: MeshNode): Promise<void> {
  const code = await node.stop();
  if (code !== 0) throw new Error(`node ${node.ready.node} ended with exit code ${code} after SIGTERM:\n${node.log}`);
}

/** Stops and starts every node in good order, each once the one before is back and a leader is there; `each` is called while it is down. */
export async function rollingRestart(
  mesh: Mesh,
  each: (node: MeshNode) => void | Promise<void> = () => {},
): Promise<void> {
  for (const node of mesh.nodes) {
    await stopInOrder(node);
    await each(node);
    await node.start();
    await mesh.leader({ voters: Math.min(3, mesh.nodes.length), timeoutMs: 60_000 });
  }
}

/** From the level that the nodes were held at to their own: one by one, then the cluster's level is raised. */
export async function upgrade(mesh: Mesh): Promise<void> {
  await rollingRestart(mesh, (node) => {
    delete node.environment[levelVariable];
  });
  await until(
    async () => {
      const said = await mesh.nodes[0]!.skein(["cluster", "upgrade", "--now"]);
      if (said.code === 0) return true;
      await pause(200);
      return undefined;
    },
    60_000,
    () => "the level cannot be raised",
  );
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
