/**
 * `npm run power-loss -- [--rounds=100] [--seed=N] [--weak=synchronous-off|lying-disk]`: SIGKILL of all nodes and guards at once under load, and then the
 * power is gone: what was not synced is taken back, all or any part of it. After each round nothing acknowledged may be lost, the calls of all clients must
 * be linearizable and the states equal. With `--weak` that must not be so: the nodes are built with synchronous=OFF, or the disk only says that it syncs.
 * Acknowledged writes must be lost within a few rounds (`--rounds=5`), and the exit code tells that they were. Any other complaint does not count as a find.
 */
import path from "node:path";
import { randomInteger, seededRandom, type Random } from "../src/lib/prng.ts";
import { buildIfChanged } from "./build.ts";
import { FaultyDisk, faultyDiskLibrary, files, type PowerLoss } from "./faulty-disk.ts";
import { Mesh, type MeshNode } from "./mesh.ts";
import { type Operation, refuted } from "./soak-history.ts";
import { Load } from "./soak-load.ts";
import { lostOf, statesOf } from "./soak-verdict.ts";
import { numberOption, onInterrupt, onlyOptions, textOption } from "./steps.ts";
import { buildSynchronousOff, synchronousOff } from "./synchronous-off.ts";

export interface PowerLossResult {
  readonly rounds: number;
  readonly acknowledged: number;
  readonly lost: number;
  /** Changes that were not synced when the power went, and how many of them were taken back, in part or whole. */
  readonly unsynced: number;
  readonly undone: number;
  readonly torn: number;
  readonly names: number;
  readonly problems: readonly string[];
}

/** What makes acknowledged writes unsafe in a round: from before the load until the nodes are dead. */
export interface Weakness {
  readonly name: "synchronous-off" | "lying-disk";
  begin(mesh: Mesh, disks: readonly FaultyDisk[]): Promise<void>;
  /** All that is killed is dead; what starts next is sound again. */
  end(mesh: Mesh, disks: readonly FaultyDisk[]): void;
}

/** The disks say that they have synced, and have not. */
export const lyingDisk: Weakness = {
  name: "lying-disk",
  begin(_mesh, disks) {
    for (const disk of disks) disk.set("lie", files.all);
    return Promise.resolve();
  },
  end(_mesh, disks) {
    for (const disk of disks) disk.set("lie", 0);
  },
};

/**
 * The nodes go on as `executable`, one with synchronous=OFF, on honest disks. What was there before it is synced: the sound ones were stopped in
 * peace. And the sound ones judge what is left: a mesh without its first entries would not come back, and show nothing.
 */
export function runningAs(executable: string): Weakness {
  const sound = new Map<MeshNode, string>();
  return {
    name: "synchronous-off",
    async begin(mesh) {
      await Promise.all(mesh.nodes.map((node) => node.stop()));
      for (const node of mesh.nodes) {
        sound.set(node, node.executable);
        node.executable = executable;
      }
      await Promise.all(mesh.nodes.map((node) => node.start()));
      await mesh.leader({ voters: mesh.nodes.length, timeoutMs: 60_000 });
    },
    end(mesh) {
      for (const node of mesh.nodes) node.executable = sound.get(node)!;
    },
  };
}

/** A mesh of which every node has a disk of its own that can lose its power. */
export async function meshOnFaultyDisks(
  library: string,
  nodes: number,
): Promise<{ readonly mesh: Mesh; readonly disks: readonly FaultyDisk[] }> {
  const disks: FaultyDisk[] = [];
  const mesh = await Mesh.start({
    nodes,
    place: (_, directory) => {
      const disk = new FaultyDisk(library, path.join(directory, "disk"), path.join(directory, "data"));
      disk.journal();
      disks.push(disk);
      return { env: disk.environment };
    },
  });
  return { mesh, disks };
}

/**
 * Rounds of load, kill, power loss, restart and judgement on one mesh. Ends early once something is wrong, for there is nothing left to compare with.
 * Nothing but acknowledged ids that the restarted mesh does not know is counted as lost.
 */
export async function powerLossRounds(
  mesh: Mesh,
  disks: readonly FaultyDisk[],
  options: {
    readonly rounds: number;
    readonly random: Random;
    readonly weakness?: Weakness;
    readonly loadMs?: readonly [number, number];
  },
  say: (what: string) => void,
): Promise<PowerLossResult> {
  const sum = { rounds: 0, acknowledged: 0, lost: 0, unsynced: 0, undone: 0, torn: 0, names: 0 };
  const problems: string[] = [];
  /** Of all rounds: what was seen in one binds the next. */
  const history: Operation[] = [];
  const { random, weakness, loadMs = [300, 1200] } = options;
  await mesh.leader({ voters: mesh.nodes.length, timeoutMs: 60_000 });
  while (sum.rounds < options.rounds && problems.length === 0) {
    await weakness?.begin(mesh, disks);
    const load = new Load(mesh, { writers: 6, readers: 2, attemptMs: 4000 });
    await load.nextAcknowledgedMs(0);
    await pause(randomInteger(random, ...loadMs));
    await mesh.killEverything();
    if (weakness !== undefined) {
      weakness.end(mesh, disks);
      // What is lost is counted by ids: nobody may be given one of them anew.
      await load.stop(0);
    }
    const losses: PowerLoss[] = disks.map((disk) => disk.powerLoss(random, weakness === undefined ? undefined : "all"));
    await Promise.all(mesh.nodes.map((node) => node.start()));
    await mesh.leader({ voters: mesh.nodes.length, timeoutMs: 60_000 });
    await load.stop();
    const { acknowledged } = load;
    history.push(...load.history);
    const lost = await lostOf(mesh, acknowledged);
    const states = await statesOf(mesh);
    problems.push(
      ...refuted(history),
      ...lost.slice(0, 5).map((id) => `job ${id} was acknowledged and is lost (${lost.length} in all)`),
      ...(states.length > 1 ? [`the states differ: ${JSON.stringify(states)}`] : []),
    );
    sum.rounds++;
    sum.acknowledged += acknowledged.length;
    sum.lost += lost.length;
    for (const loss of losses) {
      sum.unsynced += loss.unsynced;
      sum.undone += loss.undone;
      sum.torn += loss.torn;
      sum.names += loss.names.length;
    }
    const told = losses.map(
      (one) => `${one.loss} ${one.undone}/${one.unsynced}, ${one.torn} torn, ${one.names.length} names`,
    );
    say(`round ${sum.rounds}: ${acknowledged.length} acknowledged, ${lost.length} lost; ${told.join("; ")}`);
  }
  return { ...sum, problems };
}

/**
 * Is the method able to see a loss? Rounds with a weakness, each on a new mesh, until acknowledged writes are lost, at most
 * `rounds` of them. A mesh that does not come back (it may be that its files make no sense any more, or that the machine is busy) shows nothing about
 * acknowledged writes: it is a problem, and no find.
 */
export async function weakRounds(
  library: string,
  weakness: Weakness,
  options: { readonly rounds: number; readonly random: Random; readonly loadMs?: readonly [number, number] },
  say: (what: string) => void,
): Promise<PowerLossResult> {
  const sum = { rounds: 0, acknowledged: 0, lost: 0, unsynced: 0, undone: 0, torn: 0, names: 0 };
  const problems: string[] = [];
  for (let round = 0; round < options.rounds && sum.lost === 0; round++) {
    const { mesh, disks } = await meshOnFaultyDisks(library, 3);
    await using _ = mesh;
    try {
      const found = await powerLossRounds(mesh, disks, { ...options, rounds: 1, weakness }, say);
      for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += found[key];
      problems.push(...found.problems);
    } catch (error) {
      problems.push(`the mesh cannot be judged: ${String(error)}`);
      say(problems.at(-1)!);
    }
  }
  return { ...sum, problems };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

if (process.argv[1] === import.meta.filename) {
  onlyOptions("power-loss", ["weak", "rounds", "seed"]);
  onInterrupt(() => Mesh.stopAll());
  const weak = process.argv.some((word) => word === "--weak") ? synchronousOff.name : textOption("weak");
  if (weak !== undefined && weak !== synchronousOff.name && weak !== lyingDisk.name) {
    console.error(`power-loss: --weak is ${synchronousOff.name} or ${lyingDisk.name}`);
    process.exit(2);
  }
  const rounds = numberOption("rounds", weak === undefined ? 100 : 5);
  const seed = numberOption("seed", 1 + Math.floor(Math.random() * 2 ** 31));
  const random = seededRandom(seed);
  const disk = await faultyDiskLibrary();
  if ("missing" in disk) {
    console.error(`power-loss: ${disk.missing}`);
    process.exit(2);
  }
  await buildIfChanged();
  const repeated = weak === undefined ? "" : ` --weak=${weak}`;
  console.log(
    `power loss of three nodes, ${weak === undefined ? "" : "at most "}${rounds} times, --seed=${seed}${repeated}`,
  );
  if (weak !== undefined) {
    using built = weak === synchronousOff.name ? await buildSynchronousOff() : undefined;
    const weakness = built === undefined ? lyingDisk : runningAs(built.executable);
    const { problems, ...figures } = await weakRounds(disk.library, weakness, { rounds, random }, console.log);
    console.log(JSON.stringify(figures));
    const isFound = figures.lost > 0;
    if (!isFound) console.error(problems.join("\n"));
    console.log(
      isFound ? "acknowledged writes were lost, as they must be" : "no lost write was found: the method is blind",
    );
    process.exitCode = isFound ? 0 : 1;
  } else {
    const { mesh, disks } = await meshOnFaultyDisks(disk.library, 3);
    await using _ = mesh;
    const { problems, ...figures } = await powerLossRounds(mesh, disks, { rounds, random }, console.log);
    console.log(JSON.stringify(figures));
    if (problems.length > 0)
      console.error([...problems, ...mesh.nodes.flatMap((node) => ["---", node.log])].join("\n"));
    process.exitCode = problems.length > 0 ? 1 : 0;
  }
  process.exit();
}
