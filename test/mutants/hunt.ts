/**
 * Run inside of a plantation: seeds of one simulation until one of the named checkers strikes.
 * `hunt.ts SIMULATION calm|storm FROM TO CHECKER,CHECKER...` prints one line of JSON, a {@link Hunted}.
 */
import { Files } from "../raft/sqlite-files.ts";
import { Simulation } from "../raft/simulation.ts";
import { Violation } from "../raft/violation.ts";
import type { SimulationName } from "./mutant.ts";

export interface Hunted {
  /** The seed at which it was found; undefined: it was not. */
  readonly seed: number | undefined;
  readonly by: string;
  readonly message: string;
  /** Seeds that ended in something that does not count: another checker, an assertion, a crash; with one of each kind. */
  readonly others: Readonly<Record<string, number>>;
}

const simulations: Readonly<Record<SimulationName, (seed: number, calm: boolean) => void>> = {
  raft: (seed, calm) => new Simulation(seed, { calm, steps: 15_000 }).run(),
  disk: (seed, calm) => {
    using files = new Files();
    new Simulation(seed, { calm, steps: 5000, directory: files.path }).run();
  },
};

if (import.meta.main) {
  const [name, weather, from, to, checkers] = process.argv.slice(2) as [SimulationName, string, string, string, string];
  const run = simulations[name];
  const counts = new Set(checkers.split(","));
  console.log(JSON.stringify(hunt(run, weather === "calm", Number(from), Number(to), counts)));
}

function hunt(
  run: (seed: number, calm: boolean) => void,
  calm: boolean,
  from: number,
  to: number,
  counts: ReadonlySet<string>,
): Hunted {
  const others: Record<string, number> = {};
  for (let seed = from; seed <= to; seed++) {
    try {
      run(seed, calm);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof Violation && counts.has(error.checker)) return { seed, by: error.checker, message, others };
      const kind = `${error instanceof Error ? error.name : "error"}: ${message}`.replaceAll(/\d+/g, "N").slice(0, 120);
      others[kind] = (others[kind] ?? 0) + 1;
    }
  }
  return { seed: undefined, by: "", message: "", others };
}
