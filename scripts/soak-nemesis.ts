/** Trouble for a mesh, chosen from a seed: what happens, to whom, for how long. It heals what it did before it resolves. */
import { exit } from "../src/cli/exit.ts";
import { limits } from "../src/lib/limits.ts";
import { type Random, randomInteger, seededRandom } from "../src/lib/prng.ts";
import type { ClusterView } from "../src/state/answers.ts";
import { ownLevel } from "../src/state/levels.ts";
import type { FaultyDisk } from "./faulty-disk.ts";
import { files } from "./faulty-disk.ts";
import { type Mesh, type MeshNode, until } from "./mesh.ts";
import type { Namespaces } from "./namespaces.ts";
import { commandDone } from "./soak-command.ts";

/** What trouble can be made with. */
export interface World {
  readonly mesh: Mesh;
  /** In the order of the nodes; empty: their disks are as they are. Those of a node that joins and is removed come and go. */
  readonly disks: FaultyDisk[];
  /** Host N is that of the N-th node; undefined: all are on one. */
  readonly network: Namespaces | undefined;
  /** How many nodes vote at most; undefined: as many as by default. */
  readonly voters?: number | undefined;
  /** The part of the trouble that outlasts leases, 0 to 1; absent: none. */
  readonly longShare?: number | undefined;
  /** The part of changes to the mesh that other trouble comes in the middle of, 0 to 1; absent: none. */
  readonly overlapShare?: number | undefined;
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
  transfer: { needs: "nothing", weight: 3 },
  drain: { needs: "nothing", weight: 2 },
  "rotate-ca": { needs: "nothing", weight: 1 },
  /** One more node, which stays until it is removed; each is the other's beginning where that is needed. */
  join: { needs: "nothing", weight: 2 },
  rm: { needs: "nothing", weight: 2 },
  /** One of the first nodes is removed, dead with its disk or alive, and its host joins anew; the admin's own node is left out. */
  replace: { needs: "nothing", weight: 2 },
} as const satisfies Record<string, { readonly needs: "nothing" | "network" | "disk"; readonly weight: number }>;
export type Fault = keyof typeof faults;

/** Lowers what a binary understands: see docs/contract.md. */
export const levelVariable = "SKEIN_LEVEL_MAX";

/**
 * Most trouble is short, so that much of it happens. In a soak that has time for it a share lasts longer than a lease (6 s), than it takes until a node is declared lost (8 s) and
 * until a voter is replaced (10 s): limits.ts.
 */
const shortMs = [0, 3000] as const;
const longMs = [7000, 15_000] as const;

/** How long trouble goes on at most while the mesh is changed. */
const meanwhileMs = 20_000;

const tokenReplacements = limits.formerAuthorities / 2;

/** What may go wrong while the mesh is changed, by the change. A node that is down already cannot be killed or find its disk full as well. */
const whileNodesStay: readonly Fault[] = [
  "kill",
  "freeze",
  "stop",
  "partition",
  "one-way",
  "stall",
  "full",
  "transfer",
];
const whileNodesStop: readonly Fault[] = ["freeze", "partition", "one-way", "stall", "transfer"];
const meanwhile: Partial<Record<Fault, readonly Fault[]>> = {
  join: whileNodesStay,
  rm: whileNodesStay,
  drain: whileNodesStay,
  "rotate-ca": whileNodesStay,
  rolling: whileNodesStop,
  upgrade: whileNodesStop,
  replace: whileNodesStop,
};

/** How many of these nodes vote: an odd number, and not more than the world allows. */
export function votersOf({ mesh, voters = 5 }: World): number {
  const most = Math.min(voters, mesh.nodes.length);
  return most % 2 === 0 ? most - 1 : most;
}

/** Sends a signal to a node's process; one that has ended meanwhile is passed over. */
export function signal(node: MeshNode, name: NodeJS.Signals): void {
  if (!node.running) return;
  try {
    process.kill(node.pid, name);
  } catch {
    // it ended between the question and the signal
  }
}

/** A fault, from its beginning until it was healed. */
export interface Trouble {
  readonly fault: Fault;
  readonly beganMs: number;
  readonly endedMs: number;
}

/** One trouble after the other until `isOver` and each kind was there. Tells `say` what it does; gives what there was. */
export async function disturb(
  world: World,
  random: Random,
  kinds: readonly Fault[],
  isOver: () => boolean,
  say: (what: string) => void,
): Promise<readonly Trouble[]> {
  const troubles: Trouble[] = [];
  const countOf = (...faults: readonly Fault[]): number =>
    troubles.filter(({ fault }) => faults.includes(fault)).length;
  let left = kinds;
  const nodes = world.mesh.nodes.length;
  for (;;) {
    // What has not been yet comes first; another authority only once the level allows it.
    const fresh = left.filter((kind) => countOf(kind) === 0 && !(kind === "rotate-ca" && left.includes("upgrade")));
    if (left.length === 0 || (fresh.length === 0 && isOver())) return troubles;
    const kind = draw(fresh.length > 0 ? fresh : left, random);
    if (kind === "upgrade") left = left.filter((one) => one !== "upgrade");
    // A join token outlives limits.formerAuthorities replacements of the authority: each of these may be one, or two when it removes who knows the key.
    if (countOf("rotate-ca", "rm", "join", "replace") % tokenReplacements === 0) world.mesh.forgetToken();
    const others = (meanwhile[kind] ?? []).filter((one) => one !== kind && kinds.includes(one));
    const isOverlapped = random() < (world.overlapShare ?? 0) && others.length > 0;
    // How much comes in between is a matter of time: the seed's own order goes on behind it as it would have.
    const own = seededRandom(randomInteger(random, 1, 2 ** 31));
    const beganMs = performance.now();
    const change = makeTrouble(world, random, kind, nodes, say);
    if (isOverlapped) troubles.push(...(await disturbChange(world, own, others, nodes, change, say)));
    else await change;
    troubles.push({ fault: kind, beganMs, endedMs: performance.now() });
    await pause(randomInteger(random, 300, 2000));
  }
}

/**
 * Short trouble, at least once, until the change is over, or for {@link meanwhileMs}: a node is declared lost by who has led for 8 s, so one that is dead could
 * never be removed while each trouble brings another leader. Throws what went wrong with either of them, once both have ended. */
async function disturbChange(
  world: World,
  random: Random,
  kinds: readonly Fault[],
  nodes: number,
  change: Promise<void>,
  say: (what: string) => void,
): Promise<readonly Trouble[]> {
  const troubles: Trouble[] = [];
  const ending = new AbortController();
  const untilMs = performance.now() + meanwhileMs;
  const isOver = (): boolean => ending.signal.aborted || performance.now() > untilMs;
  const trouble = async (): Promise<void> => {
    do {
      await pause(randomInteger(random, 0, 500));
      const kind = draw(kinds, random);
      const beganMs = performance.now();
      await makeTrouble({ ...world, longShare: 0 }, random, kind, nodes, (what) => say(`meanwhile: ${what}`), nodes);
      troubles.push({ fault: kind, beganMs, endedMs: performance.now() });
    } while (!isOver());
  };
  const ended = await Promise.allSettled([change.finally(() => ending.abort()), trouble()]);
  const errors = ended.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
  if (errors.length > 0)
    throw errors.length === 1 ? errors[0] : new AggregateError(errors, errors.map(String).join("; "));
  return troubles;
}

function draw(kinds: readonly Fault[], random: Random): Fault {
  let at = random() * kinds.reduce((sum, kind) => sum + faults[kind].weight, 0);
  for (const kind of kinds) {
    at -= faults[kind].weight;
    if (at < 0) return kind;
  }
  return kinds.at(-1)!;
}

/** `nodes`: as many as there were at first; one more may have joined since, which is left alone when only the first `victims` are to be hurt. */
async function makeTrouble(
  world: World,
  random: Random,
  kind: Fault,
  nodes: number,
  say: (what: string) => void,
  victims = world.mesh.nodes.length,
): Promise<void> {
  const { mesh, disks, network } = world;
  const between = (low: number, high: number): number => randomInteger(random, low, high);
  // Half of the trouble is the leader's: that is where a mesh is hurt.
  const ofLeader = random() < 0.5;
  const any = between(0, victims - 1);
  const [low, high] = random() < (world.longShare ?? 0) ? longMs : shortMs;
  const forMs = between(low, high);
  const mask = ([files.log, files.state, files.all] as const)[between(0, 2)]!;
  const offMs = between(6000, 3_600_000) * (random() < 0.5 ? 1 : -1);
  const inward = random() < 0.5;
  const leader = ofLeader ? await mesh.leader({ timeoutMs: 60_000 }) : undefined;
  const victim = leader !== undefined && mesh.nodes.indexOf(leader) < victims ? leader : mesh.nodes[any]!;
  const at = mesh.nodes.indexOf(victim);
  const disk = disks[at];
  const others = mesh.nodes.map((_, index) => index + 1).filter((number) => number !== at + 1);
  say(
    ofMesh.has(kind)
      ? kind
      : `${kind} node ${victim.ready.node}${victim === leader ? ", which leads," : ""} for ${forMs} ms`,
  );
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
      await rollingRestart(mesh, undefined, votersOf(world));
      return;
    case "upgrade":
      await upgrade(mesh, votersOf(world));
      return;
    case "transfer":
      await commandDone(mesh, ["cluster", "transfer"]);
      return;
    case "drain": {
      const name = String(victim.ready.node);
      await commandDone(mesh, ["nodes", "drain", name]);
      await pause(forMs);
      await commandDone(mesh, ["nodes", "undrain", name]);
      return;
    }
    case "rotate-ca":
      await replaceAuthority(mesh);
      return;
    case "join":
      if (mesh.nodes.length > nodes) await removeLast(world, say);
      await join(mesh, say);
      return;
    case "rm":
      if (mesh.nodes.length === nodes) {
        await join(mesh, say);
        await pause(forMs);
      }
      await removeLast(world, say);
      return;
    case "replace":
      await replaceNode(world, mesh.nodes[Math.max(1, at)]!, { isDead: inward, isLeading: ofLeader, forMs }, say);
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

/** What happens to the mesh as a whole, or to a node of its own. */
const ofMesh: ReadonlySet<Fault> = new Set<Fault>([
  "kill-all",
  "rolling",
  "upgrade",
  "power-loss",
  "transfer",
  "rotate-ca",
  "join",
  "rm",
  "replace",
]);

/**
 * Until the members believe one authority alone, and it is none of before. It need not be the one that was asked for: the leader replaces the authority by
 * itself when a voter was removed, and one that is not in use yet gives way to the next.
 */
async function replaceAuthority(mesh: Mesh): Promise<void> {
  let seen = "";
  const present = async (): Promise<string[] | undefined> => {
    for (const node of mesh.nodes.filter((one) => one.running && one.wasReady)) {
      const { body } = await node.api("GET", "/v1/cluster").catch(() => ({ body: {} }));
      const { authorities } = body as Partial<ClusterView>;
      if (authorities === undefined) continue;
      seen = JSON.stringify(authorities);
      return authorities.map((one) => one.fingerprint);
    }
    return undefined;
  };
  const former = await until(present, 60_000, () => "the authorities cannot be read");
  await commandDone(mesh, ["cluster", "rotate-ca"]);
  await until(
    async () => {
      const [only, ...others] = (await present()) ?? [];
      return only !== undefined && others.length === 0 && !former.includes(only) ? true : undefined;
    },
    90_000,
    () => `no other authority than ${former.join(", ")} has taken over: ${seen}`,
  );
}

/** One more node. */
async function join(mesh: Mesh, say: (what: string) => void): Promise<void> {
  const node = await mesh.add();
  say(`node ${node.ready.node} has joined`);
}

/** Removes the node that joined last. */
async function removeLast({ mesh, disks }: World, say: (what: string) => void): Promise<void> {
  const node = mesh.nodes.at(-1)!;
  await removeNode(mesh, node, say);
  mesh.nodes.pop();
  if (disks.length > mesh.nodes.length) disks.pop()!.close();
}

/** As a person does: the node gets no more work, and once it has none it goes for good. A dead one has none once it is lost, and cannot be drained then. */
export async function removeNode(mesh: Mesh, node: MeshNode, say: (what: string) => void): Promise<void> {
  const name = String(node.ready.node);
  if (node.running) await commandDone(mesh, ["nodes", "drain", name]);
  // Not found: it is gone already, for the answer to an attempt before was lost.
  await commandDone(mesh, ["nodes", "rm", name], { done: [exit.notFound] });
  await until(
    () => Promise.resolve(node.running ? undefined : true),
    60_000,
    () => `node ${name} was removed and goes on:\n${node.log}`,
  );
  say(`node ${name} was removed`);
}

/** A host whose disk is lost, or that is set up anew. */
async function replaceNode(
  { mesh, disks }: World,
  node: MeshNode,
  how: { readonly isDead: boolean; readonly isLeading: boolean; readonly forMs: number },
  say: (what: string) => void,
): Promise<void> {
  const former = node.ready.node;
  // Handing over to a node that may not lead is refused for good: then it is removed as it is.
  if (how.isLeading) await mesh.skein(["cluster", "transfer", "--to", String(former)], { timeoutMs: 30_000 });
  if (how.isDead) {
    say(`node ${former} is dead and its disk is lost`);
    await node.kill();
    await pause(how.forMs);
  }
  await removeNode(mesh, node, say);
  disks[mesh.nodes.indexOf(node)]?.forget();
  await mesh.replace(node);
  say(`node ${node.ready.node} has joined in place of node ${former}`);
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
  voters = Math.min(3, mesh.nodes.length),
): Promise<void> {
  for (const node of mesh.nodes) {
    await stopInOrder(node);
    await each(node);
    await node.start();
    await mesh.leader({ voters, timeoutMs: 60_000 });
  }
}

/** From the level that the nodes were held at to their own: one by one, then the cluster's level is raised. */
export async function upgrade(mesh: Mesh, voters?: number): Promise<void> {
  await rollingRestart(
    mesh,
    (node) => {
      delete node.environment[levelVariable];
    },
    voters,
  );
  // By its number: "--now" is content with less while a member has not told yet what it understands.
  await commandDone(mesh, ["cluster", "upgrade", "--level", String(ownLevel)]);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
