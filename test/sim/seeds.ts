import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { SimOptions, SimResult } from "./run-seed.ts";

/** Runs seeds in worker processes of bun, from Node or bun alike. */

/** What a worker tells of a run. */
export type SeedReport = Omit<SimResult, "plan"> & {
  /** The worker's processor time: where a machine has other things to do, the time by the clock says nothing of how much was simulated. */
  readonly cpuMs: number;
};

/** One seed of a run of many. */
export interface SeedJob {
  readonly seed: number;
  readonly options?: SimOptions;
}

export interface ManyOptions {
  readonly bun: string;
  readonly worker: string;
  readonly processes: number;
  /** The next one; undefined: no more are begun. */
  next(): SeedJob | undefined;
  /** In no order. */
  onReport(report: SeedReport): void;
  /** A worker died of that one, which says so on standard error; another worker goes on. Not there: nothing goes on. */
  onDied?(seed: number, words: string): void;
}

/** Resolves when every seed that was begun has been told of. Rejects when a worker dies, unless that is told of too. */
export async function runMany(options: ManyOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.processes }, () => work(options)));
}

function work(options: ManyOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.bun, [options.worker], { stdio: ["pipe", "pipe", "inherit"] });
    let current: SeedJob | undefined;
    const feed = (): void => {
      current = options.next();
      if (current === undefined) child.stdin.end();
      else child.stdin.write(`${JSON.stringify(current)}\n`);
    };
    createInterface({ input: child.stdout }).on("line", (line) => {
      options.onReport(JSON.parse(line) as SeedReport);
      feed();
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0 && current === undefined) return resolve();
      const words = `the worker with seed ${current?.seed} ended with exit code ${code}`;
      if (current === undefined || options.onDied === undefined) return reject(new Error(words));
      options.onDied(current.seed, words);
      work(options).then(resolve, reject);
    });
    feed();
  });
}

/** Adds the counters of one run to those of all. */
export function addCounters(total: Record<string, number>, counters: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(counters)) total[name] = (total[name] ?? 0) + value;
}
