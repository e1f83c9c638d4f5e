import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { root, tool } from "../../scripts/steps.ts";
import type { CronHours, CronResult } from "./cron-run.ts";

/** Runs seeds in worker processes, two at a time; in the order of the seeds. */
export async function runMany(runs: readonly CronHours[]): Promise<CronResult[]> {
  const left = [...runs];
  const results: CronResult[] = [];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = spawn(tool("bun"), [path.join(root, "test/sim/cron-worker.ts")], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      const feed = (): void => {
        const run = left.shift();
        if (run === undefined) child.stdin.end();
        else child.stdin.write(`${JSON.stringify(run)}\n`);
      };
      createInterface({ input: child.stdout }).on("line", (line) => {
        results.push(JSON.parse(line) as CronResult);
        feed();
      });
      child.on("error", reject);
      child.on("close", (code) =>
        code === 0 ? resolve() : reject(new Error(`a worker ended with exit code ${code}`)),
      );
      feed();
    });
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism(), runs.length) }, work));
  return results.sort((one, other) => one.seed - other.seed);
}
