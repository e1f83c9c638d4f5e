/**
 * Run inside of a plantation: seeds of the mutant's simulation until one of its checkers strikes.
 * `hunt.ts MUTANT calm|storm SEEDS` prints one line of JSON, a {@link Hunted}.
 */
import { Files } from "../raft/sqlite-files.ts";
import { Simulation } from "../raft/simulation.ts";
import { Violation } from "../raft/violation.ts";
import { runCronHours } from "../sim/cron-run.ts";
import { planOf } from "../sim/plan.ts";
import { runSeed } from "../sim/run-seed.ts";
import type { ClusterChecker, Mutant, SimulationName } from "./mutant.ts";
import { mutants } from "./mutants.ts";

export interface Hunted {
  /** The seed at which it was found; undefined: it was not. */
  readonly seed: number | undefined;
  readonly by: string;
  readonly message: string;
  /** Seeds that ended in something that does not count: another checker, an assertion, a crash; with one of each kind. */
  readonly others: Readonly<Record<string, number>>;
}

/** What was noticed first, by whom; undefined: nothing. */
interface Noticed {
  readonly by: string;
  readonly message: string;
}

type Run = (seed: number, calm: boolean, mutant: Mutant) => Promise<Noticed | undefined>;

const simulations: Readonly<Record<Exclude<SimulationName, "test">, Run>> = {
  raft: async (seed, calm) => noticed(() => new Simulation(seed, { calm, steps: 15_000 }).run()),
  disk: async (seed, calm) => {
    using files = new Files();
    return noticed(() => new Simulation(seed, { calm, steps: 5000, directory: files.path }).run());
  },
  cluster: async (seed, calm, { isWorth }) => {
    const options = { seconds: 60, operations: 200, ...(calm ? { keep: [], calm: true } : {}) };
    if (!calm && isWorth?.(planOf(seed, options)) === false) return undefined;
    const [message] = (await runSeed(seed, options)).problems;
    if (message === undefined) return undefined;
    return { by: clusterCheckers.find((word) => message.startsWith(word)) ?? "", message };
  },
  cron: async (seed, isCalm) => {
    const [message] = runCronHours({ seed, hours: 1, schedules: isCalm ? 50 : 200, isCalm }).problems;
    return message === undefined ? undefined : { by: /^cron [a-z]+/.exec(message)?.[0] ?? "", message };
  },
};

const clusterCheckers: readonly ClusterChecker[] = [
  "J1",
  "J2",
  "J3",
  "J4",
  "S1",
  "once",
  "early",
  "in vain",
  "alone",
  "held",
  "batch",
  "room",
  "left",
  "floor",
  "node id",
  "liveness",
  "membership",
  "states differ",
];

function noticed(run: () => void): Noticed | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { by: error instanceof Violation ? error.checker : "", message };
  }
}

async function hunt(mutant: Mutant, calm: boolean, seeds: number): Promise<Hunted> {
  const counts = new Set<string>(mutant.checkers);
  const others: Record<string, number> = {};
  const { simulation } = mutant;
  if (simulation === "test") throw new Error(`mutant ${mutant.name} is looked for by a test (hunt-by-test.ts)`);
  for (let seed = 1; seed <= seeds; seed++) {
    const found = await simulations[simulation](seed, calm, mutant);
    if (found === undefined) continue;
    if (counts.has(found.by)) return { seed, ...found, others };
    const kind = found.message.replaceAll(/\d+/g, "N").slice(0, 120);
    others[kind] = (others[kind] ?? 0) + 1;
  }
  return { seed: undefined, by: "", message: "", others };
}

if (import.meta.main) {
  const [name, weather, seeds] = process.argv.slice(2);
  const mutant = mutants.find((one) => one.name === name);
  if (mutant === undefined) throw new Error(`no mutant ${name}`);
  console.log(JSON.stringify(await hunt(mutant, weather === "calm", Number(seeds))));
}
