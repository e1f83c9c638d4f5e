/**
 * `npm run sim -- ...`: whole clusters, simulated (docs/simulator.md).
 *
 *   --seeds=A-B          runs these; exit code 1 when one fails
 *   --seed=N             runs one again and tells its story; of less with --keep=places of troubles, --hosts, --operations, --seconds
 *   --seed=N --shrink    looks for a smaller run that fails in the same way, from the whole one or that of the same options
 *   --mutants            plants historical bugs and demands that they are found (docs/mutants.md); options in sim-mutants.ts
 *   --minutes=M          hunts over new seeds; what fails is kept in test/sim/regressions.json
 *   --hours=H            the same, until the seeds have taken so many hours of processor time: a machine with other things to do takes longer. With
 *                        --record=FILE what earlier sittings noted there counts too, so that a hunt may be broken off (SIGINT) and gone on with
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import path from "node:path";
import { notReached } from "../test/sim/coverage.ts";
import type { PlanOptions } from "../test/sim/plan.ts";
import { addCounters, runMany, type SeedJob, type SeedReport } from "../test/sim/seeds.ts";
import { optionsOf, shrink, wordsOf } from "../test/sim/shrink.ts";
import { runMutants } from "./sim-mutants.ts";
import { version as sourceVersion } from "./build.ts";
import { formatMs, root, tool } from "./steps.ts";

const worker = path.join(root, "test/sim/worker.ts");
const regressions = path.join(root, "test/sim/regressions.json");
const processes = Math.max(1, Math.min(2, availableParallelism()));

function option(name: string): string | undefined {
  const at = process.argv.findIndex((word) => word === `--${name}` || word.startsWith(`--${name}=`));
  if (at < 0) return undefined;
  const [, value] = process.argv[at]!.split("=", 2);
  return value ?? process.argv[at + 1] ?? "";
}

function numberOf(name: string): number | undefined {
  const text = option(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text === "") {
    console.error(`sim: --${name} needs a number`);
    process.exit(2);
  }
  return value;
}

/** In the order of the jobs. */
async function runAll(jobs: readonly SeedJob[]): Promise<SeedReport[]> {
  let at = 0;
  const reports = new Map<string, SeedReport>();
  const keys = jobs.map((_, place) => String(place));
  const order: string[] = [];
  await runMany({
    bun: tool("bun"),
    worker,
    processes: 1,
    next: () => {
      const job = jobs[at];
      if (job !== undefined) order.push(keys[at]!);
      at += 1;
      return job;
    },
    onReport: (report) => void reports.set(order[reports.size]!, report),
  });
  return keys.map((key) => reports.get(key)!);
}

/** What the words of the command line ask for. */
function planOptions(): PlanOptions {
  for (const name of ["hosts", "operations", "seconds"]) numberOf(name);
  return optionsOf(option);
}

async function replay(seed: number): Promise<void> {
  const [report] = await runAll([{ seed, options: { story: true, ...planOptions() } }]);
  const { story, problems, counters, ...figures } = report!;
  console.log(story.join("\n"));
  console.log(JSON.stringify(counters));
  console.log(JSON.stringify(figures));
  if (problems.length === 0) console.log(`seed ${seed}: every promise was kept`);
  else {
    console.error(problems.join("\n"));
    process.exitCode = 1;
  }
}

async function shrinkSeed(seed: number): Promise<void> {
  const ports = {
    run: async (options: PlanOptions) => (await runAll([{ seed, options }]))[0]!,
    told: (what: string) => console.log(what),
  };
  const shrunk = await shrink(seed, ports, planOptions());
  if (shrunk === undefined) {
    console.log(`seed ${seed}${wordsOf(planOptions())} does not fail`);
    return;
  }
  const { options, report, whole, runs } = shrunk;
  console.log(
    `after ${runs} runs: ${report.events} events and ${report.faults} troubles, instead of ${whole.events} and ${whole.faults}`,
  );
  console.log(`npm run sim -- --seed=${seed}${wordsOf(options)}`);
}

interface Totals {
  seeds: number;
  cpuMs: number;
  ticks: number;
  operations: number;
  events: number;
  readonly counters: Record<string, number>;
  readonly failed: Pick<SeedReport, "seed" | "problems">[];
}

function nothingYet(): Totals {
  return { seeds: 0, cpuMs: 0, ticks: 0, operations: 0, events: 0, counters: {}, failed: [] };
}

async function many(
  next: (cpuMs: number) => SeedJob | undefined,
  onKept: (seed: number) => void = () => {},
): Promise<Totals> {
  const totals = nothingYet();
  await runMany({
    bun: tool("bun"),
    worker,
    processes,
    next: () => next(totals.cpuMs),
    onReport: (report) => {
      totals.seeds += 1;
      totals.cpuMs += report.cpuMs;
      totals.ticks += report.ticks;
      totals.operations += report.operations;
      totals.events += report.events;
      addCounters(totals.counters, report.counters);
      if (report.problems.length === 0) return onKept(report.seed);
      totals.failed.push(report);
      console.error(`seed ${report.seed}: ${report.problems[0]}`);
    },
    onDied: (seed, words) => {
      if (isBrokenOff) return;
      totals.seeds += 1;
      totals.failed.push({ seed, problems: [words] });
      console.error(`seed ${seed}: ${words}`);
    },
  });
  return totals;
}

function tell(totals: Totals, ms: number): void {
  const { counters } = totals;
  const faults = Object.entries(counters).filter(([name]) => name.startsWith("fault:"));
  console.log(
    `${totals.seeds} seeds in ${formatMs(ms)}: ${(totals.ticks / 360_000).toFixed(1)} hours simulated, ${totals.operations} calls, ${totals.events} events, ${counters["faults"] ?? 0} faults; ${totals.failed.length} failed`,
  );
  console.log(
    `faults: ${faults
      .map(([name, count]) => `${name.slice(6)} ${count}`)
      .toSorted()
      .join(", ")}`,
  );
  const rest = Object.entries(counters).filter(([name]) => !name.startsWith("fault"));
  console.log(
    `met: ${rest
      .map(([name, count]) => `${name} ${count}`)
      .toSorted()
      .join(", ")}`,
  );
  console.log(`processor time of the seeds: ${(totals.cpuMs / 3_600_000).toFixed(2)} h`);
  const missing = notReached(counters);
  if (missing.length > 0) console.log(`not met: ${missing.join(", ")}`);
}

/** One hunt, or what there was of it until it was broken off: a line of the record. */
interface Sitting extends Omit<Totals, "failed"> {
  readonly at: string;
  readonly version: string;
  readonly ms: number;
  readonly first: number;
  readonly failed: readonly number[];
  /** Seeds that had failed in a sitting before this one, and keep every promise now; absent: there were none. */
  readonly mended?: readonly number[];
}

/** The seeds that have begun are ended, and what there is is told; a terminal's signal ends them as well, which is no failure of theirs. A second one ends everything. */
let isBrokenOff = false;

/** `isOver`: told how long it has taken by the clock, and of the processor time of its seeds and of those of earlier sittings that are gone on with, both in ms. */
async function hunt(words: string, isOver: (ms: number, cpuMs: number) => boolean): Promise<void> {
  const began = performance.now();
  const given = option("record");
  const record = given === undefined ? path.join(root, "dist", "sim-hunts.ndjson") : path.resolve(given);
  const before = given === undefined ? [] : readSittings(record);
  const cpuMsBefore = before.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  const first = numberOf("from") ?? 1_000_000 + Math.floor(Math.random() * 2 ** 31);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (isBrokenOff = true));
  console.log(`hunts for ${words} from seed ${first} on, with ${processes} processes`);
  let seed = first;
  const known = unmended(before);
  const again = [...known];
  const mended: number[] = [];
  const totals = await many(
    (cpuMs) => {
      if (isBrokenOff || isOver(performance.now() - began, cpuMsBefore + cpuMs)) return undefined;
      return { seed: again.shift() ?? seed++ };
    },
    (kept) => {
      if (known.includes(kept)) mended.push(kept);
    },
  );
  const { failed, ...figures } = totals;
  const sitting: Sitting = {
    at: new Date().toISOString(),
    version: sourceVersion(),
    ms: performance.now() - began,
    first,
    ...figures,
    failed: failed.map((one) => one.seed),
    ...(known.length === 0 ? {} : { mended }),
  };
  mkdirSync(path.dirname(record), { recursive: true });
  appendFileSync(record, `${JSON.stringify(sitting)}\n`);
  keep(failed);
  const sittings = [...before, sitting];
  if (sittings.length > 1) for (const one of sittings) console.log(sittingText(one));
  const open = unmended(sittings);
  const former = new Set(sittings.flatMap((one) => one.failed).filter((one) => !open.includes(one)));
  if (former.size > 0) console.log(`failed once and mended since: ${[...former].join(", ")}`);
  tell(
    { ...sittings.reduce(addSitting, nothingYet()), failed: open.map((one) => ({ seed: one, problems: [] })) },
    sittings.reduce((sum, { ms }) => sum + ms, 0),
  );
  if (open.length > 0) process.exitCode = 1;
}

/** What the sittings found, but for what a later one, of a later version, did not find again. */
function unmended(sittings: readonly Sitting[]): number[] {
  const open = new Set<number>();
  for (const { failed, mended } of sittings) {
    for (const seed of mended ?? []) open.delete(seed);
    for (const seed of failed) open.add(seed);
  }
  return [...open];
}

function readSittings(record: string): Sitting[] {
  if (!existsSync(record)) return [];
  const lines = readFileSync(record, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Sitting);
}

function addSitting(sum: Totals, { seeds, cpuMs, ticks, operations, events, counters }: Sitting): Totals {
  addCounters(sum.counters, counters);
  sum.seeds += seeds;
  sum.cpuMs += cpuMs;
  sum.ticks += ticks;
  sum.operations += operations;
  sum.events += events;
  return sum;
}

function sittingText({ at, version, first, seeds, cpuMs, ms, failed }: Sitting): string {
  const took = `${(cpuMs / 3_600_000).toFixed(2)} h of processor time in ${formatMs(ms)}`;
  return `sitting of ${at.slice(0, 16)}, ${version}: ${seeds} seeds from ${first} on, ${took}; ${failed.length} failed`;
}

/** A seed that has failed once is run by CI from then on. */
function keep(failed: Totals["failed"]): void {
  if (failed.length === 0) return;
  const known = JSON.parse(readFileSync(regressions, "utf8")) as { seed: number; found: string }[];
  for (const { seed, problems } of failed)
    if (!known.some((one) => one.seed === seed)) known.push({ seed, found: problems[0]!.slice(0, 200) });
  writeFileSync(regressions, `${JSON.stringify(known, null, 2)}\n`);
}

const seed = numberOf("seed");
const minutes = numberOf("minutes");
const hours = numberOf("hours");
const range = option("seeds")?.split("-").map(Number);
if (process.argv.includes("--mutants")) process.exitCode = await runMutants(process.argv.slice(2));
else if (seed !== undefined) await (option("shrink") === undefined ? replay(seed) : shrinkSeed(seed));
else if (minutes !== undefined) await hunt(`${minutes} min`, (ms) => ms >= minutes * 60_000);
else if (hours !== undefined) await hunt(`${hours} h of processor time`, (_, cpuMs) => cpuMs >= hours * 3_600_000);
else {
  const [from = 1, to = range === undefined ? 300 : from] = range ?? [];
  const began = performance.now();
  let at = from;
  const totals = await many(() => (at <= to ? { seed: at++ } : undefined));
  tell(totals, performance.now() - began);
  if (totals.failed.length > 0) process.exitCode = 1;
}
