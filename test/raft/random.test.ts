import { expect, test } from "bun:test";
import { type Coverage, noCoverage } from "./coverage.ts";
import { Simulation } from "./simulation.ts";

/** SEED=n runs that seed alone; SEEDS=n runs more of them. */
const only = process.env["SEED"];
const first = only === undefined ? 1 : Number(only);
const count = only === undefined ? Number(process.env["SEEDS"] ?? 100) : 1;
const steps = 15_000;
/** `diskErrors` are of real files: files.test.ts. */
const mayBeZero: ReadonlySet<keyof Coverage> = new Set(["excused", "diskErrors"]);

/** Under a minute on two cores; far more is allowed to a machine that has other things to do, or to whoever asks for more seeds. */
const patienceMs = Math.max(1, count / 100) * 15 * 60_000;

test(
  `${count} random clusters keep every promise, and come back when healed`,
  () => {
    const total = noCoverage();
    for (let seed = first; seed < first + count; seed++) {
      const simulation = new Simulation(seed, { steps });
      try {
        simulation.run();
      } catch (error) {
        const why = error instanceof Error ? error.stack : String(error);
        throw new Error(`seed ${seed} (replay: SEED=${seed} bun test test/raft/random.test.ts): ${why}`);
      }
      for (const key of Object.keys(total) as (keyof Coverage)[]) total[key] += simulation.coverage[key];
    }
    console.log(`seeds ${first}..${first + count - 1}:`, JSON.stringify(total));
    if (count < 100) return;
    // A run that meets nothing proves nothing.
    expect(total.excused).toBeLessThan(count / 20);
    for (const key of (Object.keys(total) as (keyof Coverage)[]).filter((each) => !mayBeZero.has(each)))
      expect({ [key]: total[key] > count / 10 }).toEqual({ [key]: true });
  },
  patienceMs,
);
