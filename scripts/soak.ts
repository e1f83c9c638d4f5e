/**
 * `npm run soak -- [--minutes=M] [--seed=N] [--nodes=3] [--voters=5] [--faults=kill,freeze,...|all] [--long=0.25] [--overlap=0.3]`: the real binary under load while the seed chooses
 * what goes wrong: processes that die, freeze and restart, networks that are cut in silence, disks that hang, fill up and lose their power, clocks that jump,
 * leaderships handed over, nodes drained, joined, removed and replaced, another authority, a rolling upgrade; `--long` is the share that outlasts leases, `--overlap` the share of
 * changes to the mesh that other faults come in the middle of. With `--jobs=10000` it is jobs of all shapes that go through it: soak-jobs.ts. Checks that the calls of all clients are linearizable, that nothing acknowledged is lost, that every job succeeds once and no task
 * was ever alive twice, that the states are equal and were so throughout, and that the mesh is as it was before. Exit code 1, with the story and the nodes' last words, when one of these does not hold; 2 when a fault cannot be had here.
 */
import { mkdirSync } from "node:fs";
import path from "node:path";
import { ownLevel } from "../src/state/levels.ts";
import { seededRandom } from "../src/lib/prng.ts";
import { buildIfChanged } from "./build.ts";
import { judgeByKey, register, tightened } from "./linearizable.ts";
import { Mesh } from "./mesh.ts";
import { enterOwnNetwork } from "./namespaces.ts";
import { type Operation, refuted } from "./soak-history.ts";
import { jobsFaults, jobsFlags, soakJobs } from "./soak-jobs.ts";
import { Load } from "./soak-load.ts";
import { disturb, type Fault, faults, votersOf, type World } from "./soak-nemesis.ts";
import { pulsed, pulseName } from "./soak-pulses.ts";
import { startRig, whyNot } from "./soak-rig.ts";
import { bugsOf, lostOf, notOnce, notSettled, notSucceeded, statesOf } from "./soak-verdict.ts";
import { numberOption, onInterrupt, onlyOptions, root, textOption } from "./steps.ts";

export interface SoakResult {
  readonly troubles: Readonly<Record<string, number>>;
  /** The longest time without an acknowledged write in trouble of each kind, and until the first one after it. */
  readonly longestGapMs: Readonly<Record<string, number>>;
  readonly submits: number;
  readonly reads: number;
  /** Writes and reads of registers that were answered. */
  readonly registers: number;
  /** Tasks that guards carried out. */
  readonly tasks: number;
  readonly problems: readonly string[];
  readonly story: readonly string[];
}

/** How much of the trouble outlasts leases, and how many changes it comes in the middle of, in a soak that has time for it. */
export const usualShares = { longShare: 0.25, overlapShare: 0.3 };

/** One run. Throws only when the mesh itself cannot be started or healed. */
export async function soak(
  world: World,
  options: {
    readonly forMs: number;
    readonly seed: number;
    readonly faults: readonly Fault[];
    /** Is told each line of the story when it happens: a soak that hangs tells where. */
    readonly tell?: (line: string) => void;
  },
): Promise<SoakResult> {
  const { mesh } = world;
  const began = performance.now();
  const story: string[] = [];
  await mesh.leader({ voters: votersOf(world), timeoutMs: 60_000 });
  const pulses = path.join(mesh.directory, "pulses");
  mkdirSync(pulses);
  // Some jobs are the guard's: their processes and results must live through the same. A few outlast a lease, where there is time for it.
  const spec = (client: number, serial: number): object => {
    const isLong = client === 0 && serial % 150 === 7 && options.forMs >= 30_000;
    if (!isLong && (client + serial) % 20 !== 5) return { driver: "noop" };
    return { run: pulsed(pulses, isLong ? 80 : 1 + (serial % 4)), name: pulseName };
  };
  const load = new Load(mesh, { writers: 6, readers: 3, registrars: 3, pauseMs: 5, attemptMs: 4000, spec });
  const isOver = (): boolean => performance.now() - began > options.forMs;
  const say = (what: string): void => {
    const line = `${Math.round(performance.now() - began)} ms: ${what}`;
    story.push(line);
    options.tell?.(line);
  };
  const random = seededRandom(options.seed);
  const troubles = await disturb(world, random, options.faults, isOver, say).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${story.join("\n")}`);
  });
  say("the trouble is over");
  await mesh.leader({ voters: votersOf(world), timeoutMs: 60_000 });
  await load.stop();
  say("the clients have stopped");
  const { acknowledged } = load;
  const lost = await lostOf(mesh, acknowledged);
  const states = (await notSucceeded(mesh, acknowledged)).slice(0, 10);
  say("every job has ended");
  const ofGuards = await notOnce(mesh, acknowledged, pulses);
  const unsettled = await notSettled(mesh, votersOf(world));
  say("the mesh has settled");
  const different = await statesOf(mesh);
  say("the states have met");
  const registers = judgeByKey(register, tightened(load.registers), (input) => input.key);
  const problems = [
    ...refuted(load.history),
    ...registers.map(({ key, verdict }) => `${key} is no register: ${JSON.stringify(verdict)}`),
    ...lost.slice(0, 10).map((id) => `job ${id} was acknowledged and is lost (${lost.length} in all)`),
    ...states,
    ...ofGuards.problems.slice(0, 10),
    ...(ofGuards.judged === 0 ? ["no guard had any work"] : []),
    ...unsettled,
    ...(await bugsOf(mesh)),
    ...(different.length > 1 ? [`the states differ: ${JSON.stringify(different)}`] : []),
    ...(acknowledged.length === 0 ? ["nothing was acknowledged"] : []),
  ];
  const count = (kind: Operation["kind"]): number =>
    load.history.filter((one) => one.kind === kind && one.value !== undefined).length;
  const ofKind = (kind: Fault): number[] =>
    troubles.filter(({ fault }) => fault === kind).map(({ beganMs, endedMs }) => load.gapAroundMs(beganMs, endedMs));
  const kinds = [...new Set(troubles.map(({ fault }) => fault))];
  return {
    troubles: Object.fromEntries(kinds.map((kind) => [kind, ofKind(kind).length])),
    longestGapMs: Object.fromEntries(kinds.map((kind) => [kind, Math.round(Math.max(...ofKind(kind)))])),
    submits: count("submit"),
    reads: count("read"),
    registers: load.registers.filter((one) => one.output !== undefined).length,
    tasks: ofGuards.judged,
    problems,
    story,
  };
}

/** The faults of `--faults`; without it those that need nothing but processes, or what jobs go through. */
function chosenFaults(isOfJobs: boolean): readonly Fault[] {
  const every = Object.keys(faults) as Fault[];
  const text = textOption("faults");
  if (text === undefined && isOfJobs) return jobsFaults;
  if (text === undefined) return every.filter((fault) => faults[fault].needs === "nothing" && fault !== "upgrade");
  if (text === "all") return every;
  const words = text.split(",");
  const wrong = words.find((word) => !(word in faults));
  if (wrong !== undefined) {
    console.error(`soak: there is no fault "${wrong}"; there are ${every.join(", ")}, all`);
    process.exit(2);
  }
  return words as Fault[];
}

if (process.argv[1] === import.meta.filename) {
  onlyOptions("soak", ["minutes", "seed", "nodes", "voters", "faults", "long", "overlap", "jobs"]);
  const jobs = textOption("jobs") === undefined ? undefined : numberOption("jobs", 1);
  const chosen = chosenFaults(jobs !== undefined);
  const reason = await whyNot(chosen);
  if (reason !== undefined) {
    console.error(`soak: ${reason}`);
    process.exit(2);
  }
  const forMs = numberOption("minutes", 1) * 60_000;
  const seed = numberOption("seed", 1 + Math.floor(Math.random() * 2 ** 31));
  const nodes = numberOption("nodes", 3);
  const voters = numberOption("voters", 5);
  await buildIfChanged();
  if (chosen.some((fault) => faults[fault].needs === "network")) {
    // The first of two is the one that counts.
    const words = [`--seed=${seed}`, ...process.argv.slice(2)];
    await enterOwnNetwork([process.execPath, `${root}/scripts/setup.mjs`, "soak", ...words]);
  }
  onInterrupt(() => Mesh.stopAll());
  console.log(
    `soak of ${nodes} nodes, at most ${voters} voters, for ${forMs / 60_000} min, --seed=${seed} --faults=${chosen.join(",")}`,
  );
  const rig = await startRig(nodes, chosen, { ownLevel, voters, flags: jobs === undefined ? [] : jobsFlags });
  const shares = forMs < 30_000 ? { longShare: 0, overlapShare: 0 } : usualShares;
  const longShare = numberOption("long", shares.longShare);
  const overlapShare = numberOption("overlap", shares.overlapShare);
  try {
    const world = { ...rig, longShare, overlapShare };
    const how = { forMs, seed, faults: chosen, tell: console.log };
    const result = jobs === undefined ? await soak(world, how) : await soakJobs(world, { ...how, jobs });
    const { story: _, problems, ...figures } = result;
    console.log(JSON.stringify(figures));
    if (problems.length > 0) {
      console.error([...problems, ...rig.mesh.nodes.flatMap((node) => ["---", node.log])].join("\n"));
      process.exitCode = 1;
    } else if (jobs === undefined) console.log("linearizable; acknowledged and lost: 0; one end per job; states equal");
    else console.log("every job has ended once, as it had to; no task was alive twice; no log is lost; states equal");
  } finally {
    await rig.stop();
  }
  process.exit();
}
