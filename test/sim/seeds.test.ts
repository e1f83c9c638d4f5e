import { expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import path from "node:path";
import { root, tool } from "../../scripts/steps.ts";
import { notReached } from "./coverage.ts";
import regressions from "./regressions.json";
import { addCounters, runMany, type SeedJob, type SeedReport } from "./seeds.ts";

/** Four minutes on two cores; far more is allowed to a machine that has other things to do. */
const patienceMs = 25 * 60_000;
const seeds = 300;

async function runAll(jobs: readonly SeedJob[]): Promise<SeedReport[]> {
  const reports: SeedReport[] = [];
  let at = 0;
  await runMany({
    bun: tool("bun"),
    worker: path.join(root, "test/sim/worker.ts"),
    processes: Math.min(2, availableParallelism()),
    next: () => jobs[at++],
    onReport: (report) => void reports.push(report),
  });
  return reports;
}

/** In words for people: what to run to see it again. */
function told({ seed, problems, story }: SeedReport): string {
  return [`npm run sim -- --seed=${seed}`, ...problems, ...story.slice(-25)].join("\n");
}

test(
  `${seeds} whole clusters and every seed that ever failed: no promise is broken, and every rare path is walked`,
  async () => {
    const known: readonly SeedJob[] = regressions;
    const ordinary = await runAll(Array.from({ length: seeds }, (_, place) => ({ seed: place + 1 })));
    const reports = [...ordinary, ...(await runAll(known))];
    expect(reports.filter(({ problems }) => problems.length > 0).map(told)).toEqual([]);
    const counters: Record<string, number> = {};
    for (const report of reports) addCounters(counters, report.counters);
    expect(notReached(counters)).toEqual([]);
    expect(Math.min(...ordinary.map(({ ticks }) => ticks))).toBeGreaterThanOrEqual(20_000);
    expect(Math.min(...ordinary.map(({ operations }) => operations))).toBeGreaterThanOrEqual(500);
    expect(Math.min(...ordinary.map(({ faults }) => faults))).toBeGreaterThanOrEqual(3);
  },
  patienceMs,
);
