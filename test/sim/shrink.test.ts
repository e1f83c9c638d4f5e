import { describe, expect, test } from "bun:test";
import { type PlanOptions, planOf } from "./plan.ts";
import { runSeed } from "./run-seed.ts";
import type { SeedReport } from "./seeds.ts";
import { kindOf, optionsOf, shrink, wordsOf } from "./shrink.ts";

const seed = 7;

function report(options: PlanOptions, problem: string | undefined): SeedReport {
  const { faults, duration, hosts } = planOf(seed, options);
  return {
    seed,
    problems: problem === undefined ? [] : [problem],
    traceHash: 0,
    counters: {},
    ticks: duration / 10_000,
    operations: options.operations ?? 500,
    faults: faults.length,
    events: faults.length * 1000 + hosts * 100 + (options.operations ?? 500),
    story: [],
    cpuMs: 0,
  };
}

/** A run that fails when it has those troubles and hosts, and so many calls and seconds. */
function failsWith(needs: Required<Omit<PlanOptions, "calm">>): (options: PlanOptions) => SeedReport {
  const all = planOf(seed).faults;
  return (options) => {
    const { faults, duration, hosts } = planOf(seed, options);
    const isThere = (place: number): boolean => faults.some((fault) => fault.at === all[place]!.at);
    const calls = options.operations ?? 500;
    const isEnough = hosts >= needs.hosts && calls >= needs.operations && duration >= needs.seconds * 1_000_000;
    const isWrong = needs.keep.every(isThere) && isEnough;
    return report(options, isWrong ? `J1: attempt ${faults.length} of 30/0 started after attempt ${calls}` : undefined);
  };
}

async function shrunk(run: (options: PlanOptions) => SeedReport, start?: PlanOptions) {
  let runs = 0;
  const ports = {
    run: (options: PlanOptions): Promise<SeedReport> => {
      runs += 1;
      return Promise.resolve(run(options));
    },
    told: () => {},
  };
  const result = await shrink(seed, ports, start);
  expect(result?.runs ?? runs).toBe(runs);
  return result;
}

describe("a failing run is made smaller", () => {
  test("down to the troubles, hosts, calls and seconds that it takes, and no further", async () => {
    const last = planOf(seed).faults.length - 1;
    const seconds = Math.ceil(planOf(seed).faults[last]!.at / 1e6);
    const needs = { keep: [1, last], hosts: 2, operations: 20, seconds };
    const found = await shrunk(failsWith(needs));
    expect(found?.options).toMatchObject({ keep: [1, last], hosts: 2, operations: 20 });
    expect(found?.options.seconds ?? 200).toBeGreaterThanOrEqual(seconds);
    expect(found!.report.events).toBeLessThan(found!.whole.events / 2);
  });

  test("and to none at all where it needs none", async () => {
    const found = await shrunk(failsWith({ keep: [], hosts: 1, operations: 0, seconds: 0 }));
    expect(found?.options).toEqual({ keep: [], hosts: 1, operations: 0, seconds: 15 });
  });

  test("while another way of failing does not count", async () => {
    const first = planOf(seed).faults[0]!.at;
    const found = await shrunk((options) => {
      const has = planOf(seed, options).faults.some(({ at }) => at === first);
      return report(options, has ? "J1: attempt 2 starts" : "floor: a read is old");
    });
    expect(found?.options.keep).toEqual([0]);
  });

  test("from the options that it fails with", async () => {
    const found = await shrunk(failsWith({ keep: [], hosts: 1, operations: 60, seconds: 20 }), {
      seconds: 60,
      operations: 200,
    });
    expect(found?.options).toMatchObject({ operations: 100, seconds: 20 });
    expect(await shrunk((options) => report(options, undefined))).toBeUndefined();
  });

  test("and told as a command that asks for the same run", () => {
    for (const options of [{}, { keep: [] }, { keep: [1, 4], hosts: 2, operations: 20, seconds: 30 }]) {
      const words = new Map(
        wordsOf(options)
          .split(" --")
          .slice(1)
          .map((word) => word.split("=", 2) as [string, string]),
      );
      expect(optionsOf((name) => words.get(name))).toEqual(options);
    }
  });
});

test("what is left of a run happens as it did in the whole one", async () => {
  const options = { seconds: 20, operations: 20, hosts: 3 };
  const { faults } = planOf(2, options);
  const all = planOf(2).faults;
  const keep = all.flatMap((fault, place) => (fault.at < 20_000_000 ? [place] : []));
  expect(planOf(2, { ...options, keep }).faults).toEqual(faults);
  const [whole, kept] = [await runSeed(2, options), await runSeed(2, { ...options, keep })];
  expect([kept.traceHash, kept.problems]).toEqual([whole.traceHash, whole.problems]);
  const less = await runSeed(2, { ...options, keep: [], operations: 5 });
  expect(less.events).toBeLessThan(whole.events);
}, 120_000);

test("a kind of problem has no figures in it", () => {
  const of = (problem: string): string => kindOf({ problems: [problem] });
  expect(of("J1: attempt 1 of 30/0 started after attempt 1")).toBe(of("J1: attempt 12 of 7/3 started after attempt 4"));
  expect(of("liveness: a write through node 1 is waited for in vain: node 1 leads")).not.toBe(
    of("liveness: equal states are waited for"),
  );
});
