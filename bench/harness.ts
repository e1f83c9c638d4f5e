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

/** What figures depend on: without it they say nothing. */
export interface Conditions {
  readonly machine: string;
  /** Before the run. */
  readonly load: string;
  readonly versions: string;
  readonly commit: string;
}

/** Prints what the figures depend on, and gives it: cores, memory, kernel, versions, and how busy the machine was before we began. */
export async function printMachine(): Promise<Conditions> {
  const said = await runSkein(binary, ["version"]);
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  const conditions = {
    machine: `${availableParallelism()} cores (${model}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}`,
    load: load(),
    versions: `${said.stdout.trim().replaceAll("\n", ", ")}; bench under Node ${process.versions.node}`,
    commit: commit(),
  };
  console.log(`machine   ${conditions.machine}`);
  console.log(`load      ${conditions.load} before the run`);
  console.log(`versions  ${conditions.versions}`);
  console.log(`commit    ${conditions.commit}`);
  return conditions;
}

/** Every value of every figure, in the order of the rounds: by contender and by figure. */
export type Figures = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;

/** Measures as {@link measureInTurns} and gives the medians by contender and figure. */
export async function compare(
  contenders: readonly Contender[],
  rounds: number,
): Promise<Readonly<Record<string, Readonly<Record<string, number>>>>> {
  const figures = await measureInTurns(contenders, rounds);
  const medians = (row: Figures[string]): Record<string, number> =>
    Object.fromEntries(Object.entries(row).map(([figure, values]) => [figure, median(values)]));
  return Object.fromEntries(Object.entries(figures).map(([name, row]) => [name, medians(row)]));
}

/**
 * Measures every contender once per round, in turns, the order turned round every other round, after one round that is not counted (not needed where
 * each measurement warms what it measures itself). Prints each figure's median with the smallest and the largest, and gives all values.
 */
export async function measureInTurns(
  contenders: readonly Contender[],
  rounds: number,
  options: { readonly warmUp?: boolean } = {},
): Promise<Figures> {
  const figures: Record<string, Record<string, number[]>> = {};
  for (const { name } of contenders) figures[name] = {};
  for (let round = options.warmUp === false ? 1 : 0; round <= rounds; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const began = performance.now();
      const measured = await contender.measure();
      const note = round === 0 ? "warm-up" : `round ${round} of ${rounds}`;
      console.log(`${note}: ${contender.name} ${formatMs(performance.now() - began)}  ${JSON.stringify(measured)}`);
      if (round === 0) continue;
      const kept = figures[contender.name]!;
      for (const [figure, value] of Object.entries(measured)) (kept[figure] ??= []).push(value);
    }
  }
  console.log(`\nload ${load()} after the run; median (smallest … largest) of ${rounds}`);
  for (const [name, kept] of Object.entries(figures))
    for (const [figure, values] of Object.entries(kept)) console.log(`  ${name}  ${figure}: ${spread(values)}`);
  return figures;
}

/** "8020 (7710 … 8140)": the median, with the smallest and the largest where they are others. */
export function spread(values: readonly number[]): string {
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)].map(short);
  return low === high ? middle! : `${middle} (${low} … ${high})`;
}

/** The rates and times of {@link benchAnswer}, nested ones by a dotted name. */
export async function benchVerb(
  mesh: Mesh,
  verb: string,
  words: readonly string[],
  stdin = "",
): Promise<Record<string, number>> {
  // What it was told and where it ran is printed once, not as a figure.
  const numbers = Object.entries(numbersOf(await benchAnswer(mesh, verb, words, stdin), ""));
  return Object.fromEntries(numbers.filter(([name]) => /_per_second$|_ms(\.|$)/.test(name)));
}

/** Runs `skein bench VERB WORDS -o json` of the present build against a mesh, whatever runs there, and gives its answer. Throws with what it said when it fails. */
export async function benchAnswer(
  mesh: Mesh,
  verb: string,
  words: readonly string[],
  stdin = "",
): Promise<Readonly<Record<string, unknown>>> {
  const node = mesh.nodes[0]!;
  const addresses = mesh.nodes.filter((each) => each.running).map((each) => each.ready.api);
  const said = await runSkein(binary, ["--addr", addresses.join(","), "-o", "json", "bench", verb, ...words], {
    stdin,
    env: { ...node.environment, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096" },
  });
  if (said.code !== 0) throw new Error(`skein bench ${verb} failed (${said.code}): ${said.stderr || said.stdout}`);
  return JSON.parse(said.stdout) as Record<string, unknown>;
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

/** Text of `--name=TEXT`; undefined without it. */
export function text(name: string): string | undefined {
  return words(name)?.join(",");
}

/** Words of `--name=a,b`; undefined without it. */
export function words(name: string): readonly string[] | undefined {
  return process.argv
    .find((arg) => arg.startsWith(`--${name}=`))
    ?.slice(name.length + 3)
    .split(",");
}

/** Three digits, and whole numbers in full. */
export const short = (value: number): string =>
  Math.abs(value) >= 100 || value === 0 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3);

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
