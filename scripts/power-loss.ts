/**
 * `npm run power-loss -- [--rounds=100] [--seed=N] [--weak]`: SIGKILL of all nodes and guards at once under load, and then the power is gone:
 * what was not synced is taken back, all or any part of it. After each round nothing acknowledged may be lost, the calls of all clients must be
 * linearizable and the states equal. With `--weak` the disk only says that it syncs, as with synchronous=OFF: acknowledged writes must be lost
 * within a few rounds (`--rounds=5`), and the exit code tells that they were. Any other complaint does not count as a find.
 */
import path from "node:path";
import { randomInteger, seededRandom, type Random } from "../src/lib/prng.ts";
import { buildIfChanged } from "./build.ts";
import { FaultyDisk, faultyDiskLibrary, files, type PowerLoss } from "./faulty-disk.ts";
import { Mesh } from "./mesh.ts";
import { type Operation, refuted } from "./soak-history.ts";
import { Load } from "./soak-load.ts";
import { lostOf, statesOf } from "./soak-verdict.ts";
import { numberOption, onInterrupt } from "./steps.ts";

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
    readonly weak: boolean;
    readonly loadMs?: readonly [number, number];
  },
  say: (what: string) => void,
): Promise<PowerLossResult> {
  const sum = { rounds: 0, acknowledged: 0, lost: 0, unsynced: 0, undone: 0, torn: 0, names: 0 };
  const problems: string[] = [];
  /** Of all rounds: what was seen in one binds the next. */
  const history: Operation[] = [];
  const { random, weak, loadMs = [300, 1200] } = options;
  await mesh.leader({ voters: mesh.nodes.length, timeoutMs: 60_000 });
  while (sum.rounds < options.rounds && problems.length === 0) {
    if (weak) for (const disk of disks) disk.set("lie", files.all);
    const load = new Load(mesh, { writers: 6, readers: 2, attemptMs: 4000 });
    await load.nextAcknowledgedMs(0);
    await pause(randomInteger(random, ...loadMs));
    await mesh.killEverything();
    if (weak) {
      for (const disk of disks) disk.set("lie", 0);
      // What is lost is counted by ids: nobody may be given one of them anew.
      await load.stop(0);
    }
    const losses: PowerLoss[] = disks.map((disk) => disk.powerLoss(random, weak ? "all" : undefined));
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
 * Is the method able to see a loss? Rounds on disks that only say that they sync, each on a new mesh, until acknowledged writes are lost, at most
 * `rounds` of them. A mesh that does not come back (it may be that its files make no sense any more, or that the machine is busy) shows nothing about
 * acknowledged writes: it is a problem, and no find.
 */
export async function weakRounds(
  library: string,
  options: { readonly rounds: number; readonly random: Random; readonly loadMs?: readonly [number, number] },
  say: (what: string) => void,
): Promise<PowerLossResult> {
  const sum = { rounds: 0, acknowledged: 0, lost: 0, unsynced: 0, undone: 0, torn: 0, names: 0 };
  const problems: string[] = [];
  for (let round = 0; round < options.rounds && sum.lost === 0; round++) {
    const { mesh, disks } = await meshOnFaultyDisks(library, 3);
    await using _ = mesh;
    try {
      const found = await powerLossRounds(mesh, disks, { ...options, rounds: 1, weak: true }, say);
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
  onInterrupt(() => Mesh.stopAll());
  const weak = process.argv.includes("--weak");
  const rounds = numberOption("rounds", weak ? 5 : 100);
  const seed = numberOption("seed", 1 + Math.floor(Math.random() * 2 ** 31));
  const disk = await faultyDiskLibrary();
  if ("missing" in disk) {
    console.error(`power-loss: ${disk.missing}`);
    process.exit(2);
  }
  await buildIfChanged();
  console.log(
    `power loss of three nodes, ${weak ? "at most " : ""}${rounds} times, --seed=${seed}${weak ? " --weak" : ""}`,
  );
  if (weak) {
    const random = seededRandom(seed);
    const { problems, ...figures } = await weakRounds(disk.library, { rounds, random }, console.log);
    console.log(JSON.stringify(figures));
    const isFound = figures.lost > 0;
    if (!isFound) console.error(problems.join("\n"));
    console.log(
      isFound ? "acknowledged writes were lost, as they must be" : "no lost write was found: the method is blind",
    );
    process.exit(isFound ? 0 : 1);
  }
  const { mesh, disks } = await meshOnFaultyDisks(disk.library, 3);
  try {
    const { problems, ...figures } = await powerLossRounds(
      mesh,
      disks,
      { rounds, random: seededRandom(seed), weak: false },
      console.log,
    );
    console.log(JSON.stringify(figures));
    if (problems.length > 0)
      console.error([...problems, ...mesh.nodes.flatMap((node) => ["---", node.log])].join("\n"));
    process.exitCode = problems.length > 0 ? 1 : 0;
  } finally {
    await mesh.stop();
  }
  process.exit();
}
