import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Hunted } from "./hunt.ts";
import { huntByTest } from "./hunt-by-test.ts";
import type { Mutant } from "./mutant.ts";
import { tool } from "../../scripts/steps.ts";
import { Plantation } from "./plant.ts";

/** What became of one mutant. */
export interface Judged {
  readonly mutant: Mutant;
  /** Without faults it works as the code does; otherwise what broke. */
  readonly calm: Hunted;
  readonly storm: Hunted;
  readonly ms: number;
}

/** A mutant counts as found when it works without faults (where faults are what must find it), and one of its own checkers catches it with them. */
export function isFound({ calm, storm }: Judged): boolean {
  return worksCalmly(calm) && storm.seed !== undefined;
}

/** Nothing at all was noticed without faults. */
export function worksCalmly(calm: Hunted): boolean {
  return calm.seed === undefined && Object.keys(calm.others).length === 0;
}

export const calmSeeds = 5;

/** A whole cluster takes its time, and an hour of schedules more of it. */
function calmOf({ simulation }: Mutant): number {
  return simulation === "cron" ? 1 : simulation === "cluster" ? 2 : calmSeeds;
}

/** Nobody looked. */
const unhunted: Hunted = { seed: undefined, by: "", message: "", others: {} };

/** Plants the mutant and looks for it in seeds 1 to `seeds`. Throws when its texts are not in the sources. */
export async function judge(mutant: Mutant, seeds: number): Promise<Judged> {
  const began = performance.now();
  if (mutant.test !== undefined) {
    using whole = new Plantation(mutant, ["test"]);
    const storm = await huntByTest(whole.path, mutant.test);
    return { mutant, calm: unhunted, storm, ms: performance.now() - began };
  }
  using plantation = new Plantation(mutant);
  const hunt = async (weather: "calm" | "storm", to: number): Promise<Hunted> =>
    await run(plantation.path, [mutant.name, weather, `${to}`]);
  const calm = mutant.needsNoFaults === true ? unhunted : await hunt("calm", calmOf(mutant));
  const storm = await hunt("storm", seeds);
  return { mutant, calm, storm, ms: performance.now() - began };
}

/** As many at a time as asked for; what is judged is told at once. */
export async function judgeAll(
  mutants: readonly Mutant[],
  options: { readonly seeds: number; readonly atOnce: number; readonly tell: (judged: Judged) => void },
): Promise<readonly Judged[]> {
  const results = new Map<Mutant, Judged>();
  const queue = [...mutants];
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const judged = await judge(mutant, options.seeds);
      results.set(mutant, judged);
      options.tell(judged);
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, work));
  return mutants.map((mutant) => results.get(mutant)!);
}

async function run(place: string, args: readonly string[]): Promise<Hunted> {
  const child = spawn(tool("bun"), [join(place, "test/mutants/hunt.ts"), ...args], {
    cwd: place,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => (complaint = (complaint + chunk.toString("utf8")).slice(-4000)));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  const line = output.trim().split("\n").at(-1) ?? "";
  if (code !== 0 || !line.startsWith("{"))
    throw new Error(`the hunt ended with exit code ${code}: ${complaint}${output}`);
  return JSON.parse(line) as Hunted;
}
