/**
 * What every benchmark shares: the machine, rounds of A against B in one run, medians. Figures of two runs are not comparable on a shared
 * machine; figures of one run, taken in turns, are.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import { binary } from "../scripts/build.ts";
import { type Mesh, runSkein } from "../scripts/mesh.ts";
import { formatMs } from "../scripts/steps.ts";

/** One thing measured: gives named figures, all "more is better" or all in one unit, as the name says (`submitsPerSecond`, `p99Ms`). */
export interface Contender {
  readonly name: string;
  measure(): Promise<Readonly<Record<string, number>>>;
}

/** Prints what the figures depend on: cores, memory, kernel, versions, and how busy the machine was before we began. */
export async function printMachine(): Promise<void> {
  const said = await runSkein(binary, ["version"]);
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  console.log(
    `machine   ${availableParallelism()} cores (${model}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
  );
  console.log(`load      ${load()} before the run`);
  console.log(`versions  ${said.stdout.trim().replaceAll("\n", ", ")}; bench under Node ${process.versions.node}`);
  console.log(`commit    ${commit()}`);
}

/**
 * Measures every contender once per round, in turns, the order turned round every other round, after one round that is not counted. Prints
 * each figure's median with the smallest and the largest, and gives the medians by contender and figure.
 */
export async function compare(
  contenders: readonly Contender[],
  rounds: number,
): Promise<Readonly<Record<string, Readonly<Record<string, number>>>>> {
  const figures = new Map<string, Map<string, number[]>>(contenders.map(({ name }) => [name, new Map()]));
  for (let round = 0; round <= rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const began = performance.now();
      const measured = await contender.measure();
      const note = round === 0 ? "warm-up" : `round ${round} of ${rounds}`;
      console.log(`${note}: ${contender.name} ${formatMs(performance.now() - began)}  ${JSON.stringify(measured)}`);
      if (round === 0) continue;
      const kept = figures.get(contender.name)!;
      for (const [figure, value] of Object.entries(measured)) kept.set(figure, [...(kept.get(figure) ?? []), value]);
    }
  }
  const medians: Record<string, Record<string, number>> = {};
  console.log(`\nload ${load()} after the run; median (smallest … largest) of ${rounds}`);
  for (const [name, kept] of figures) {
    const row: Record<string, number> = {};
    for (const [figure, values] of kept) {
      row[figure] = median(values);
      console.log(
        `  ${name}  ${figure}: ${short(median(values))} (${short(Math.min(...values))} … ${short(Math.max(...values))})`,
      );
    }
    medians[name] = row;
  }
  return medians;
}

/**
 * Runs `skein bench VERB WORDS -o json` against a mesh and gives the rates and times of its answer, nested ones by a dotted name. Throws with what
 * it said when it fails.
 */
export async function benchVerb(
  mesh: Mesh,
  verb: string,
  words: readonly string[],
  stdin = "",
): Promise<Record<string, number>> {
  const node = mesh.nodes[0]!;
  const addresses = mesh.nodes.filter((each) => each.running).map((each) => each.ready.api);
  const said = await node.skein(["--addr", addresses.join(","), "-o", "json", "bench", verb, ...words], {
    stdin,
    env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "4096" },
  });
  if (said.code !== 0) throw new Error(`skein bench ${verb} failed (${said.code}): ${said.stderr || said.stdout}`);
  // What it was told and where it ran is printed once, not as a figure.
  const numbers = Object.entries(numbersOf(JSON.parse(said.stdout), ""));
  return Object.fromEntries(numbers.filter(([name]) => /_per_second$|_ms(\.|$)/.test(name)));
}

/** Every number in a JSON value by its dotted path. */
function numbersOf(value: unknown, at: string): Record<string, number> {
  if (typeof value === "number") return { [at]: value };
  if (typeof value !== "object" || value === null) return {};
  const parts = Object.entries(value).map(([name, inner]) => numbersOf(inner, at === "" ? name : `${at}.${name}`));
  return Object.assign({}, ...parts) as Record<string, number>;
}

/** The middle one; of an even count the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("no value was measured");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Value of `--name=value` among the arguments, or the default. */
export function option(name: string, otherwise: number): number {
  const text = process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`--${name}=${text}: a number above 0 is needed`);
  return value;
}

/** Numbers of `--name=1,2,3`, or the default. */
export function list(name: string, otherwise: readonly number[]): readonly number[] {
  const text = process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  if (text === undefined) return otherwise;
  const values = text.split(",").map(Number);
  if (!values.every((value) => Number.isSafeInteger(value) && value > 0))
    throw new Error(`--${name}=${text}: whole numbers above 0 are needed`);
  return values;
}

/** Words of `--name=a,b`; undefined without it. */
export function words(name: string): readonly string[] | undefined {
  return process.argv
    .find((arg) => arg.startsWith(`--${name}=`))
    ?.slice(name.length + 3)
    .split(",");
}

const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** How busy the machine is: runnable threads over 1, 5 and 15 minutes. */
export function load(): string {
  return loadavg()
    .map((value) => value.toFixed(2))
    .join(" ");
}

function commit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim();
  } catch {
    return readFileSync("package.json", "utf8").match(/"version": "([^"]+)"/)?.[1] ?? "unknown";
  }
}
