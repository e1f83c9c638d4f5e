import { expect, test } from "bun:test";
import { noCoverage, type Coverage } from "./coverage.ts";
import { Simulation } from "./simulation.ts";
import { Files } from "./sqlite-files.ts";

/** FILES_SEED=n runs that seed alone; FILES_SEEDS=n runs more of them. */
const only = process.env["FILES_SEED"];
const first = only === undefined ? 1 : Number(only);
const count = only === undefined ? Number(process.env["FILES_SEEDS"] ?? 40) : 1;

/** Under a minute on two cores; far more is allowed to a machine that has other things to do, or to whoever asks for more seeds. */
const patienceMs = Math.max(1, count / 40) * 15 * 60_000;

test(
  `${count} random clusters on real files lose nothing when the power goes at any moment or a sync fails (D1 to D4)`,
  () => {
    const total = noCoverage();
    for (let seed = first; seed < first + count; seed++) {
      using files = new Files();
      const simulation = new Simulation(seed, { steps: 5000, directory: files.path });
      try {
        simulation.run();
      } catch (error) {
        const why = error instanceof Error ? error.stack : String(error);
        throw new Error(`seed ${seed} (replay: FILES_SEED=${seed} bun test test/raft/files.test.ts): ${why}`);
      }
      for (const key of Object.keys(total) as (keyof Coverage)[]) total[key] += simulation.coverage[key];
    }
    console.log(`seeds ${first}..${first + count - 1}:`, JSON.stringify(total));
    if (count < 40) return;
    for (const key of ["crashes", "committed", "snapshots", "compactions", "diskErrors", "overwrites"] as const)
      expect({ [key]: total[key] > 0 }).toEqual({ [key]: true });
  },
  patienceMs,
);
